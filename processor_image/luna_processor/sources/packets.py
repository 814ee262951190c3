"""Open a video with FFmpeg and read its packets: addresses, time-outs, variants and ends, before anything is decoded.

Both ways of decoding begin here, so that a source means the same to both. FFmpeg's waits cannot be interrupted from
outside, but each has a bound.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from luna_processor.errors import SourceFailed
from luna_processor.sources.completeness import WITHOUT_STAMPS, Completeness, length_s
from luna_processor.sources.geometry import stretch_of
from luna_processor.sources.memory import bound_allocations
from luna_processor.sources.reference import Opening
from luna_processor.sources.variants import Variant, choose_variant

MAX_TIMEOUT_S = 60.0
"""No wait is longer, whatever the stream asks for: a stream that was stopped leaves nothing behind for longer."""
_HIGHEST_FRAME_RATE = 1000
_TRIED_PARTS = 2
"""Parts of a multipart answer after which it is believed that they are as long as they say."""


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
        self.container = self._open(opening.format)
        self.variants = self._find_videos()
        self.variant = self.variants[0] if preferred_width is None else choose_variant(self.variants, preferred_width)
        [self.stream] = (stream for stream in self.container.streams.video if stream.index == self.variant.index)
        self._completeness = Completeness(opening, self.container, self.stream, self.frame_rate())
        self._discard_others()
        self.was_left = False
        """Whether nobody wanted any more before the end."""

    @property
    def has_stamps(self) -> bool:
        """Whether time stamps come with the pictures."""
        return self.container.format.name not in WITHOUT_STAMPS

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
            for packet in self._demuxed():
                if self._is_stopped():
                    self.was_left = True
                    return
                of_video = cast("Packet[VideoStream]", packet)
                self._completeness.note(of_video)
                if packet.stream_index == self.stream.index:
                    yield of_video
                    last_s, has_begun = time.monotonic(), True
                elif self._opening.is_live and time.monotonic() - last_s > self._timeout_s:
                    raise SourceFailed(f"{self._opening.shown_as} sends no video any more")
        except av.error.FFmpegError as e:
            if has_begun and self._is_http and e.errno == errno.EIO:
                # How a server closes a connection: the end of an answer that has no length. Where the container says
                # how long it is, that is compared afterwards.
                yield self._flush()
                if self.container.size > 0:
                    raise SourceFailed(
                        f"{self._opening.shown_as} is truncated: the connection ended before all of it was sent"
                    ) from e
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

    def stretch(self) -> float:
        """Return by how much its pictures are stretched in width: 1 where the samples are square.

        A JPEG has a density for printers there, which means nothing of a camera.
        """
        codec = self.stream.codec_context
        aspect = None if codec.name == "mjpeg" else self.stream.sample_aspect_ratio
        return stretch_of(aspect, codec.width, codec.height)

    def duration_s(self) -> float | None:
        """Return how long the source is; None for a live one, and where it does not say."""
        return None if self._opening.is_live else length_s(self.container)

    def declared_start_s(self) -> float | None:
        """Return the time stamp at which a file says it begins."""
        stream = self.stream
        if self._opening.is_live or stream.start_time is None or stream.time_base is None:
            return None
        return float(stream.start_time * stream.time_base)

    def check_complete(self, start_s: float | None) -> None:
        """Look whether a file that was read to its end, here or from a server, is all there.

        Args:
            start_s: time stamp of the first frame.

        Raises:
            SourceFailed: if it was cut off.
        """
        self._completeness.check(start_s)

    def close(self) -> None:
        """Release the connection or file."""
        self.container.close()

    def _demuxed(self) -> Iterator[Packet[Any]]:
        """Yield packets; of a multipart answer whose parts do not have the length they say, by the marks of JPEG.

        FFmpeg believes the lengths, and gives up where no part begins behind one, or waits for what never comes.
        """
        count = 0
        try:
            for packet in self.container.demux():
                yield packet
                count += 1
        except av.error.FFmpegError:
            if self.container.format.name != "mpjpeg" or count > _TRIED_PARTS or self._is_stopped():
                raise
            self._reopen_as_bare_jpegs()
            yield from self.container.demux()

    def _reopen_as_bare_jpegs(self) -> None:
        before = self.stream.codec_context
        self.container.close()
        self.container = self._open("mjpeg")
        [self.stream] = self.container.streams.video
        self.stream.codec_context.thread_type = before.thread_type
        self.stream.codec_context.thread_count = before.thread_count

    def _open(self, video_format: str | None) -> InputContainer:
        bound_allocations()
        began_s = time.monotonic()
        try:
            return av.open(
                self._opening.url,
                format=video_format,
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

    def _discard_others(self) -> None:
        """Tell FFmpeg to pass over all the rest: variants of HLS that nobody reads are not fetched then."""
        if self._completeness.needs_all_streams:
            return
        for stream in self.container.streams:
            if stream.index != self.stream.index:
                stream.discard = Discard.all

    def _flush(self) -> Packet[VideoStream]:
        """Return the packet that makes a decoder give what it holds back."""
        packet = Packet()
        packet.stream = self.stream
        return cast("Packet[VideoStream]", packet)


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
    if isinstance(error, av.error.EOFError):
        return "it ends before there is any video"
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
