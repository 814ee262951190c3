"""Decode videos with PyAV (FFmpeg): files, RTSP, HTTP and HLS, MPEG-TS in datagrams, cameras at this host.

On the CPU, or by the decoder of a GPU (`cuda`).
One thread decodes one stream unless the stream asks for more: with many streams per process, threads inside a decoder
only add latency and memory. Frames are handed on undecoded into RGB; conversion happens when somebody asks for a
picture.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import av.error
import numpy as np
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from luna_processor.engines.preparation import DevicePlanes
from luna_processor.errors import SourceFailed, UnsuitableSource
from luna_processor.frames import SourceInfo
from luna_processor.sources.cuda import GpuDecoding, planes_of
from luna_processor.sources.geometry import Geometry, geometry_of
from luna_processor.sources.packets import VideoPackets
from luna_processor.sources.reference import Opening
from luna_processor.sources.timeline import Timeline
from luna_processor.vision.view import Picture

MAX_THREADS = 64
"""Threads of one decoder; FFmpeg takes any number and uses few."""
_DEFAULT_FRAME_RATE = 25.0
_MAX_BARREN_AT_START = 500
"""Packets in a row that no frame comes from before a live source counts as broken: two of the longest usual GOPs."""
_MAX_BARREN = 125
"""The same once there were frames; it is the codec then, or the way here."""
_MAX_BARREN_AT_END = 2
"""The same at the end of a file, whose rest was lost then; a recording often stops within a picture."""


class Pictures:
    """Colour conversion of one source; scaling contexts are kept, one per format and size."""

    def __init__(self) -> None:
        self._reformatters: dict[tuple[str, int, int], VideoReformatter] = {}
        self._lock = threading.Lock()
        self._brought: tuple[VideoFrame, VideoFrame] | None = None

    def on_host(self, frame: VideoFrame) -> VideoFrame:
        """Return a frame of the host; one of a device is brought here, once for all that is asked of it in a row."""
        if frame.sw_format is None:
            return frame
        with self._lock:
            if self._brought is None or self._brought[0] is not frame:
                self._brought = (frame, frame.reformat(format=frame.sw_format.name))
            return self._brought[1]

    def convert(self, frame: VideoFrame, pixel_format: str, width: int, height: int) -> Picture:
        """Return a frame in a format and size, uint8."""
        with self._lock:
            reformatter = self._reformatters.setdefault((pixel_format, width, height), VideoReformatter())
            # One thread, the caller's: by default FFmpeg starts one per core for each context of each stream, which
            # gains nothing beside other streams.
            converted = reformatter.reformat(frame, width=width, height=height, format=pixel_format, threads=1)
            return np.asarray(converted.to_ndarray(), np.uint8)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class PyAvFrame:
    """A frame in FFmpeg's hands."""

    number: int
    pts_s: float
    _frame: VideoFrame
    _pictures: Pictures
    geometry: Geometry = field(default_factory=Geometry)
    """What makes it upright, as a player shows it."""
    captured_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def is_keyframe(self) -> bool:
        """Whether it was compressed by itself."""
        return bool(self._frame.key_frame)

    @property
    def is_damaged(self) -> bool:
        """Whether parts of the picture were lost on the way."""
        return self._frame.is_corrupt

    @property
    def width(self) -> int:
        """Pixels, upright."""
        return self.geometry.size(self._frame.width, self._frame.height)[0]

    @property
    def height(self) -> int:
        """Pixels, upright."""
        return self.geometry.size(self._frame.width, self._frame.height)[1]

    @property
    def planes(self) -> DevicePlanes | None:
        """Where it lies in the memory of a GPU, if it does; whatever else is asked of it brings it to the host."""
        return planes_of(self._frame, self.geometry.quarter_turns) if self.geometry.is_turned_only else None

    def rgb(self) -> Picture:
        """Return the picture, uint8 (H, W, 3)."""
        return self.scaled_rgb(self.width, self.height)

    def scaled_rgb(self, width: int, height: int) -> Picture:
        """Return the picture stretched to this size, uint8 (height, width, 3)."""
        return self._convert("rgb24", width, height)

    def luma(self) -> Picture:
        """Return the brightness, uint8 (H, W): the decoder's own plane where there is one, not copied."""
        luma = _luma_plane(self._pictures.on_host(self._frame)) if self.geometry.stretch == 1.0 else None
        if luma is None:
            return self._convert("gray", self.width, self.height)
        return self.geometry.upright(luma)

    def _convert(self, pixel_format: str, width: int, height: int) -> Picture:
        size = self.geometry.swapped(width, height)
        return self.geometry.upright(self._pictures.convert(self._pictures.on_host(self._frame), pixel_format, *size))


def _luma_plane(frame: VideoFrame) -> Picture | None:
    """Return the brightness of a frame whose format has a plane of bytes for it, as most have."""
    first, plane = frame.format.components[0], frame.planes[0]
    if not (first.is_luma and first.bits == 8 and frame.format.is_planar and plane.line_size > 0):
        return None
    rows = np.asarray(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


@dataclass(slots=True)
class _Harvest:
    """What the packets of a video brought, counted in packets."""

    has_begun: bool = False
    """Whether there was a frame."""
    barren_in_a_row: int = 0
    """Without a frame, since the last one."""
    lost_at_end: int = 0
    """Without a frame, since the last whole one; what another codec's bits make frames of is never whole."""
    _barren_at_start: int = 0

    def note(self, packet: Packet[VideoStream], frames: list[VideoFrame]) -> None:
        """Count a packet; the last one is empty and brings what the decoder held back."""
        whole_count = sum(not frame.is_corrupt for frame in frames)
        if packet.size:
            is_barren = not frames and not packet.is_discard  # what an edit left out is not lost
            self.barren_in_a_row = 0 if frames else self.barren_in_a_row + is_barren
            self.lost_at_end = 0 if whole_count else self.lost_at_end + is_barren
            self._barren_at_start += is_barren and not self.has_begun
        else:
            # What is held back belongs to the barren packets at the start; to those at the end only in a file so short
            # that there were no others.
            self.lost_at_end -= max(0, whole_count - (self._barren_at_start if self.has_begun else 0))
        self.has_begun = self.has_begun or bool(frames)


class PyAvSource:
    """An open video; `frames` may be iterated once.

    Args:
        opening: what was opened.
        packets: of it; closed with this.
        thread_count: of the decoder; 0 or 1 decodes in the thread that iterates.
        gpu: that `packets` was opened for; None decodes on the CPU.
    """

    def __init__(
        self, opening: Opening, packets: VideoPackets, thread_count: int = 0, gpu: GpuDecoding | None = None
    ) -> None:
        self._gpu = gpu
        self._opening = opening
        self._packets = packets
        self._pictures = Pictures()
        codec = packets.stream.codec_context
        # Each thread that decodes a frame of its own takes one more of the card's surfaces, of which more than 32 are
        # refused; threads within a frame take none, and serve where the CPU decodes after all.
        several = "AUTO" if gpu is None else "SLICE"
        codec.thread_type = several if thread_count > 1 else "NONE"
        codec.thread_count = max(1, min(thread_count, MAX_THREADS))
        self._stretch = packets.stretch()
        width, height = Geometry(self._stretch).size(codec.width, codec.height)
        self._info = SourceInfo(
            width=width,
            height=height,
            frame_rate=packets.frame_rate() or 0.0,
            bit_rate=packets.bit_rate(),
            duration_s=packets.duration_s(),
            codec=codec.name,
            container=packets.container.format.name,
            variants=packets.variants,
            variant=packets.variant,
            comes_in_pieces=packets.comes_in_pieces,
            is_sent_whole=packets.waits_for_reader,
        )

    @property
    def info(self) -> SourceInfo:
        """What is known by now."""
        return self._info

    def frames(self) -> Iterator[PyAvFrame]:
        """Yield the frames in order of display, until the end.

        Raises:
            SourceFailed: if reading fails, nothing can be decoded, or a file ends too early.
            UnsuitableSource: if the size of the frames changes.
        """
        packets = self._packets
        timeline = Timeline(
            interval_s=1 / (packets.frame_rate() or _DEFAULT_FRAME_RATE),
            is_live=self._opening.is_live,
            has_stamps=packets.has_stamps or not self._opening.is_live,
            origin_s=packets.declared_start_s(),
        )
        number = 0
        start_s: float | None = None
        for decoded in self._decoded():
            geometry = geometry_of(decoded, self._stretch)
            if number and decoded.is_corrupt and not self._fits(decoded, geometry):
                continue  # another codec's bits make pictures of any size
            stamp_s = _stamp_s(decoded)
            frame = PyAvFrame(number, timeline.at(stamp_s, time.monotonic()), decoded, self._pictures, geometry)
            if number == 0:
                if self._gpu is not None:
                    self._gpu.note_first(decoded, self._info.codec, self._opening.shown_as)
                self._info = replace(self._info, width=frame.width, height=frame.height)
                start_s = timeline.origin_s
            check_size(self._info, frame)
            yield frame
            number += 1
        if packets.was_left:
            return
        if number == 0:
            raise SourceFailed(f"{self._opening.shown_as} holds no frame that can be decoded")
        packets.check_complete(start_s)

    def close(self) -> None:
        """Release the connection or file."""
        self._packets.close()

    def _decoded(self) -> Iterator[VideoFrame]:
        """Decode packet by packet; broken ones are skipped, as long as others are whole."""
        harvest = _Harvest()
        frames_since_key = 0
        for packet in self._packets.packets():
            had_begun = harvest.has_begun
            frames = _decode(packet)
            harvest.note(packet, frames)
            if self._opening.is_live and harvest.barren_in_a_row >= (
                _MAX_BARREN if had_begun else _MAX_BARREN_AT_START
            ):
                raise self._barren(harvest.barren_in_a_row, has_begun=had_begun)
            for frame in frames:
                if frame.key_frame:
                    self._note_gop(frames_since_key)
                    frames_since_key = 0
                frames_since_key += 1
                yield frame
        if harvest.has_begun and harvest.lost_at_end > _MAX_BARREN_AT_END and not self._packets.was_left:
            raise self._barren(harvest.lost_at_end, has_begun=True)

    def _barren(self, packet_count: int, *, has_begun: bool) -> SourceFailed:
        why = "any more, its codec may have changed" if has_begun else ""
        return SourceFailed(
            f"{self._opening.shown_as} cannot be decoded{f' {why}' if why else ''}: no frame in {packet_count} packets"
        )

    def _fits(self, frame: VideoFrame, geometry: Geometry) -> bool:
        return geometry.size(frame.width, frame.height) == (self._info.width, self._info.height)

    def _note_gop(self, size: int) -> None:
        if size and size != self._info.gop_size:
            self._info = replace(self._info, gop_size=size)


def check_size(info: SourceInfo, frame: PyAvFrame, where: str = "") -> None:
    """Look whether a frame is as large as those before.

    Args:
        info: of the source.
        frame: of it.
        where: which one it is, for the message.

    Raises:
        UnsuitableSource: if it is not.
    """
    if (frame.width, frame.height) != (info.width, info.height):
        raise UnsuitableSource(
            f"frame size is changed from {info.width}x{info.height} to {frame.width}x{frame.height}{where}"
        )


def _decode(packet: Packet[VideoStream]) -> list[VideoFrame]:
    try:
        return packet.decode()
    except av.error.FFmpegError:
        return []


def _stamp_s(frame: VideoFrame) -> float | None:
    if frame.pts is None or frame.time_base is None:
        return None
    return float(frame.pts * frame.time_base)
