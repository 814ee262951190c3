"""A run of a stream without a camera, models or a platform: frames that a test makes, and events that go nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from luna_processor.delivery.accounts import Account
from luna_processor.delivery.events import ShotEvent
from luna_processor.delivery.runs import RunStart
from luna_processor.frames import Frame, Source, SourceInfo
from luna_processor.interface.metrics import Metrics
from luna_processor.streams.pipeline import Stages
from luna_processor.streams.plan import Platform, SourcePlan, make_plan
from luna_processor.streams.run import RunContext, RunReport, StreamRun
from luna_processor.streams.scene import Estimators
from luna_streams.rest import v2
from support.frames import PaintDetector, ToldMouth, ToldPose
from support.processor_builders import STREAM_ID


class Nowhere:
    """Takes every event and delivers none."""

    def begin_run(self, start: RunStart, *, is_repeatable: bool) -> Account:
        return Account()

    def finish_run(self, stream_id: str, version: int) -> None:
        pass

    def forget_runs(self, stream_id: str) -> None:
        pass

    def submit(self, event: ShotEvent, account: Account, wait_unless: Callable[[], bool] | None) -> bool:
        return True

    def wait_delivered(self, account: Account, unless: Callable[[], bool]) -> bool:
        return True


@dataclass
class MadeSource:
    """A source whose frames, and last error, a test makes."""

    info: SourceInfo
    make_frames: Callable[[], Iterator[Frame]]
    is_closed: bool = False

    def frames(self) -> Iterator[Frame]:
        return self.make_frames()

    def close(self) -> None:
        self.is_closed = True


@dataclass
class ObservedRun:
    """A run, every different report it made, and what it opened."""

    run: StreamRun
    reports: list[RunReport] = field(default_factory=list)
    opened: list[SourcePlan] = field(default_factory=list)

    @property
    def errors(self) -> list[str | None]:
        """The different errors that were reported one after another."""
        found: list[str | None] = []
        for report in self.reports:
            if not found or found[-1] != report.error:
                found.append(report.error)
        return found


def a_run(body: dict[str, Any], open_source: Callable[[SourcePlan, Callable[[], bool]], Source]) -> ObservedRun:
    """Return a run of a stream as POST /2/streams takes it; start it."""
    plan = make_plan(v2.queued_stream({**body, "stream_id": STREAM_ID, "version": 1}), Platform("http://platform", 6))
    opened: list[SourcePlan] = []

    def open_observed(source: SourcePlan, is_stopped: Callable[[], bool], /) -> Source:
        opened.append(source)
        return open_source(source, is_stopped)

    observed: ObservedRun
    context = a_context(lambda: observed.reports.append(observed.run.report), open_observed)
    observed = ObservedRun(StreamRun(plan, context), opened=opened)
    return observed


def a_context(
    on_change: Callable[[], None], open_source: Callable[[SourcePlan, Callable[[], bool]], Source]
) -> RunContext:
    """Return what runs need, without models and without a platform."""
    stages = Stages(PaintDetector(0), PaintDetector(1), Estimators(ToldPose(), ToldMouth()))
    return RunContext(stages, Nowhere(), Metrics(), on_change, open_source)
