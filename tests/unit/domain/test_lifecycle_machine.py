"""Whatever happens to a stream, in whatever order: the promises of the lifecycle hold.

The machine plays users, workers and the operator against one record and remembers every log entry it was given.
"""

from __future__ import annotations

import itertools
import json
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from luna_streams.autorestart import FATAL_ERROR, next_autorestart
from luna_streams.conditions import observe_conditions
from luna_streams.errors import CannotCancel, CannotPause
from luna_streams.lifecycle import (
    AutorestartTick,
    Deleted,
    Drained,
    HandlerLost,
    Outcome,
    Report,
    Taken,
    UserRequest,
    Withheld,
    advance,
    follows_report,
    observe,
)
from luna_streams.stream import HISTORY_LIMIT, DesiredState
from luna_streams.v1alpha1 import (
    FINISHED_STATES,
    READABLE_STATES,
    AutorestartPolicy,
    LogEntry,
    Preview,
    PreviewUrl,
    StreamSpec,
    StreamState,
    StreamStatus,
    VideoInfo,
)
from support.builders import NOW, STREAM_ID, a_spec, an_analytics, some_data
from support.lifecycle_matrix import is_allowed

MAX_OBJECT_BYTES = 10_000
VIDEO = VideoInfo(
    width=3840, height=2160, frame_rate=30, bit_rate=25_000_000, gop_size=120, start_time=NOW, duration=12345.678901,
    progress=0.1234567890123,
)  # fmt: skip
URL = "http://[2001:db8:1234:5678:9abc:def0:1234:5678]:34569/api/1/streams/preview/" + STREAM_ID
PREVIEW = Preview(live=PreviewUrl(url=URL), last_frame=PreviewUrl(url=URL + "/frame"))

workers = st.sampled_from(["b1f7a3de-6f0a-4f57-9d1b-0a6a4f0c2e11", "another", "anonymous"])
wishes: st.SearchStrategy[DesiredState] = st.sampled_from([StreamState.PENDING, StreamState.PAUSE, StreamState.CANCEL])
errors = st.sampled_from([None, "no picture", FATAL_ERROR, "x" * 5000, "ж" * 5000])


class Life(RuleBasedStateMachine):
    """One stream, its spec, and everything that was ever logged about it."""

    spec: StreamSpec
    record: StreamStatus

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.log: list[LogEntry] = []
        self.most_attempts = 0

    @initialize(
        source=st.sampled_from(["tcp", "videofile"]), restart=st.sampled_from([0, 1]), attempts=st.integers(1, 3),
        wish=wishes,
    )  # fmt: skip
    def declare(self, source: str, restart: int, attempts: int, wish: DesiredState) -> None:
        analytics = (an_analytics(), an_analytics(mode=1))
        self.spec = a_spec(
            display_name="the door at the back",
            data=some_data(type=source, analytics=analytics),
            autorestart=AutorestartPolicy(restart=restart, attempt_count=attempts, delay=60),
            desired_status=wish,
            groups=("doors", "ground-floor"),
        )
        self.most_attempts = attempts
        self.accept(observe(self.spec, None, STREAM_ID, self.now), None)

    # --- what can happen ----------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0, 1, 20, 59, 60, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(wish=wishes)
    def patch(self, wish: DesiredState) -> None:
        before = self.record
        is_file = self.spec.data.type == "videofile"
        try:
            outcome = advance(before, UserRequest(wish, STREAM_ID, is_videofile=is_file), self.now)
        except CannotPause:
            assert (before.status, wish, is_file) == (StreamState.IN_PROGRESS, StreamState.PAUSE, True)
            return
        except CannotCancel:
            assert before.status in FINISHED_STATES
            return
        self.accept(outcome, before)
        assert self.record.status == wish
        assert self.record.version == before.version
        self.spec = self.spec.model_copy(update={"desired_status": wish})

    @rule(wish=wishes, name=st.sampled_from(["a", "b"]), restart=st.sampled_from([0, 1]), again=st.booleans())
    def edit(self, wish: DesiredState, name: str, restart: int, again: bool) -> None:
        policy = self.spec.autorestart.model_copy(update={"restart": restart})
        changes = {"desired_status": wish, "display_name": name, "autorestart": policy}
        if again:
            changes["restarted_at"] = self.now
        before, self.spec = self.record, self.spec.model_copy(update=changes)
        self.accept(observe(self.spec, before, STREAM_ID, self.now), before)
        is_new = self.record.data_hash != before.data_hash
        assert self.record.version == before.version + is_new
        if is_new:
            assert self.record.status == wish

    @rule()
    def observe_again(self) -> None:
        outcome = observe(self.spec, self.record, STREAM_ID, self.now)
        assert outcome.record is self.record
        assert outcome.entries == ()

    @rule(worker=workers)
    def take(self, worker: str) -> None:
        before = self.record
        self.accept(advance(before, Taken(worker), self.now), before)
        assert (self.record is not before) == (before.status == StreamState.PENDING)

    @rule()
    def withhold(self) -> None:
        before = self.record
        self.accept(advance(before, Withheld("Secret 'a' with key 'b' is missing"), self.now), before)
        assert self.record.status == before.status

    @rule(
        worker=workers, error=errors, behind=st.sampled_from([0, 0, 0, 1]),
        status=st.sampled_from([StreamState.IN_PROGRESS, StreamState.DONE, StreamState.FAILURE]),
    )  # fmt: skip
    def report(self, worker: str, error: str | None, behind: int, status: StreamState) -> None:
        before = self.record
        report = Report(status, before.version - behind, error, VIDEO, PREVIEW, worker)
        outcome = advance(before, report, self.now)
        self.accept(outcome, before)
        is_heard = before.status == StreamState.IN_PROGRESS and not behind and before.processor.worker == worker
        if not is_heard:
            assert outcome.record is before
        elif status == StreamState.IN_PROGRESS:
            lost = ["handler_lost", "restart", "pending"] if before.processor.leave_by else []
            assert [entry.status for entry in outcome.entries] == lost
        goes_on = is_heard and (status in FINISHED_STATES or before.processor.leave_by is None)
        assert follows_report(self.record, report) == (
            goes_on or (not behind and before.status == status and status in FINISHED_STATES)
        )

    @rule(reason=st.sampled_from(["no feedback for 20 s", "pod p-0 died"]))
    def worker_vanishes(self, reason: str) -> None:
        before = self.record
        self.accept(advance(before, HandlerLost(reason), self.now), before)
        if before.status == StreamState.IN_PROGRESS:
            assert self.record.status == StreamState.PENDING
        else:
            assert self.record is before

    @rule()
    def pod_is_drained(self) -> None:
        before = self.record
        self.accept(advance(before, Drained(self.now + timedelta(seconds=12)), self.now), before)
        assert (before.status == StreamState.IN_PROGRESS) == (self.record.processor.leave_by is not None)

    @rule()
    def tick(self) -> None:
        before, due = self.record, next_autorestart(self.record, self.spec.autorestart)
        self.accept(advance(before, AutorestartTick(self.spec.autorestart), self.now), before)
        assert (self.record is not before) == (due is not None and due <= self.now)

    @precondition(lambda self: self.record.autorestart.status == "in_progress")
    @rule()
    def the_attempt_is_judged(self) -> None:
        due = next_autorestart(self.record, self.spec.autorestart)
        assert due is not None
        self.now = max(self.now, due)
        self.tick()

    @rule()
    def delete(self) -> None:
        outcome = advance(self.record, Deleted(), self.now)
        assert outcome.record is self.record
        assert [(entry.status, entry.seq) for entry in outcome.entries] == [(StreamState.DELETED, self.log[-1].seq + 1)]

    # --- what always holds --------------------------------------------------------------------------------------

    def accept(self, outcome: Outcome, before: StreamStatus | None) -> None:
        """Take over an outcome; what it says about itself must be true."""
        if before is not None:
            assert outcome.record.version >= before.version
            assert (outcome.record.status_time == self.now) or not outcome.entries
            if outcome.record.status != before.status:
                assert outcome.entries
        self.record = outcome.record
        self.log += outcome.entries

    @invariant()
    def the_log_tells_the_whole_story(self) -> None:
        assert [entry.seq for entry in self.log] == list(range(1, len(self.log) + 1))
        assert self.record.history == tuple(self.log[-HISTORY_LIMIT:])
        assert self.log[-1].status == self.record.status
        assert self.log[-1].version == self.record.version
        steps = [entry.status.value for entry in self.log]
        assert all(itertools.starmap(is_allowed, itertools.pairwise(["none", *steps])))

    @invariant()
    def only_documented_statuses_are_readable(self) -> None:
        assert self.record.status in READABLE_STATES

    @invariant()
    def somebody_holds_it_exactly_while_it_is_in_progress(self) -> None:
        assert (self.record.processor.worker is not None) == (self.record.status == StreamState.IN_PROGRESS)

    @invariant()
    def counters_stay_within_bounds(self) -> None:
        state = self.record.autorestart
        assert 0 <= state.current_attempt <= self.most_attempts
        assert (state.status == "disabled") == (self.spec.autorestart.restart == 0)
        assert (state.current_attempt == 0) or state.last_attempt_time is not None

    @invariant()
    def it_can_be_stored(self) -> None:
        full = observe_conditions(self.record, self.now, generation=7)
        stored = full.to_resource()
        assert StreamStatus.from_resource(json.loads(json.dumps(stored))) == full
        size = len(json.dumps({"spec": self.spec.to_resource(), "status": stored}, ensure_ascii=False).encode())
        assert size <= MAX_OBJECT_BYTES


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40)
