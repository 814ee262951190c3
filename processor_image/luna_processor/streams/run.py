"""One stream from its start to its end: connect, decode, analyse, reconnect, report.

Two threads per stream: one opens the source and decodes into the ring, one (the run's own) analyses and decides what
happens after an error. FFmpeg's waits cannot be interrupted: a run that is stopped leaves its decoding thread behind,
which ends with the wait it is in.
Nothing here reaches another stream; what all share is the engine behind `Stages` and the delivery.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, Protocol

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.events import ShotEvent
from luna_processor.delivery.runs import RunStart
from luna_processor.errors import (
    DeliveryRefused,
    DeviceLost,
    ProcessorError,
    SourceEnded,
    SourceFailed,
)
from luna_processor.frames import Frame, Source
from luna_processor.interface.metrics import Metrics
from luna_processor.sources.pace import Pace
from luna_processor.streams.health import GiveUp, Health
from luna_processor.streams.picturewatch import TEXTS, PictureWatch
from luna_processor.streams.pipeline import Pipeline, Stages, Step
from luna_processor.streams.plan import SourcePlan, StreamPlan
from luna_processor.streams.ring import FrameRing
from luna_processor.streams.stats import StreamStats
from luna_streams.policies import VideoInfo

log = logging.getLogger(__name__)

RING_CAPACITY = 2
"""Live: the newest frame, and the one that is being picked. A file needs no more either."""
STILL_PICTURE_CODECS = ("mjpeg", "png", "bmp")
"""A camera that sends single pictures may send the same one on purpose."""
_INT32_MAX = 2**31 - 1


class Deliverer(Protocol):
    """Takes events over for delivery; may be called by any thread."""

    def begin_run(self, start: RunStart, *, is_repeatable: bool) -> Account:
        """Return the account of a run that begins.

        Args:
            start: of the run.
            is_repeatable: whether its source could be read again from the start.
        """

    def finish_run(self, stream_id: str, version: int) -> None:
        """Say that a run will not go on: the next one has everything to send anew."""

    def forget_runs(self, stream_id: str) -> None:
        """Say that a stream is gone for good; what waits is delivered all the same."""

    def submit(self, event: ShotEvent, account: Account, wait_unless: Callable[[], bool] | None) -> bool:
        """Accept an event, or return False."""

    def wait_delivered(self, account: Account, unless: Callable[[], bool]) -> bool:
        """Wait until nothing of a run is on its way."""


class Onlooker(Protocol):
    """Watches a run frame by frame; called by its analysing thread, which waits."""

    def saw(self, step: Step) -> None:
        """Learn what a frame brought; its events were submitted before."""

    def disconnected(self) -> None:
        """Learn that all tracks have ended: the source is over, failed or was left."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What is so about a stream, as the feedback says it."""

    status: Literal["in_progress", "done", "failure"]
    error: str | None = None
    video_info: VideoInfo | None = None


class OpenSource(Protocol):
    """Opens sources; the one place where a way of decoding is chosen."""

    def __call__(self, plan: SourcePlan, is_stopped: Callable[[], bool], /) -> Source:
        """Return an open source.

        Args:
            plan: what is read, and how.
            is_stopped: true once nobody wants frames any more: asked between packets that give none.

        Raises:
            SourceFailed: if it cannot be opened or holds no video.
            UnsuitableStream: if it is nothing that a stream of this type may open.
        """


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run needs of the process."""

    stages: Stages
    delivery: Deliverer
    metrics: Metrics
    on_change: Callable[[], None]
    """Called by the run's thread when its report changes."""
    open_source: OpenSource
    onlooker: Onlooker | None = None


class StreamRun:
    """A stream that is being processed; `start` it once, `stop` it or let it end.

    Args:
        plan: of the stream.
        context: of the process.
    """

    def __init__(self, plan: StreamPlan, context: RunContext) -> None:
        self._began_at = datetime.now(UTC)
        start = RunStart(plan.stream_id, plan.version, self._began_at, plan.reported_began_at)
        self.account = context.delivery.begin_run(start, is_repeatable=not plan.source.is_live)
        self.plan = replace(plan, run_number=self.account.run_number)
        self.stats = StreamStats()
        self.latest_frame: Frame | None = None
        self._context = context
        self._report = RunReport("in_progress")
        self._health = Health(plan.source.health)
        self._interrupted = threading.Event()
        self._is_stopped = False
        self._sends_rest = True
        self._refusal: str | None = None
        self._remark: str | None = None
        self._watch: PictureWatch | None = None
        self._ring: FrameRing[tuple[Source, Frame]] | None = None
        self._thread = threading.Thread(target=self._run, name=f"stream-{plan.stream_id[:8]}", daemon=True)

    @property
    def report(self) -> RunReport:
        """What is so now."""
        return self._report

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended by itself or was stopped."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, *, sends_rest: bool) -> None:
        """End the stream without a final report; returns at once.

        Args:
            sends_rest: whether tracks that go on are ended and their best shots sent.
        """
        self._sends_rest = sends_rest
        self._is_stopped = True
        self._interrupt()

    def refuse(self, reason: str) -> None:
        """Let the stream fail for a reason that another part of the process found."""
        self._refusal = reason
        self._interrupt()

    def join(self, timeout_s: float) -> None:
        """Wait for the end."""
        self._thread.join(timeout_s)

    def send(self, event: ShotEvent) -> None:
        """Hand an event to the delivery: the run is the sink of its pipeline."""
        wait_unless = None if self.plan.source.is_live else self._interrupted.is_set
        self._context.delivery.submit(event, self.account, wait_unless)

    def _interrupt(self) -> None:
        self._interrupted.set()
        if ring := self._ring:
            ring.stop()

    def _run(self) -> None:
        try:
            self._process()
            if not self._interrupted.is_set():
                self._context.delivery.wait_delivered(self.account, self._interrupted.is_set)
            self._raise_refusal()
            remark = "; ".join(text for text in (self._remark, self.account.losses) if text) or None
            outcome = RunReport("done", remark, _at_its_end(self._report.video_info))
        except DeviceLost as e:
            # No fault of the stream, so no end of it: the process ends, and another one goes on with it.
            outcome = RunReport("in_progress", str(e), self._report.video_info)
        except ProcessorError as e:
            outcome = RunReport("failure", str(e), self._report.video_info)
        except Exception as e:  # a bug met by one stream ends that stream, with its traceback in the log
            log.exception("stream %s: internal error", self.plan.stream_id)
            outcome = RunReport("failure", f"internal error: {type(e).__name__}", self._report.video_info)
        if not self._is_stopped:
            self._set_report(outcome)

    def _process(self) -> None:
        """Read the source to its end, connecting again as often as the healthcheck allows."""
        while not self._interrupted.is_set():
            try:
                self._read_once()
                if not self.plan.source.is_endless or self._interrupted.is_set():
                    return
                raise SourceEnded(f"{self.plan.source.shown_as} has ended")
            except (SourceFailed, SourceEnded) as e:
                self._wait_before_retry(e)

    def _wait_before_retry(self, error: ProcessorError) -> None:
        """Count an error and wait as long as the healthcheck says.

        Raises:
            SourceFailed: if the limit is reached, or the source is a file: that will not get better.
        """
        self.stats.source_errors += 1
        if not self.plan.source.is_live:
            raise error
        verdict = self._health.failed(time.monotonic())
        if isinstance(verdict, GiveUp):
            raise SourceFailed(f"{error}; given up after {verdict.error_count} errors") from error
        log.warning("stream %s: %s; next attempt in %g s", self.plan.stream_id, error, verdict.delay_s)
        self._set_report(replace(self._report, error=str(error)))
        self._interrupted.wait(verdict.delay_s)

    def _read_once(self) -> None:
        """Open the source and analyse what it gives, until it ends or fails."""
        ring: FrameRing[tuple[Source, Frame]] = FrameRing(RING_CAPACITY, drops_oldest=self.plan.source.is_live)
        dropped_before = self.stats.frames_dropped
        decoder = threading.Thread(
            target=self._decode, args=(ring,), name=f"decode-{self.plan.stream_id[:8]}", daemon=True
        )
        self._ring = ring
        decoder.start()
        pipeline: Pipeline | None = None
        opened: Source | None = None
        try:
            while not self._interrupted.is_set() and (item := ring.get()) is not None:
                source, frame = item
                if pipeline is None:
                    opened = source
                    self._watch = self._make_watch(source)
                    pipeline = Pipeline(self.plan, source.info, self._context.stages, self, self.stats)
                self._analyse(pipeline, frame, source)
                self.stats.frames_dropped = dropped_before + ring.dropped_count
            self._remark = opened.info.remark if opened else None
        finally:
            self._ring = None
            self.stats.is_black = self.stats.is_frozen = False
            ring.stop()
            if pipeline is not None and self._sends_rest:
                pipeline.finish()
            if self._context.onlooker is not None:
                self._context.onlooker.disconnected()

    def _analyse(self, pipeline: Pipeline, frame: Frame, source: Source) -> None:
        with self._context.metrics.analysis_seconds.time():
            step = pipeline.step(frame)
        latency_s = (datetime.now(UTC) - frame.captured_at).total_seconds()
        self._context.metrics.frame_age_seconds.observe(latency_s)
        self.stats.analysed(frame.pts_s, latency_s)
        self.latest_frame = frame
        if self._context.onlooker is not None:
            self._context.onlooker.saw(step)
        error = self._look_for_faults(frame)
        is_news = self._report.video_info is None or self._report.error != error
        self._set_report(RunReport("in_progress", error, self._video_info(source)), is_news=is_news)

    def _make_watch(self, source: Source) -> PictureWatch | None:
        """Return what notices a dead camera; a file, also one that is sent, may well stand still or be black."""
        if not (self.plan.source.is_live and self.plan.source.is_endless):
            return None
        return PictureWatch(notices_frozen=source.info.codec not in STILL_PICTURE_CODECS)

    def _look_for_faults(self, frame: Frame) -> str | None:
        """Return what is wrong with the picture of a camera, in words."""
        if self._watch is None:
            return None
        self._watch.look(frame)
        fault = self._watch.fault
        self.stats.is_black, self.stats.is_frozen = fault == "black", fault == "frozen"
        return TEXTS[fault] if fault else None

    def _decode(self, ring: FrameRing[tuple[Source, Frame]]) -> None:
        """Open the source and fill the ring; the decoding thread's whole life."""
        try:
            with closing(self._context.open_source(self.plan.source, ring.is_closed)) as source:
                self._fill(ring, source)
            ring.finish()
        except Exception as e:  # goes to the analysing thread, which decides or logs it
            ring.finish(e)

    def _fill(self, ring: FrameRing[tuple[Source, Frame]], source: Source) -> None:
        plan = self.plan.source
        if source.info.is_sent_whole and not plan.is_endless:
            ring.keep_all()
        wait_s = self._pacing(source)
        for frame in source.frames():
            self.stats.frames_read += 1
            if self._interrupted.wait(wait_s(frame)) or not ring.put((source, frame)):
                return

    def _pacing(self, source: Source) -> Callable[[Frame], float]:
        """Return what tells how long a frame is held back, seconds."""
        plan, began_s, pace = self.plan.source, time.monotonic(), Pace()
        if plan.kind == "videofile" and plan.pace_fps:
            return lambda frame: max(0.0, began_s + frame.number / plan.pace_fps - time.monotonic())
        if source.info.comes_in_pieces and plan.is_endless:
            return lambda frame: pace.wait_s(frame.pts_s, time.monotonic())
        return lambda frame: 0.0

    def _video_info(self, source: Source) -> VideoInfo:
        info = source.info
        progress = min(1.0, self.stats.progress_s / info.duration_s) if info.duration_s else None
        return VideoInfo(
            width=info.width,
            height=info.height,
            frame_rate=round(info.frame_rate),
            bit_rate=min(info.bit_rate, _INT32_MAX),
            gop_size=info.gop_size,
            start_time=self._began_at,
            duration=info.duration_s,
            progress=progress,
        )

    def _set_report(self, report: RunReport, *, is_news: bool = True) -> None:
        self._report = report
        if is_news:
            self._context.on_change()

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise DeliveryRefused(self._refusal)


def _at_its_end(video_info: VideoInfo | None) -> VideoInfo | None:
    """Return what is known of a source that was read to its end."""
    if video_info is None or video_info.progress is None:
        return video_info
    return video_info.model_copy(update={"progress": 1.0})
