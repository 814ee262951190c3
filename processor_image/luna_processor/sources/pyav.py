"""Read sources with PyAV (FFmpeg): files, RTSP over TCP, HTTP and HLS.

One thread decodes one stream (`thread_type` NONE): with many streams per process, threads inside a decoder only add
latency and memory. Frames are handed on undecoded into RGB; conversion happens when somebody asks for a picture.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from luna_processor.errors import SourceFailed, UnsuitableSource
from luna_processor.frames import SourceInfo
from luna_processor.sources.reference import Opening
from luna_processor.view import Picture

_DEFAULT_FRAME_RATE = 25.0
_HIGHEST_FRAME_RATE = 1000
_TRUNCATED_BELOW = 0.95
"""A file whose frames end before this part of its declared duration is truncated."""
_TRUNCATED_BY_S = 1.0
_TRANSPORT_PACKET_BYTES = (188, 192, 204)
"""Plain, with time stamps (M2TS), with error correction."""
_MAX_BAD_PACKETS = 500
"""Packets in a row that no frame comes from, after which a live source counts as broken."""


class _Pictures:
    """Colour conversion of one source; scaling contexts are kept, one per format and size."""

    def __init__(self) -> None:
        self._reformatters: dict[tuple[str, int, int], VideoReformatter] = {}
        self._lock = threading.Lock()

    def convert(self, frame: VideoFrame, pixel_format: str, width: int, height: int) -> Picture:
        with self._lock:
            reformatter = self._reformatters.setdefault((pixel_format, width, height), VideoReformatter())
            converted = reformatter.reformat(frame, width=width, height=height, format=pixel_format)
            return np.asarray(converted.to_ndarray(), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class PyAvFrame:
    """A frame in FFmpeg's hands; `quarter_turns` clockwise make it upright."""

    number: int
    pts_s: float
    captured_at: datetime
    _frame: VideoFrame
    _quarter_turns: int
    _pictures: _Pictures

    @property
    def is_damaged(self) -> bool:
        """Whether parts of the picture were lost on the way."""
        return self._frame.is_corrupt

    @property
    def width(self) -> int:
        """Pixels, upright."""
        return self._frame.height if self._quarter_turns % 2 else self._frame.width

    @property
    def height(self) -> int:
        """Pixels, upright."""
        return self._frame.width if self._quarter_turns % 2 else self._frame.height

    def rgb(self) -> Picture:
        """Return the picture, uint8 (H, W, 3)."""
        return self.scaled_rgb(self.width, self.height)

    def scaled_rgb(self, width: int, height: int) -> Picture:
        """Return the picture stretched to this size, uint8 (height, width, 3)."""
        return self._convert("rgb24", width, height)

    def luma(self) -> Picture:
        """Return the brightness, uint8 (H, W)."""
        return self._convert("gray", self.width, self.height)

    def _convert(self, pixel_format: str, width: int, height: int) -> Picture:
        if self._quarter_turns % 2:
            width, height = height, width
        return np.rot90(self._pictures.convert(self._frame, pixel_format, width, height), -self._quarter_turns)


class PyAvSource:
    """An open source; `frames` may be iterated once.

    Args:
        opening: what to open.
        timeout_s: longest wait for the connection and for each packet.
        is_stopped: true once nobody wants frames any more.

    Raises:
        SourceFailed: if it cannot be opened or holds no video.
    """

    def __init__(self, opening: Opening, timeout_s: float, is_stopped: Callable[[], bool]) -> None:
        self._opening = opening
        self._timeout_s = timeout_s
        self._is_stopped = is_stopped
        self._pictures = _Pictures()
        self._container = self._open()
        self._stream = self._choose_stream()
        self._gop_size = 0
        self.bad_packet_count = 0
        """Packets that could not be decoded."""
        self._last_pts_s = 0.0
        self._start_s: float | None = None
        self._packets_end_s = 0.0
        self._quarter_turns = 0
        self._info = self._describe()

    @property
    def info(self) -> SourceInfo:
        """What is known by now."""
        return self._info

    def _describe(self) -> SourceInfo:
        codec, stream = self._stream.codec_context, self._stream
        duration = self._container.duration
        is_turned = self._quarter_turns % 2 == 1
        return SourceInfo(
            width=codec.height if is_turned else codec.width,
            height=codec.width if is_turned else codec.height,
            frame_rate=_declared_rate(stream) or 0.0,
            bit_rate=int(codec.bit_rate or self._container.bit_rate or 0),
            duration_s=None if self._opening.is_live or not duration else duration / av.time_base,
            gop_size=self._gop_size,
        )

    def frames(self) -> Iterator[PyAvFrame]:
        """Yield the frames in order of display, until the end.

        Raises:
            SourceFailed: if reading fails, nothing can be decoded, or a file ends too early.
            UnsuitableSource: if the size of the frames changes.
        """
        number = 0
        size: tuple[int, int] | None = None
        try:
            for frame in self._decoded():
                self._quarter_turns = round(-frame.rotation / 90) % 4
                if size is None:
                    self._info = self._describe()
                size = _same_size(size, (frame.width, frame.height))
                yield self._wrap(frame, number)
                number += 1
        except av.error.FFmpegError as e:
            raise SourceFailed(f"{self._opening.shown_as} cannot be read: {_reason(e, self._timeout_s)}") from e
        self._check_complete(number)

    def close(self) -> None:
        """Release the connection or file."""
        self._container.close()

    def _open(self) -> InputContainer:
        try:
            return av.open(
                self._opening.url,
                options=self._opening.options,
                timeout=(self._timeout_s, self._timeout_s),
                metadata_errors="replace",
            )
        except (av.error.FFmpegError, OSError, ValueError) as e:
            raise SourceFailed(f"{self._opening.shown_as} cannot be opened: {_reason(e, self._timeout_s)}") from e

    def _choose_stream(self) -> VideoStream:
        for stream in self._container.streams.video:
            # Cover pictures of audio files are video streams of one frame, too.
            if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
                stream.thread_type = "NONE"
                return stream
        self._container.close()
        raise SourceFailed(f"{self._opening.shown_as} has no video stream")

    def _decoded(self) -> Iterator[VideoFrame]:
        """Decode packet by packet; a broken packet is counted and skipped, as long as others are whole."""
        bad_in_a_row = 0
        frames_since_key = 0
        for packet in self._container.demux(self._stream):
            if self._is_stopped():
                return
            self._note_end(packet)
            frames = self._decode(packet)
            if frames is None:
                self.bad_packet_count += 1
                bad_in_a_row += 1
                if self._opening.is_live and bad_in_a_row >= _MAX_BAD_PACKETS:
                    raise SourceFailed(
                        f"{self._opening.shown_as} cannot be decoded: no frame in {bad_in_a_row} packets"
                    )
                continue
            for frame in frames:
                bad_in_a_row = 0
                if frame.key_frame:
                    if frames_since_key and frames_since_key != self._gop_size:
                        self._gop_size = frames_since_key
                        self._info = replace(self._info, gop_size=frames_since_key)
                    frames_since_key = 0
                frames_since_key += 1
                yield frame

    def _note_end(self, packet: Packet[VideoStream]) -> None:
        """Remember how far the packets reach, whether they can be decoded or not."""
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._packets_end_s = max(self._packets_end_s, end_s)

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame] | None:
        try:
            return packet.decode()
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            return None

    def _wrap(self, frame: VideoFrame, number: int) -> PyAvFrame:
        if frame.pts is None or frame.time_base is None:
            pts_s = self._last_pts_s + (1 / _frame_rate(self._stream) if number else 0.0)
        else:
            stream_time_s = float(frame.pts * frame.time_base)
            if self._start_s is None:
                self._start_s = stream_time_s if self._opening.is_live else self._declared_start_s(stream_time_s)
            pts_s = stream_time_s - self._start_s
        # Steps backwards are faults of the recording; time in a track only grows.
        self._last_pts_s = max(self._last_pts_s, pts_s)
        return PyAvFrame(number, self._last_pts_s, datetime.now(UTC), frame, self._quarter_turns, self._pictures)

    def _declared_start_s(self, first_s: float) -> float:
        stream = self._stream
        if stream.start_time is None or stream.time_base is None:
            return first_s
        return float(stream.start_time * stream.time_base)

    def _check_complete(self, frame_count: int) -> None:
        if frame_count == 0:
            raise SourceFailed(f"{self._opening.shown_as} holds no frame that can be decoded")
        if self._ends_in_a_packet():
            raise SourceFailed(f"{self._opening.shown_as} is truncated: it ends in the middle of a packet")
        declared_s = self._declared_duration_s()
        if declared_s is None:
            return
        read_s = self._packets_end_s - (self._start_s or 0.0)
        if read_s < declared_s * _TRUNCATED_BELOW and declared_s - read_s > _TRUNCATED_BY_S:
            raise SourceFailed(
                f"{self._opening.shown_as} is truncated: {read_s:.1f} s of {declared_s:.1f} s could be read"
            )

    def _ends_in_a_packet(self) -> bool:
        """Tell whether an MPEG transport stream, which says nowhere how long it is, was cut off within a packet."""
        if self._opening.is_live or self._container.format.name != "mpegts":
            return False
        return all(self._container.size % packet_bytes for packet_bytes in _TRANSPORT_PACKET_BYTES)

    def _declared_duration_s(self) -> float | None:
        """Return how long the video says it is; the container's figure counts only where no audio can be longer."""
        stream, container = self._stream, self._container
        if self._opening.is_live:
            return None
        if container.format.name == "avi" and stream.frames and (rate := _declared_rate(stream)):
            return stream.frames / rate  # FFmpeg shortens the duration of a file that is cut off, but not this
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if container.streams.audio or not container.duration:
            return None
        return container.duration / av.time_base


def _same_size(known: tuple[int, int] | None, size: tuple[int, int]) -> tuple[int, int]:
    if known is not None and known != size:
        raise UnsuitableSource(f"frame size is changed from {known[0]}x{known[1]} to {size[0]}x{size[1]}")
    return size


def _frame_rate(stream: VideoStream) -> float:
    """Return the frame rate to reckon with."""
    return _declared_rate(stream) or _DEFAULT_FRAME_RATE


def _declared_rate(stream: VideoStream) -> float | None:
    """Return what the source says, unless it is a time base in disguise."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate
    return float(rate) if rate and 0 < rate <= _HIGHEST_FRAME_RATE else None


def _reason(error: Exception, timeout_s: float) -> str:
    """Return FFmpeg's reason in words a person understands, without the address it repeats."""
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, av.error.InvalidDataError):
        return "not a video, or one that is damaged or cut off (invalid data)"
    if isinstance(error, av.error.ArgumentError):
        return "not a video format that is accepted"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
