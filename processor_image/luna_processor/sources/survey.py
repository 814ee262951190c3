"""Look into a source: what is in it, and what it is like to read it, by the same rules as a stream is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from av.packet import Packet
from av.video.stream import VideoStream

from luna_processor.errors import ProcessorError
from luna_processor.frames import Frame, Source, SourceInfo
from luna_processor.sources.adapters import DEFAULT_TIMEOUT_S, open_source
from luna_processor.sources.packets import Patience, VideoPackets
from luna_processor.sources.pyav import PyAvFrame, PyAvSource
from luna_processor.sources.reference import opening
from luna_processor.streams.plan import SourcePlan


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of a source is read."""

    seconds: float
    """Longest time for frames, once there is one."""
    frames: int


@dataclass(frozen=True, slots=True)
class Form:
    """What the container says beyond what every source does."""

    container_name: str = ""
    """For people, for example QuickTime / MOV."""
    profile: str = ""
    """Of the codec."""
    pixel_format: str = ""
    audio_count: int = 0
    """Streams of sound, which nobody reads."""


@dataclass(slots=True)
class PacketCounts:
    """What the packets of the video were like, as far as they were read."""

    packets: int = 0
    size_bytes: int = 0
    keyframes: int = 0
    without_stamp: int = 0
    steps_back: int = 0
    """Packets whose time to decode lies before that of the packet before."""
    first_s: float | None = None
    last_s: float | None = None
    """Presentation times."""

    @property
    def bit_rate(self) -> int:
        """Bits per second that were measured; 0 if there was too little."""
        if self.first_s is None or self.last_s is None or self.last_s <= self.first_s:
            return 0
        return round(8 * self.size_bytes / (self.last_s - self.first_s))


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found."""

    info: SourceInfo | None = None
    """None if it could not even be opened."""
    form: Form = Form()
    quarter_turns: int = 0
    """Clockwise, which make pictures upright."""
    opened_after_s: float | None = None
    first_frame_after_s: float | None = None
    """Since the beginning; None if there was none."""
    frame_count: int = 0
    damaged_count: int = 0
    span_s: float = 0.0
    """Time between the first and the last frame, in the source."""
    cpu_s: float = 0.0
    """Processor time for all frames, on one core."""
    is_at_end: bool = False
    """Whether the source was read to its end."""
    packets: PacketCounts = field(default_factory=PacketCounts)
    error: str | None = None
    """Why a stream of it would fail, as far as it was read."""


class _CountedPackets(VideoPackets):
    """Packets that are counted on their way."""

    def __init__(self, *arguments: object, counts: PacketCounts) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]  # handed on as they are
        self._counts = counts

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yield what the source gives."""
        last_dts: int | None = None
        for packet in super().packets():
            if packet.size:
                last_dts = self._count(packet, last_dts)
            yield packet

    def _count(self, packet: Packet[VideoStream], last_dts: int | None) -> int | None:
        counts = self._counts
        counts.packets += 1
        counts.size_bytes += packet.size
        counts.keyframes += packet.is_keyframe
        counts.without_stamp += packet.pts is None
        if packet.pts is not None and packet.time_base is not None:
            at_s = float(packet.pts * packet.time_base)
            counts.first_s = at_s if counts.first_s is None else min(counts.first_s, at_s)
            counts.last_s = at_s if counts.last_s is None else max(counts.last_s, at_s)
        if packet.dts is None:
            return last_dts
        counts.steps_back += last_dts is not None and packet.dts < last_dts
        return packet.dts


def survey(plan: SourcePlan, effort: Effort, is_stopped: Callable[[], bool]) -> Survey:
    """Open a source, read some of it, and return what was found; never raises for what is wrong with the source.

    Args:
        plan: what is read.
        effort: how much of it.
        is_stopped: true once nobody wants to know any more.
    """
    began_s = time.monotonic()
    counts = PacketCounts()
    try:
        source, form = _open(plan, is_stopped, counts)
    except ProcessorError as e:
        return Survey(error=str(e))
    found = Survey(source.info, form, opened_after_s=time.monotonic() - began_s, packets=counts)
    try:
        found = _read(source, effort, found, began_s)
    finally:
        source.close()
    return found


def _open(plan: SourcePlan, is_stopped: Callable[[], bool], counts: PacketCounts) -> tuple[Source, Form]:
    if plan.kind == "images":
        return open_source(plan, is_stopped), Form()
    found = opening(plan)
    patience = Patience(plan.timeout_s or DEFAULT_TIMEOUT_S, is_stopped)
    packets = _CountedPackets(found, patience, plan.preferred_width if found.is_live else None, counts=counts)
    codec = packets.stream.codec_context
    form = Form(
        container_name=packets.container.format.long_name,
        profile=packets.stream.profile or "",
        pixel_format=codec.pix_fmt or "",
        audio_count=len(packets.container.streams.audio),
    )
    return PyAvSource(found, packets, plan.thread_count), form


def _read(source: Source, effort: Effort, found: Survey, began_s: float) -> Survey:
    """Decode frames until there are enough of them, the time is up, or the source ends or fails."""
    first: Frame | None = None
    ends_s = 0.0
    frame_count = damaged_count = 0
    cpu_began_s = time.thread_time()
    try:
        for frame in source.frames():
            now_s = time.monotonic()
            if first is None:
                first, ends_s = frame, now_s + effort.seconds
                turns = frame.geometry.quarter_turns if isinstance(frame, PyAvFrame) else 0
                found = replace(found, first_frame_after_s=now_s - began_s, quarter_turns=turns)
            frame_count += 1
            damaged_count += frame.is_damaged
            found = replace(found, span_s=frame.pts_s - first.pts_s)
            if frame_count >= effort.frames or now_s >= ends_s:
                break
        else:
            found = replace(found, is_at_end=True)
    except ProcessorError as e:
        found = replace(found, error=str(e))
    return replace(
        found,
        info=source.info,
        frame_count=frame_count,
        damaged_count=damaged_count,
        cpu_s=time.thread_time() - cpu_began_s,
    )
