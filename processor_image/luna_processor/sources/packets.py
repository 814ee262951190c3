"""Open a video with FFmpeg and read its packets: addresses, time-outs, variants and ends, before anything is decoded.

Both ways of decoding begin here, so that a source means the same to both. FFmpeg's waits cannot be interrupted from
outside, but each has a bound.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from luna_processor.errors import SourceFailed
from luna_processor.sources.memory import bound_allocations
from luna_processor.sources.reference import Opening
from luna_processor.sources.variants import Variant, choose_variant

MAX_TIMEOUT_S = 60.0
"""No wait is longer, whatever the stream asks for: a stream that was stopped leaves nothing behind for longer."""
_HIGHEST_FRAME_RATE = 1000
_TRUNCATED_BELOW = 0.95
"""A file whose frames end before this part of its declared duration is truncated."""
_TRUNCATED_BY_S = 1.0
_TRANSPORT_PACKET_BYTES = (188, 192, 204)
"""Plain, with time stamps (M2TS), with error correction."""
_WITHOUT_STAMPS = frozenset({"mjpeg", "mpjpeg", "jpeg_pipe", "h264", "hevc", "m4v", "mpegvideo"})
"""Containers that are none: pictures one after another, whose times FFmpeg invents."""
_WITHOUT_LENGTH = _WITHOUT_STAMPS | {"hls", "mpegts"}
"""Containers whose length, where FFmpeg tells one, was reckoned from something else than a count of frames."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a source is waited for.

    Attributes:
        timeout_s: longest wait for the connection, and for each packet.
        is_stopped: true once nobody wants packets any more: asked between them.
    """

    timeout_s: float
    is_stopped: Callable[[], bool]


class VideoPackets:
    """The packets of one video of an open source.

    Args:
        opening: what to open.
        patience: with it.
        preferred_width: pixels; of several videos the nearest is read. None takes the first.
        accelerator: what decodes besides the CPU.

    Raises:
        SourceFailed: if it cannot be opened or holds no video.
    """

    def __init__(
        self,
        opening: Opening,
        patience: Patience,
        preferred_width: int | None = None,
        accelerator: HWAccel | None = None,
    ) -> None:
        self._accelerator = accelerator
        self._opening = opening
        self._timeout_s = min(patience.timeout_s, MAX_TIMEOUT_S)
        self._is_stopped = patience.is_stopped
        self._is_http = opening.url.lower().startswith(("http:", "https:"))
        self.container = self._open()
        self.variants = self._find_videos()
        self.variant = self.variants[0] if preferred_width is None else choose_variant(self.variants, preferred_width)
        self.stream = self._select(self.variant)
        self.start_s: float | None = None
        """Time stamp of the first frame, once somebody said it."""
        self._end_s = 0.0
        self.was_left = False
        """Whether nobody wanted any more before the end."""

    @property
    def has_stamps(self) -> bool:
        """Whether time stamps come with the pictures."""
        return self.container.format.name not in _WITHOUT_STAMPS

    @property
    def comes_in_pieces(self) -> bool:
        """Whether seconds of video arrive at once: HLS, and a file that a server sends."""
        return self._is_http and (self.container.format.name == "hls" or bool(self.container.duration))

    @property
    def waits_for_reader(self) -> bool:
        """Whether the sender is held up by a slow reader and nothing gets old meanwhile: files over HTTP do."""
        return self._is_http and self.has_stamps

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield the packets of the video, the last of them empty; ends early once nobody wants any more.

        Raises:
            SourceFailed: if reading fails, or no packet of the video comes in time.
        """
        last_s = time.monotonic()
        has_begun = False
        try:
            for packet in self.container.demux():
                if self._is_stopped():
                    self.was_left = True
                    return
                if packet.stream_index == self.stream.index:
                    of_video = cast("Packet[VideoStream]", packet)
                    self._note_end(of_video)
                    yield of_video
                    last_s, has_begun = time.monotonic(), True
                elif self._opening.is_live and time.monotonic() - last_s > self._timeout_s:
                    raise SourceFailed(f"{self._opening.shown_as} sends no video any more")
        except av.error.FFmpegError as e:
            if has_begun and self._is_end_of_body(e):
                yield self._flush()
                return
            raise SourceFailed(f"{self._opening.shown_as} cannot be read: {_reason(e, self._timeout_s)}") from e

    def bit_rate(self) -> int:
        """Return what the video, else the whole file says, in bits per second; 0 where nobody says it.

        What FFmpeg says of HLS as a whole is the size of the playlist by the duration of the video.
        """
        of_whole = self.container.bit_rate or 0 if self.container.format.name != "hls" else 0
        return _bit_rate(self.stream) or of_whole

    def frame_rate(self) -> float | None:
        """Return what the source says, unless it is a time base in disguise."""
        stream = self.stream
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        return float(rate) if rate and 0 < rate <= _HIGHEST_FRAME_RATE else None

    def duration_s(self) -> float | None:
        """Return how long the source is; None for a live one, and where it does not say."""
        return None if self._opening.is_live else _length_s(self.container)

    def declared_start_s(self) -> float | None:
        """Return the time stamp at which a file says it begins."""
        stream = self.stream
        if self._opening.is_live or stream.start_time is None or stream.time_base is None:
            return None
        return float(stream.start_time * stream.time_base)

    def check_complete(self) -> None:
        """Look whether a file that was read to its end, here or from a server, is all there.

        Raises:
            SourceFailed: if it was cut off.
        """
        if self._ends_in_a_packet():
            raise SourceFailed(f"{self._opening.shown_as} is truncated: it ends in the middle of a packet")
        declared_s = self._declared_duration_s()
        if declared_s is None:
            return
        read_s = self._end_s - (self.start_s or 0.0)
        if read_s < declared_s * _TRUNCATED_BELOW and declared_s - read_s > _TRUNCATED_BY_S:
            raise SourceFailed(
                f"{self._opening.shown_as} is truncated: {read_s:.1f} s of {declared_s:.1f} s could be read"
            )

    def close(self) -> None:
        """Release the connection or file."""
        self.container.close()

    def _open(self) -> InputContainer:
        bound_allocations()
        began_s = time.monotonic()
        try:
            return av.open(
                self._opening.url,
                format=self._opening.format,
                options=self._opening.options,
                timeout=(self._timeout_s, self._timeout_s),
                metadata_errors="replace",
                hwaccel=self._accelerator,
            )
        except (av.error.FFmpegError, OSError, ValueError) as e:
            is_late = time.monotonic() - began_s >= self._timeout_s
            if is_late and isinstance(e, av.error.InvalidDataError) and self._opening.url.lower().startswith("rtsp"):
                reason = _no_answer(self._timeout_s)  # FFmpeg takes an answer that does not come for a bad one
            else:
                reason = _reason(e, self._timeout_s)
            if self._accelerator is not None and _is_of_the_card(e):
                reason = f"GPU {self._accelerator.device_id} cannot be reached ({reason})"
            raise SourceFailed(f"{self._opening.shown_as} cannot be opened: {reason}") from e

    def _find_videos(self) -> tuple[Variant, ...]:
        found = tuple(
            Variant(
                index=stream.index,
                width=stream.codec_context.width,
                height=stream.codec_context.height,
                bit_rate=_bit_rate(stream),
                codec=stream.codec_context.name,
            )
            for stream in self.container.streams.video
            # Cover pictures of audio files are video streams of one frame, too.
            if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None
        )
        if not found:
            self.container.close()
            raise SourceFailed(f"{self._opening.shown_as} has no video stream")
        return found

    def _select(self, variant: Variant) -> VideoStream:
        """Tell FFmpeg to pass over all the rest: variants of HLS that nobody reads are not fetched then."""
        for stream in self.container.streams:
            if stream.index != variant.index:
                stream.discard = Discard.all
        [selected] = (stream for stream in self.container.streams.video if stream.index == variant.index)
        return selected

    def _flush(self) -> Packet[VideoStream]:
        """Return the packet that makes a decoder give what it holds back."""
        packet = Packet()
        packet.stream = self.stream
        return cast("Packet[VideoStream]", packet)

    def _is_end_of_body(self, error: av.error.FFmpegError) -> bool:
        """Tell whether a server closed a connection whose answer had no length: that is how it says the end.

        FFmpeg takes it for an error where the server does not announce it. A file whose container says how long it is
        is compared with that afterwards.
        """
        return self._is_http and error.errno == errno.EIO

    def _note_end(self, packet: Packet[VideoStream]) -> None:
        """Remember how far the packets reach, whether they can be decoded or not."""
        if packet.pts is not None and packet.time_base is not None:
            end_s = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self._end_s = max(self._end_s, end_s)

    def _ends_in_a_packet(self) -> bool:
        """Tell whether an MPEG transport stream, which says nowhere how long it is, was cut off within a packet."""
        if self._opening.is_live or self.container.format.name != "mpegts":
            return False
        return all(self.container.size % packet_bytes for packet_bytes in _TRANSPORT_PACKET_BYTES)

    def _declared_duration_s(self) -> float | None:
        """Return how long the video says it is; the container's figure counts only where no audio can be longer."""
        stream, container = self.stream, self.container
        if self._opening.is_live and not (self._is_http and container.format.name not in _WITHOUT_LENGTH):
            return None
        if container.format.name == "avi" and stream.frames and (rate := self.frame_rate()):
            return stream.frames / rate  # FFmpeg shortens the duration of a file that is cut off, but not this
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        return None if container.streams.audio else _length_s(container)


def _length_s(container: InputContainer) -> float | None:
    """Return how long a file is; None where it does not say.

    Matroska tells the time at which it ends, which is more where it does not begin with 0: a piece of a recording.
    Some writers tell its length all the same: what would end before it begins is taken for that.
    """
    if not container.duration:
        return None
    begins = container.start_time or 0
    is_end = container.format.name.startswith("matroska") and 0 < begins < container.duration
    return (container.duration - begins if is_end else container.duration) / av.time_base


def _bit_rate(stream: VideoStream) -> int:
    """Return what the video or, for HLS, the playlist of variants says."""
    declared = stream.metadata.get("variant_bitrate", "")
    return int(stream.codec_context.bit_rate or 0) or (int(declared) if declared.isdecimal() else 0)


def _is_of_the_card(error: Exception) -> bool:
    """Tell whether FFmpeg could not make its context on a card, rather than open the source."""
    if isinstance(error, av.error.ExternalError | av.error.UnknownError):
        return True
    return isinstance(error, OSError) and error.errno == errno.EPERM


def _reason(error: Exception, timeout_s: float) -> str:
    """Return FFmpeg's reason in words a person understands, without the address, and its password, that it repeats."""
    if isinstance(error, av.error.ExitError | av.error.TimeoutError):
        return _no_answer(timeout_s)
    if isinstance(error, av.error.InvalidDataError):
        return "not a video, or one that is damaged or cut off (invalid data)"
    if isinstance(error, av.error.ArgumentError):
        return "not a video format that is accepted"
    if isinstance(error, av.error.BlockingIOError):
        return "what it sends is no video any more"
    if isinstance(error, av.error.MemoryError):
        return "it sends more than a picture can be"
    reason = getattr(error, "strerror", None)
    return reason if isinstance(reason, str) else type(error).__name__


def _no_answer(timeout_s: float) -> str:
    return f"no answer within {timeout_s:g} s"
