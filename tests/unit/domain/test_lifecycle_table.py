"""The transition table, cell by cell, twice: what a trigger does, and what may follow what in the log.

`may_follow` is the matrix of the LUNA Streams Development Manual, see tests/support/lifecycle_matrix.py.
"""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta
from typing import Final, cast

import pytest

from luna_streams.errors import CannotCancel, CannotPause, DomainError
from luna_streams.lifecycle import (
    REFUSALS,
    TRANSITIONS,
    AutorestartTick,
    Deleted,
    Drained,
    Event,
    HandlerLost,
    Replaced,
    Report,
    Taken,
    Trigger,
    UserRequest,
    Withheld,
    advance,
    create,
    follows_report,
    is_drained,
    moved,
    preempted,
)
from luna_streams.stream import DesiredState
from luna_streams.v1alpha1 import READABLE_STATES, AutorestartPolicy, StreamSpec, StreamState, StreamStatus
from support.builders import NOW, STREAM_ID, WORKER, a_record, a_spec, some_data
from support.lifecycle_matrix import may_follow

LATER = NOW + timedelta(hours=1)
RESTARTING = AutorestartPolicy(restart=1)
SPEC = a_spec(autorestart=RESTARTING)

# --- what a trigger does --------------------------------------------------------------------------------------------

# One line per status, one word per trigger: the statuses that are logged, `.` for nothing, `!` for a refusal.
TABLE: Final = """
trigger            pending      in_progress                   done         pause        cancel       failure
user_pending       .            pending                       pending      pending      pending      pending
user_pause         pause        pause                         pause        .            pause        pause
user_cancel        cancel       cancel                        !            cancel       .            !
replaced_pending   pending      pending                       pending      pending      pending      pending
replaced_pause     pause        pause                         pause        pause        pause        pause
replaced_cancel    cancel       cancel                        cancel       cancel       cancel       cancel
taken              in_progress  .                             .            .            .            .
reported_done      .            done                          .            .            .            .
reported_failure   .            failure                       .            .            .            .
handler_lost       .            handler_lost+restart+pending  .            .            .            .
restarted          .            .                             .            .            .            restart+pending
deleted            deleted      deleted                       deleted      deleted      deleted      deleted
"""


def cells() -> list[object]:
    """Return one case per cell of the table."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    return [
        pytest.param(StreamState(state), Trigger(row[0]), cell, id=f"{state}-{row[0]}")
        for row in rows
        for state, cell in zip(head[1:], row[1:], strict=True)
    ]


def test_the_table_has_every_readable_status_and_every_trigger() -> None:
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    assert set(head[1:]) == set(READABLE_STATES)
    assert [row[0] for row in rows] == list(Trigger)
    assert set(TRANSITIONS) == set(READABLE_STATES)


@pytest.mark.parametrize(("state", "trigger", "cell"), cells())
def test_a_trigger_does_what_the_table_says(state: StreamState, trigger: Trigger, cell: str) -> None:
    before = a_record(SPEC, status=state)
    if cell == "!":
        assert (state, trigger) in REFUSALS
        with pytest.raises(CannotCancel, match=STREAM_ID):
            advance(before, event_of(trigger, before), LATER)
        return
    outcome = advance(before, event_of(trigger, before), LATER)
    path = [] if cell == "." else cell.split("+")
    assert [entry.status for entry in outcome.entries] == path
    if not path:
        assert outcome.record is before
    elif trigger != Trigger.DELETED:
        assert_moved(before, outcome.record, path, trigger)


def assert_moved(before: StreamStatus, after: StreamStatus, path: list[str], trigger: Trigger) -> None:
    """Assert all that a move means besides the status."""
    is_replaced = trigger in (Trigger.REPLACED_PENDING, Trigger.REPLACED_PAUSE, Trigger.REPLACED_CANCEL)
    assert after.status == path[-1]
    assert after.status_time == LATER
    assert after.version == before.version + is_replaced
    assert after.processor.worker == (WORKER if trigger == Trigger.TAKEN else None)
    assert after.history[: len(before.history)] == before.history
    added = after.history[len(before.history) :]
    assert [(entry.status, entry.version, entry.log_time) for entry in added] == [
        (status, after.version, LATER) for status in path
    ]
    assert [entry.seq for entry in after.history] == list(range(1, len(after.history) + 1))


def event_of(trigger: Trigger, record: StreamStatus) -> Event:
    """Return the event that causes a trigger."""
    kind, _, detail = trigger.partition("_")
    if kind == "user":
        return UserRequest(cast(DesiredState, StreamState(detail)), STREAM_ID, is_videofile=False)
    if kind == "replaced":
        return Replaced(a_spec(desired_status=detail, display_name="other", autorestart=RESTARTING))
    if kind == "reported":
        return Report(StreamState(detail), record.version, worker=WORKER)
    others: dict[Trigger, Event] = {
        Trigger.TAKEN: Taken(WORKER),
        Trigger.HANDLER_LOST: HandlerLost("no feedback for 20 s"),
        Trigger.RESTARTED: AutorestartTick(RESTARTING),
        Trigger.DELETED: Deleted(),
    }
    return others[trigger]


@pytest.mark.parametrize(
    ("source", "is_refused"), [("videofile", True), ("images", False), ("tcp", False), ("udp", False)]
)
def test_only_a_file_in_progress_cannot_be_paused(source: str, is_refused: bool) -> None:
    spec = a_spec(data=some_data(type=source))
    record = a_record(spec, status="in_progress")
    request = UserRequest(StreamState.PAUSE, STREAM_ID, is_videofile=spec.data.type == "videofile")
    if is_refused:
        with pytest.raises(CannotPause, match="is already in progress and cannot be stopped"):
            advance(record, request, LATER)
    else:
        assert advance(record, request, LATER).record.status == StreamState.PAUSE


def test_a_file_that_waits_can_be_paused() -> None:
    record = a_record(status="pending")
    assert advance(record, UserRequest(StreamState.PAUSE, STREAM_ID, True), LATER).record.status == StreamState.PAUSE


def test_a_refusal_carries_the_documented_code() -> None:
    assert (CannotPause.code, CannotCancel.code) == (39003, 39005)
    assert issubclass(CannotPause, DomainError)


@pytest.mark.parametrize("desired", ["pending", "pause", "cancel"])
def test_a_new_stream_starts_as_it_is_wanted_with_version_1(desired: str) -> None:
    spec: StreamSpec = a_spec(desired_status=desired)
    outcome = create(spec, NOW)
    assert (outcome.record.status, outcome.record.version, outcome.record.status_time) == (desired, 1, NOW)
    assert [(entry.seq, entry.status) for entry in outcome.entries] == [(1, desired)]
    assert outcome.record.history == outcome.entries


def test_what_a_worker_said_stands_in_the_log_entry_of_the_status_it_caused() -> None:
    record = a_record(SPEC, status="in_progress")
    failed = advance(record, Report(StreamState.FAILURE, 1, error="no such file", worker=WORKER), LATER)
    assert [entry.error for entry in failed.entries] == ["no such file"]
    again = advance(failed.record, AutorestartTick(RESTARTING), LATER)
    assert [(entry.status, entry.error) for entry in again.entries] == [("restart", None), ("pending", None)]
    assert again.record.last_error == "no such file"


def test_a_lost_handler_is_logged_with_the_reason() -> None:
    lost = advance(a_record(status="in_progress"), HandlerLost("pod p-0 died"), LATER)
    assert [(entry.status, entry.error) for entry in lost.entries] == [
        ("handler_lost", "pod p-0 died"),
        ("restart", None),
        ("pending", None),
    ]
    assert (lost.record.last_error, lost.record.preview) == ("pod p-0 died", None)


def test_a_drained_worker_is_told_to_stop_before_the_stream_is_queued_for_another() -> None:
    taken = a_record(SPEC, status="in_progress")
    held = taken.model_copy(update={"processor": taken.processor.model_copy(update={"pod": "gpu-0"})})
    asked = advance(held, Drained(LATER), NOW)
    assert (asked.record.status, asked.record.processor.leave_by, asked.entries) == ("in_progress", LATER, ())
    assert advance(asked.record, Drained(LATER + timedelta(seconds=1)), NOW).record is asked.record
    report = Report(StreamState.IN_PROGRESS, 1, worker=WORKER)
    told = advance(asked.record, report, NOW).record
    assert (told.status, told.processor.model_dump(exclude_none=True)) == ("pending", {})
    assert told.last_error == "processor pod gpu-0 is drained"
    assert not follows_report(told, report)


@pytest.mark.parametrize("reason", [preempted("gpu-0", 5), moved("gpu-0", "zone-a")], ids=["preempted", "moved"])
def test_why_a_stream_leaves_a_pod_that_stays_is_told_when_it_has_left(reason: str) -> None:
    asked = advance(a_record(SPEC, status="in_progress"), Drained(LATER, reason), NOW).record
    assert asked.processor.leave_reason == reason
    told = advance(asked, Report(StreamState.IN_PROGRESS, 1, worker=WORKER), NOW).record
    assert (told.status, told.last_error, told.processor.leave_reason) == ("pending", reason, None)
    assert is_drained(reason), "nobody is at fault"


def test_a_drained_worker_may_still_finish_and_nobody_else_is_asked_to_leave() -> None:
    asked = advance(a_record(SPEC, status="in_progress"), Drained(LATER), NOW).record
    assert advance(asked, Report(StreamState.IN_PROGRESS, 1, worker="other"), NOW).record is asked
    assert advance(asked, Report(StreamState.DONE, 1, worker=WORKER), NOW).entries[-1].status == StreamState.DONE
    waiting = a_record(SPEC)
    assert advance(waiting, Drained(LATER), NOW).record is waiting


def test_a_stream_that_is_taken_forgets_the_error_of_the_last_time() -> None:
    lost = a_record(status="handler_lost", error="pod p-0 died")
    assert advance(lost, Taken(WORKER), LATER).record.last_error is None


def test_a_stream_that_cannot_be_handed_out_says_why_and_stays_in_the_queue() -> None:
    record = a_record(SPEC)
    outcome = advance(record, Withheld("Secret 'a' with key 'b' is missing"), LATER)
    assert outcome.entries == ()
    assert outcome.record == record.model_copy(update={"last_error": "Secret 'a' with key 'b' is missing"})
    assert advance(outcome.record, Withheld("Secret 'a' with key 'b' is missing"), LATER).record is outcome.record


@pytest.mark.parametrize("state", [state for state in READABLE_STATES if state != StreamState.PENDING])
def test_only_a_stream_in_the_queue_can_be_withheld(state: StreamState) -> None:
    record = a_record(SPEC, status=state)
    assert advance(record, Withheld("no Secret"), LATER).record is record


# --- what may follow what in the log --------------------------------------------------------------------------------


def followers() -> set[tuple[str, str]]:
    """Return the pairs of statuses that can stand one after the other in a log."""
    pairs = {("none", state) for state in ("pending", "pause", "cancel")}
    for state, row in TRANSITIONS.items():
        for path in row.values():
            steps = [state.value, *("none" if step == StreamState.DELETED else step.value for step in path)]
            pairs |= set(itertools.pairwise(steps))
    return pairs


@pytest.mark.parametrize(
    ("first", "second", "cell"),
    [
        pytest.param(first, second, cell, id=f"{first}-{second}-{'ours' if cell == 'o' else 'documented'}")
        for (first, second), cell in may_follow().items()
    ],
)
def test_only_what_the_document_allows_follows_in_the_log(first: str, second: str, cell: str) -> None:
    assert ((first, second) in followers()) == (cell != ".")


def test_the_documented_counts_of_the_matrix_fit() -> None:
    counted = {"none": 2, "pending": 5, "pause": 4, "cancel": 4, "failure": 4, "handler_lost": 1}
    marks = Counter(first for (first, _), cell in may_follow().items() if cell == "+")
    assert {name: marks[name] for name in counted} == counted
    # The eighth + of in_progress is feedback; of done and restart one cell is lost in every public copy.
    assert [marks[name] for name in ("in_progress", "done", "restart")] == [7, 3, 1]


def test_transient_statuses_are_never_where_a_path_ends() -> None:
    ends = {path[-1] for row in TRANSITIONS.values() for path in row.values()} - {StreamState.DELETED}
    assert ends <= set(READABLE_STATES)
