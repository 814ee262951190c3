"""Automatic restart of failed streams: when an attempt is due, and how attempts are counted and judged.

Pure. `lifecycle` moves the stream itself; this module says what becomes of the counters.

Source: LUNA Streams API 1.1.18, stream_autorestart; Development Manual, "Master instance".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from luna_streams.policies import AutorestartPolicy
from luna_streams.stream import AutorestartState, StreamState, StreamStatus

FATAL_ERROR: Final = "Failed to authorize in Luna Platform"
"""The one error text after which a stream is not restarted by itself."""


def next_autorestart(record: StreamStatus, policy: AutorestartPolicy) -> datetime | None:
    """Return when there is something to do next; None when there never will be as things are."""
    state = record.autorestart
    if not policy.restart:
        return None
    failed = record.status == StreamState.FAILURE
    if failed and (state.status in ("denied", "failed")):
        return None
    if not failed and state.status != "in_progress":
        return None
    if state.last_attempt_time is None:
        return record.status_time
    return state.last_attempt_time + timedelta(seconds=policy.delay)


def judge(record: StreamStatus, policy: AutorestartPolicy, now: datetime) -> AutorestartState | None:
    """Return the counters after what is due now; None when nothing is.

    `in_progress` means that an attempt is to be made now; otherwise the last one has succeeded, or was the last.
    """
    due = next_autorestart(record, policy)
    if due is None or now < due:
        return None
    state = record.autorestart
    if record.status != StreamState.FAILURE:
        return state.model_copy(update={"status": "enabled", "current_attempt": 0})
    if state.current_attempt >= policy.attempt_count:
        return state.model_copy(update={"status": "failed"})
    return AutorestartState(status="in_progress", current_attempt=state.current_attempt + 1, last_attempt_time=now)


def at_zero(policy: AutorestartPolicy, before: AutorestartState | None = None) -> AutorestartState:
    """Return the counters of a stream that starts over; the last attempt's time is kept."""
    return AutorestartState(
        status="enabled" if policy.restart else "disabled",
        last_attempt_time=before.last_attempt_time if before else None,
    )


def reset(state: AutorestartState) -> AutorestartState:
    """Return the counters after a user stepped in: at zero if restarting is on; the last attempt's time is kept."""
    if state.status == "disabled":
        return state
    return AutorestartState(status="enabled", last_attempt_time=state.last_attempt_time)


def after_failure(state: AutorestartState, error: str | None) -> AutorestartState:
    """Return the counters after a worker gave up; a fatal error denies further attempts."""
    if error != FATAL_ERROR or state.status == "disabled":
        return state
    return state.model_copy(update={"status": "denied"})


def switched(record: StreamStatus, policy: AutorestartPolicy) -> AutorestartState:
    """Return the counters after the policy changed: the same unless it was switched; what is fatal stays denied."""
    state = record.autorestart
    if bool(policy.restart) == (state.status != "disabled"):
        return state
    fresh = at_zero(policy, state)
    return after_failure(fresh, record.last_error) if record.status == StreamState.FAILURE else fresh
