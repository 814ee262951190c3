"""Whether a file, here or from a server, is all there: what it says of its size and length against what was read.

Recordings are cut off by full disks, broken downloads and power failures. FFmpeg reads them as far as they go and takes
that for their end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from luna_processor.errors import SourceFailed
from luna_processor.sources.reference import Opening

WITHOUT_STAMPS = frozenset({"mjpeg", "mpjpeg", "jpeg_pipe", "h264", "hevc", "m4v", "mpegvideo"})
"""Containers that are none: pictures one after another, whose times FFmpeg invents."""
_WITHOUT_LENGTH = WITHOUT_STAMPS | {"hls", "mpegts"}
"""Containers whose length, where FFmpeg tells one, was reckoned from something else than a count of frames."""
_TELLS_END: Final = ("matroska", "flv", "asf")
"""Containers whose length is, by some of their writers or by FFmpeg, the time stamp of their end."""
_EXACT: Final = ("mov,mp4", "matroska")
"""Containers whose length is that of their frames, by definition."""
_SHORTFALL_FRAMES: Final = 3
_SHORTFALL_S: Final = 0.2
"""What the frames of those may be short of it all the same: the last may have no duration, and times are rounded."""
_ROUGH_SHORTFALL_S: Final = 1.0
_ROUGH_SHARE: Final = 0.95
"""The same of all others: what is declared may be rough, or that of the sound."""
_UNKNOWN_IVF_LENGTH: Final = 0xFFFFFFFF
"""Of an IVF file whose writer could not come back to its head."""
_TRANSPORT_PACKET_BYTES: Final = (188, 192, 204)
"""Plain, with time stamps (M2TS), with error correction."""
_SYNC: Final = 0x47
_SYNCS_IN_A_ROW: Final = 5
_TRANSPORT_TAIL_BYTES: Final = 16 * 204
_BOXES: Final = frozenset(
    b"ftyp moov mdat moof free skip wide uuid sidx ssix styp mfra meta pdin pnot emsg prft".split()
)
"""Of MP4, at its outermost level; what else stands there says nothing about the size of the file."""
_FLV_TAGS: Final = (8, 9, 18)
"""Sound, video, and what is said about them."""
_EBML: Final = 0x1A45DFA3
_SEGMENT: Final = 0x18538067
_MAX_PIECES: Final = 1_000_000
"""Outermost pieces that are looked at: a day of fragments of a tenth of a second."""


class Completeness:
    """What is read of one open video, for a verdict at its end.

    Args:
        opening: that it was opened by.
        container: of the video.
        stream: that is read.
        frame_rate: frames per second; None where nobody knows.
    """

    def __init__(
        self, opening: Opening, container: InputContainer, stream: VideoStream, frame_rate: float | None
    ) -> None:
        self._opening = opening
        self._container = container
        self._stream = stream
        self._frame_rate = frame_rate
        self._ends_s = 0.0
        self._video_ends_s = 0.0
        self._video_packets = 0

    @property
    def needs_all_streams(self) -> bool:
        """Whether the length that is declared is that of the longest stream, be it the sound."""
        return self._stream.duration is None and self._container.format.name.startswith(("matroska", "flv"))

    def note(self, packet: Packet[VideoStream]) -> None:
        """Remember how far the packets of all streams reach, whether they can be decoded or not."""
        self._video_packets += packet.stream_index == self._stream.index and packet.size > 0
        if packet.pts is None or packet.time_base is None:
            return
        ends_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
        self._ends_s = max(self._ends_s, ends_s)
        if packet.stream_index == self._stream.index:
            self._video_ends_s = max(self._video_ends_s, ends_s)

    def check(self, start_s: float | None) -> None:
        """Look whether what was read to its end is all there.

        Args:
            start_s: time stamp of the first frame.

        Raises:
            SourceFailed: if it was cut off.
        """
        self._check_length(start_s)
        if not self._opening.is_live:
            self._check_bytes(self._path)

    @property
    def _format(self) -> str:
        return self._container.format.name

    @property
    def _is_http(self) -> bool:
        return self._opening.url.lower().startswith(("http:", "https:"))

    def _check_length(self, start_s: float | None) -> None:
        if self._format in WITHOUT_STAMPS:
            return
        if self._opening.is_live and not (self._is_http and self._format not in _WITHOUT_LENGTH):
            return
        declared_s = self._declared_s()
        if declared_s is None or self._has_all_frames or self._has_all_bytes:
            return
        if self.needs_all_streams:
            read_s = self._ends_s - max(0, self._container.start_time or 0) / av.time_base
        else:
            read_s = self._video_ends_s - (start_s or 0.0)
        if declared_s - read_s > self._tolerated_s(declared_s):
            raise self._truncated(f"{read_s:.1f} s of {declared_s:.1f} s could be read")

    @property
    def _has_all_frames(self) -> bool:
        """Whether an MP4 gave all the frames that its index counts.

        Of one that was trimmed, FFmpeg moves the first frame to the beginning: times are short of a gap before it then.
        """
        return self._format.startswith("mov,mp4") and 0 < self._stream.frames <= self._video_packets

    @property
    def _has_all_bytes(self) -> bool:
        """Whether a Matroska file here has all that its segment counts.

        Times may be short all the same: how long the last frame is shown need not stand anywhere but in the duration.
        """
        if self._opening.is_live or not self._format.startswith("matroska"):
            return False
        try:
            with self._path.open("rb") as file:
                size_bytes = file.seek(0, 2)
                return 0 < _matroska_end(file, size_bytes) <= size_bytes
        except OSError:
            return False

    @property
    def _path(self) -> Path:
        return Path(self._opening.url.removeprefix("file:"))

    def _check_bytes(self, path: Path) -> None:
        if missing := missing_bytes(path, self._format):
            raise self._truncated(f"at least {missing} bytes are missing at its end")

    def _declared_s(self) -> float | None:
        """Return how long the video says it is, else the container, where no stream that is not read can be longer."""
        stream = self._stream
        if self._format == "avi" and stream.frames and self._frame_rate:
            return stream.frames / self._frame_rate  # FFmpeg shortens the duration of a file that is cut off, not this
        if stream.duration is not None and stream.time_base is not None and not _is_length_unknown(self._container):
            begins_s = float((stream.start_time or 0) * stream.time_base)
            return _without_lead(self._format, float(stream.duration * stream.time_base), begins_s)
        if self._container.streams.audio and not self.needs_all_streams:
            return None
        return length_s(self._container)

    def _tolerated_s(self, declared_s: float) -> float:
        if self._format.startswith(_EXACT):
            return max(_SHORTFALL_S, _SHORTFALL_FRAMES / self._frame_rate if self._frame_rate else 1.0)
        return max(_ROUGH_SHORTFALL_S, declared_s * (1 - _ROUGH_SHARE))

    def _truncated(self, how: str) -> SourceFailed:
        return SourceFailed(f"{self._opening.shown_as} is truncated: {how}")


def length_s(container: InputContainer) -> float | None:
    """Return how long a file is; None where it does not say."""
    if not container.duration or _is_length_unknown(container):
        return None
    begins_s = (container.start_time or 0) / av.time_base
    return _without_lead(container.format.name, container.duration / av.time_base, begins_s)


def _is_length_unknown(container: InputContainer) -> bool:
    """Return whether FFmpeg takes for a length what says that it is not known."""
    return container.format.name == "ivf" and container.streams[0].duration == _UNKNOWN_IVF_LENGTH


def _without_lead(container_name: str, declared_s: float, begins_s: float) -> float:
    """Return a length, where what is declared may be the time stamp of the end: of a piece of a recording, say.

    What would end before it begins is taken for a length.
    """
    is_end = container_name.startswith(_TELLS_END) and 0 < begins_s < declared_s
    return declared_s - begins_s if is_end else declared_s


def missing_bytes(path: Path, container_name: str) -> int:
    """Return how much larger a file should be by what its outermost pieces say; 0 where they do not say.

    Args:
        path: of the file.
        container_name: as FFmpeg names it.
    """
    find_end = _ENDS.get(container_name.split(",")[0])
    if find_end is None:
        return 0
    try:
        with path.open("rb") as file:
            size_bytes = file.seek(0, 2)
            return max(0, find_end(file, size_bytes) - size_bytes)
    except OSError:
        return 0  # it could be read a moment ago; that it has gone since is no fault of the recording


def _mp4_end(file: BinaryIO, size_bytes: int) -> int:
    """Return where the last box ends. Source: ISO/IEC 14496-12, section 4.2."""
    at = 0
    for _ in range(_MAX_PIECES):
        head = _bytes_at(file, at, 16)
        box_bytes, kind, long_bytes = int.from_bytes(head[:4]), head[4:8], int.from_bytes(head[8:])
        if box_bytes == 1 and len(head) == 16:
            box_bytes = long_bytes
        if kind not in _BOXES or box_bytes < 8:
            return at  # the end, padding, or a box that goes to the end
        at += box_bytes
        if at >= size_bytes:
            break
    return at


def _matroska_end(file: BinaryIO, size_bytes: int) -> int:
    """Return where the segment ends; 0 where it does not say, as of a broadcast. Source: RFC 8794, sections 4 to 6."""
    at = 0
    while at < size_bytes:
        head = _bytes_at(file, at, 12)
        id_bytes = _vint_bytes(head)
        length_bytes = _vint_bytes(head[id_bytes:])
        if not id_bytes or not length_bytes or len(head) < id_bytes + length_bytes:
            return 0
        element = int.from_bytes(head[:id_bytes])
        bits = 7 * length_bytes
        content_bytes = int.from_bytes(head[id_bytes : id_bytes + length_bytes]) & ((1 << bits) - 1)
        end = at + id_bytes + length_bytes + content_bytes
        if element == _SEGMENT:
            return 0 if content_bytes == (1 << bits) - 1 else end
        if element != _EBML and at == 0:
            return 0
        at = end
    return 0


def _vint_bytes(data: bytes) -> int:
    """Return how many bytes a number of EBML takes: its leading zeros say it; 0 for what is none."""
    return 9 - data[0].bit_length() if data and data[0] else 0


def _riff_end(file: BinaryIO, size_bytes: int) -> int:
    """Return where the last RIFF chunk ends; an AVI of more than a gigabyte has several. Source: OpenDML AVI 1.02."""
    at = 0
    for _ in range(_MAX_PIECES):
        head = _bytes_at(file, at, 8)
        content_bytes = int.from_bytes(head[4:8], "little")
        # 0, and all ones, stand where a writer was stopped before it knew.
        if head[:4] != b"RIFF" or content_bytes in (0, 0xFFFFFFFF):
            return at
        at += 8 + content_bytes
        if at >= size_bytes:
            return max(size_bytes, at - 8)  # some writers count these 8 bytes in
    return at


def _flv_end(file: BinaryIO, size_bytes: int) -> int:
    """Return where the last tag ends. Source: Video File Format Specification 10.1, annex E.3 and E.4."""
    at = int.from_bytes(_bytes_at(file, 5, 4)) + 4
    for _ in range(_MAX_PIECES):
        head = _bytes_at(file, at, 4)
        if not head or head[0] & 0x1F not in _FLV_TAGS:
            return at
        at += 11 + int.from_bytes(head[1:]) + 4
        if at >= size_bytes:
            return max(size_bytes, at - 4)  # some writers leave out the size of the last tag, which follows it
    return at


def _transport_end(file: BinaryIO, size_bytes: int) -> int:
    """Return where the last packet of an MPEG transport stream ends, which says nothing else about its size.

    It is looked for from the end: a stream may begin within a packet, and something else may follow it.
    Source: ISO/IEC 13818-1, section 2.4.3.2.
    """
    begin = max(0, size_bytes - _TRANSPORT_TAIL_BYTES)
    tail = _bytes_at(file, begin, _TRANSPORT_TAIL_BYTES)
    plain_bytes = _TRANSPORT_PACKET_BYTES[0]
    for packet_bytes in _TRANSPORT_PACKET_BYTES:
        for first in range(packet_bytes):
            marks = tail[first::packet_bytes]
            if len(marks) < _SYNCS_IN_A_ROW or any(mark != _SYNC for mark in marks[:_SYNCS_IN_A_ROW]):
                continue
            last = first + (len(marks) - 1) * packet_bytes
            return begin + last + plain_bytes if tail[last] == _SYNC else size_bytes
    return size_bytes


def _bytes_at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


_ENDS: Final[dict[str, Callable[[BinaryIO, int], int]]] = {
    "mov": _mp4_end,
    "matroska": _matroska_end,
    "avi": _riff_end,
    "flv": _flv_end,
    "mpegts": _transport_end,
}
