"""Conditions answer "why is it not running?"; they are computed afresh and move only when something changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_streams import conditions
from luna_streams.autorestart import FATAL_ERROR
from luna_streams.conditions import Scheduling, find_condition, observe_conditions
from luna_streams.lifecycle import DELIVERY_TROUBLE, Report, Taken, advance
from luna_streams.stream import MESSAGE_LIMIT
from luna_streams.v1alpha1 import (
    READABLE_STATES,
    Condition,
    ProcessorBinding,
    StreamState,
    StreamStatus,
    VideoInfo,
)
from support.builders import NOW, WORKER, a_record

LATER = NOW + timedelta(minutes=1)
VIDEO = VideoInfo(width=1920, height=1080, frame_rate=25, bit_rate=1, gop_size=50, start_time=NOW)
TYPES = ["Ready", "Scheduled", "Processing", "SourceHealthy", "Delivering"]

schedulings = st.none() | st.builds(
    Scheduling, st.sampled_from(["True", "False", "Unknown"]), st.sampled_from(["Assigned", "NoFreeSlot"]), st.text()
)


def observed(record: StreamStatus, scheduling: Scheduling | None = None) -> dict[str, Condition]:
    """Return the conditions of a record by type."""
    return {one.type: one for one in observe_conditions(record, NOW, scheduling=scheduling).conditions}


def told(record: StreamStatus) -> dict[str, tuple[str, str]]:
    """Return status and reason by type."""
    return {name: (one.status, one.reason) for name, one in observed(record).items()}


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        pytest.param(
            "pending", None,
            ["False NotObserved", "Unknown NotObserved", "False Pending", "Unknown NotReported", "Unknown NotReported"],
            id="waiting",
        ),
        pytest.param(
            "in_progress", None,
            ["True InProgress", "True TakenByWorker", "True InProgress", "Unknown NotReported", "True Accepted"],
            id="running",
        ),
        pytest.param(
            "in_progress", "no picture",
            ["False SourceError", "True TakenByWorker", "True InProgress", "False SourceError", "True Accepted"],
            id="running-with-an-error",
        ),
        pytest.param(
            "pause", None,
            ["False Paused", "False NotRequested", "False Paused", "Unknown NotReported", "Unknown NotReported"],
            id="paused",
        ),
        pytest.param(
            "cancel", None,
            ["False Cancelled", "False NotRequested", "False Cancelled", "Unknown NotReported", "Unknown NotReported"],
            id="cancelled",
        ),
        pytest.param(
            "done", None,
            ["False Finished", "False NotRequested", "False Finished", "Unknown NotReported", "True Accepted"],
            id="done",
        ),
        pytest.param(
            "failure", "no picture",
            ["False Failed", "False NotRequested", "False Failed", "False SourceError", "Unknown NotReported"],
            id="failed",
        ),
        pytest.param(
            "failure", FATAL_ERROR,
            ["False Failed", "False NotRequested", "False Failed", "Unknown NotReported", "False NotAuthorized"],
            id="refused-by-the-platform",
        ),
        pytest.param(
            "in_progress", FATAL_ERROR,
            ["False NotAuthorized", "True TakenByWorker", "True InProgress", "Unknown NotReported",
             "False NotAuthorized"],
            id="refused-while-running",
        ),
        pytest.param(
            "in_progress", f"{DELIVERY_TROUBLE} to http://lp: Connection refused",
            ["False NotDelivered", "True TakenByWorker", "True InProgress", "Unknown NotReported",
             "False NotDelivered"],
            id="platform-away",
        ),
        pytest.param(
            "handler_lost", "pod p-0 died",
            ["False NotObserved", "Unknown NotObserved", "False Pending", "Unknown NotReported", "Unknown NotReported"],
            id="lost",
        ),
    ],
)  # fmt: skip
def test_conditions_say_what_is_so(status: str, error: str | None, expected: list[str]) -> None:
    facts = told(a_record(status=status, error=error))
    assert list(facts) == TYPES
    assert [" ".join(fact) for fact in facts.values()] == expected


def test_ready_names_the_error() -> None:
    assert observed(a_record(status="failure", error="no picture"))["Ready"].message == "no picture"
    lost = observed(a_record(status="handler_lost", error="pod p-0 died"), Scheduling("False", "NoFreeSlot", "Full."))
    assert lost["Ready"].message == "Full. Its last run ended: pod p-0 died"
    assert observed(a_record(status="done", error="two bad frames"))["Ready"].message != "two bad frames"


def test_ready_says_what_a_stream_waits_for() -> None:
    waiting = observed(a_record(), Scheduling("False", "NoFreeSlot", "Every ready pod of pool is full."))["Ready"]
    assert (waiting.status, waiting.reason) == ("False", "NoFreeSlot")
    assert waiting.message == "Every ready pod of pool is full."


def test_a_healthy_source_is_described() -> None:
    record = a_record(status="in_progress", video_info=VIDEO)
    healthy = observed(record)["SourceHealthy"]
    assert (healthy.status, healthy.reason) == ("True", "Receiving")
    assert healthy.message == "1920x1080 at 25 frames per second."


def test_who_holds_a_stream_is_named() -> None:
    record = a_record(status="in_progress")
    assert observed(record)["Scheduled"].message == "Held by a worker from outside."
    managed = record.model_copy(update={"processor": ProcessorBinding(pod="gpu-0", worker=WORKER)})
    assert observed(managed)["Scheduled"].message == "Held by gpu-0."


def test_what_the_operator_said_about_a_waiting_stream_is_kept_by_others() -> None:
    waiting = observe_conditions(a_record(), NOW, scheduling=Scheduling("False", "NoFreeSlot", "8 of 8 taken"))
    kept = find_condition(observe_conditions(waiting, LATER).conditions, "Scheduled")
    assert kept is not None
    assert (kept.status, kept.reason, kept.message) == ("False", "NoFreeSlot", "8 of 8 taken")


def test_an_assignment_is_known_from_the_record() -> None:
    record = a_record().model_copy(update={"processor": ProcessorBinding(pool="gpu", pod="gpu-0")})
    scheduled = observed(record)["Scheduled"]
    assert (scheduled.status, scheduled.reason, scheduled.message) == ("True", "Assigned", "Assigned to gpu-0.")


def test_an_assignment_that_is_over_is_forgotten() -> None:
    assigned = observe_conditions(a_record(), NOW, scheduling=Scheduling("True", conditions.ASSIGNED, "gpu-0"))
    taken = observe_conditions(advance(assigned, Taken(WORKER), NOW).record, NOW)
    lost = taken.model_copy(update={"status": StreamState.PENDING, "processor": ProcessorBinding()})
    for before in (assigned, lost):
        scheduled = find_condition(observe_conditions(before, LATER).conditions, "Scheduled")
        assert scheduled is not None
        assert (scheduled.status, scheduled.reason) == ("Unknown", "NotObserved")


@given(st.lists(st.tuples(st.sampled_from(READABLE_STATES), schedulings), min_size=1, max_size=8))
def test_the_transition_time_moves_with_the_status_and_only_then(
    steps: list[tuple[StreamState, Scheduling | None]],
) -> None:
    record, now = a_record(), NOW
    for state, scheduling in steps:
        before = {one.type: one for one in record.conditions}
        now += timedelta(seconds=1)
        record = record.model_copy(update={"status": state})
        record = observe_conditions(record, now, scheduling=scheduling)
        for one in record.conditions:
            old = before.get(one.type)
            moved = old is None or old.status != one.status
            assert one.last_transition_time == (now if moved else old and old.last_transition_time)
        assert observe_conditions(record, now + timedelta(hours=1), scheduling=scheduling) == record


def test_the_generation_is_kept_until_a_newer_one_was_looked_at() -> None:
    first = observe_conditions(a_record(), NOW, generation=3)
    assert (first.observed_generation, {one.observed_generation for one in first.conditions}) == (3, {3})
    assert observe_conditions(first, LATER).observed_generation == 3
    assert observe_conditions(first, LATER, generation=4).observed_generation == 4


def test_a_long_message_is_cut_to_what_can_be_stored() -> None:
    record = observe_conditions(a_record(), NOW, scheduling=Scheduling("False", "NoFreeSlot", "x" * 9999))
    assert StreamStatus.from_resource(record.to_resource()) == record
    assert max(len(one.message) for one in record.conditions) == MESSAGE_LIMIT


def test_an_unknown_condition_is_none() -> None:
    assert find_condition((), "Ready") is None


def test_a_report_makes_a_stream_ready_again() -> None:
    record = a_record(status="in_progress", error="no picture")
    better = advance(record, Report(StreamState.IN_PROGRESS, 1, None, VIDEO, worker=WORKER), NOW).record
    assert told(better)["Ready"] == ("True", "InProgress")
