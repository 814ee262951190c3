"""Automatic restart of failed streams, as the public documents have it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from luna_streams.autorestart import FATAL_ERROR, next_autorestart
from luna_streams.lifecycle import (
    AutorestartTick,
    Replaced,
    Report,
    Taken,
    UserRequest,
    advance,
    observe,
)
from luna_streams.v1alpha1 import AutorestartPolicy, AutorestartState, StreamState, StreamStatus
from support.builders import NOW, STREAM_ID, WORKER, a_record, a_spec

POLICY = AutorestartPolicy(restart=1, attempt_count=3, delay=60)
SPEC = a_spec(autorestart=POLICY)
DELAY = timedelta(seconds=60)
SECOND = timedelta(seconds=1)


def a_state(status: str, attempt: int = 0, last: datetime | None = None) -> AutorestartState:
    """Return counters."""
    return AutorestartState(status=status, current_attempt=attempt, last_attempt_time=last)


@pytest.mark.parametrize(
    ("status", "counters", "at", "expected"),
    [
        pytest.param("failure", ("enabled", 0, None), NOW, ("pending", "in_progress", 1), id="first-attempt-at-once"),
        pytest.param("failure", ("in_progress", 1, NOW), NOW + DELAY - SECOND, None, id="not-before-the-delay"),
        pytest.param(
            "failure", ("in_progress", 1, NOW), NOW + DELAY, ("pending", "in_progress", 2), id="next-after-the-delay"
        ),
        pytest.param(
            "failure", ("enabled", 0, NOW), NOW + DELAY - SECOND, None, id="delay-counts-from-an-attempt-long-ago-too"
        ),
        pytest.param("failure", ("in_progress", 3, NOW), NOW + DELAY, ("failure", "failed", 3), id="used-up"),
        pytest.param("failure", ("in_progress", 3, NOW), NOW + DELAY - SECOND, None, id="used-up-is-judged-late"),
        pytest.param("failure", ("failed", 3, NOW), NOW + 9 * DELAY, None, id="failed-stays"),
        pytest.param("failure", ("denied", 0, None), NOW + 9 * DELAY, None, id="denied-stays"),
        pytest.param("in_progress", ("in_progress", 2, NOW), NOW + DELAY, ("in_progress", "enabled", 0), id="success"),
        pytest.param("in_progress", ("in_progress", 2, NOW), NOW + DELAY - SECOND, None, id="success-is-judged-late"),
        pytest.param("done", ("in_progress", 2, NOW), NOW + DELAY, ("done", "enabled", 0), id="done-is-a-success"),
        pytest.param("in_progress", ("enabled", 0, None), NOW + DELAY, None, id="nothing-to-judge"),
        pytest.param("pause", ("enabled", 0, NOW), NOW + DELAY, None, id="paused-by-the-user"),
    ],
)
def test_a_tick_does_what_the_document_says(
    status: str, counters: tuple[str, int, datetime | None], at: datetime, expected: tuple[str, str, int] | None
) -> None:
    record = a_record(SPEC, status=status, autorestart=a_state(*counters))
    outcome = advance(record, AutorestartTick(POLICY), at)
    if expected is None:
        assert outcome.record is record
        return
    state = outcome.record.autorestart
    assert (outcome.record.status, state.status, state.current_attempt) == expected
    is_attempt = expected[1] == "in_progress"
    assert state.last_attempt_time == (at if is_attempt else counters[2])
    assert [entry.status for entry in outcome.entries] == (["restart", "pending"] if is_attempt else [])


@pytest.mark.parametrize(
    ("status", "counters", "due"),
    [
        pytest.param("failure", ("enabled", 0, None), NOW, id="at-once"),
        pytest.param("failure", ("in_progress", 1, NOW), NOW + DELAY, id="after-the-delay"),
        pytest.param("in_progress", ("in_progress", 1, NOW), NOW + DELAY, id="to-be-judged"),
        pytest.param("failure", ("failed", 3, NOW), None, id="failed"),
        pytest.param("failure", ("denied", 0, NOW), None, id="denied"),
        pytest.param("pending", ("enabled", 0, NOW), None, id="runs"),
    ],
)
def test_the_next_tick_is_known(status: str, counters: tuple[str, int, datetime | None], due: datetime | None) -> None:
    record = a_record(SPEC, status=status, autorestart=a_state(*counters))
    assert next_autorestart(record, POLICY) == due


def test_without_autorestart_nothing_is_due() -> None:
    record = a_record(status="failure")
    assert record.autorestart.status == "disabled"
    assert next_autorestart(record, AutorestartPolicy()) is None
    assert advance(record, AutorestartTick(AutorestartPolicy()), NOW + 9 * DELAY).record is record


def test_a_fatal_error_denies_the_restart() -> None:
    record = a_record(SPEC, status="failure", error=FATAL_ERROR)
    assert (record.status, record.autorestart.status) == ("failure", "denied")
    assert next_autorestart(record, POLICY) is None


def test_a_fatal_error_of_a_stream_without_autorestart_denies_nothing() -> None:
    assert a_record(status="failure", error=FATAL_ERROR).autorestart.status == "disabled"


def test_autorestart_switched_on_after_a_fatal_error_is_denied_as_well() -> None:
    record = a_record(a_spec(), status="failure", error=FATAL_ERROR)
    assert observe(SPEC, record, STREAM_ID, NOW).record.autorestart.status == "denied"


def test_an_error_is_fatal_only_as_a_whole() -> None:
    assert a_record(SPEC, status="failure", error=f"{FATAL_ERROR}: no").autorestart.status == "enabled"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(UserRequest(StreamState.PENDING, STREAM_ID, False), id="user-runs-it-again"),
        pytest.param(UserRequest(StreamState.PAUSE, STREAM_ID, False), id="user-pauses"),
        pytest.param(Replaced(a_spec(autorestart=POLICY, display_name="other")), id="put"),
    ],
)
@pytest.mark.parametrize("status", ["in_progress", "failed", "denied", "enabled"])
def test_a_user_who_steps_in_resets_the_counters_and_keeps_the_time(event: Any, status: str) -> None:
    record = a_record(SPEC, status="failure", autorestart=a_state(status, 3, NOW))
    assert advance(record, event, NOW + DELAY).record.autorestart == a_state("enabled", 0, NOW)


def test_attempts_are_counted_until_they_are_used_up() -> None:
    record, now, seen = a_record(SPEC, status="failure", error="no picture"), NOW, []
    for _ in range(20):
        due = next_autorestart(record, POLICY)
        if due is None:
            break
        now = max(now, due)
        record = advance(record, AutorestartTick(POLICY), now).record
        seen.append((now - NOW, record.status.value, record.autorestart.status, record.autorestart.current_attempt))
        record = fail_again(record, now + SECOND)
    assert seen == [
        (0 * DELAY, "pending", "in_progress", 1),
        (1 * DELAY, "pending", "in_progress", 2),
        (2 * DELAY, "pending", "in_progress", 3),
        (3 * DELAY, "failure", "failed", 3),
    ]


def fail_again(record: StreamStatus, now: datetime) -> StreamStatus:
    """Let a worker take the stream and fail with it."""
    taken = advance(record, Taken(WORKER), now).record
    return advance(taken, Report(StreamState.FAILURE, taken.version, "no picture", worker=WORKER), now).record


def test_an_attempt_counter_above_a_lowered_limit_is_given_up() -> None:
    record = a_record(SPEC, status="failure", autorestart=a_state("in_progress", 3, NOW))
    lowered = AutorestartPolicy(restart=1, attempt_count=1, delay=60)
    assert advance(record, AutorestartTick(lowered), NOW + DELAY).record.autorestart == a_state("failed", 3, NOW)
