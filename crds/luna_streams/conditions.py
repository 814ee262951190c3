"""Conditions of a Stream: observations that answer "why is it not running?", computed afresh at every write.

No decision reads a condition. `Scheduled` is known to the operator only, so the others keep what it said.
Reasons are constants; the documentation lists each with what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from luna_streams.autorestart import FATAL_ERROR
from luna_streams.lifecycle import DELIVERY_TROUBLE
from luna_streams.stream import MESSAGE_LIMIT, Condition, StreamState, StreamStatus

READY: Final = "Ready"
SCHEDULED: Final = "Scheduled"
PROCESSING: Final = "Processing"
SOURCE_HEALTHY: Final = "SourceHealthy"
DELIVERING: Final = "Delivering"

# Scheduled
ASSIGNED: Final = "Assigned"
"""A processor pod was chosen."""
TAKEN: Final = "TakenByWorker"
"""A worker holds the stream."""
NO_POOL_SELECTS: Final = "NoPoolSelects"
"""No StreamProcessor selects the stream: it waits for a worker from outside."""
NO_FREE_SLOT: Final = "NoFreeSlot"
"""Every pod of the selecting pools is full."""
PREEMPTED: Final = "Preempted"
"""A stream of higher priority took its place, and every pod of the selecting pools is full."""
NO_READY_POD: Final = "NoReadyPod"
"""The selecting pools have no ready pod yet."""
NOT_REQUESTED: Final = "NotRequested"
"""The stream is not to be processed: paused, cancelled or finished."""
NOT_OBSERVED: Final = "NotObserved"
"""The operator has not looked at the stream yet."""
WAITING: Final = (NO_POOL_SELECTS, NO_FREE_SLOT, PREEMPTED, NO_READY_POD)
"""What the operator says of a stream that has no pod that takes it."""
INVALID_SPEC: Final = "InvalidSpec"
"""The spec is not one this release understands."""

# Processing, Ready
IN_PROGRESS: Final = "InProgress"
PENDING: Final = "Pending"
PAUSED: Final = "Paused"
CANCELLED: Final = "Cancelled"
FINISHED: Final = "Finished"
FAILED: Final = "Failed"

# SourceHealthy
RECEIVING: Final = "Receiving"
"""The worker reads frames."""
SOURCE_ERROR: Final = "SourceError"
"""The worker's last report names an error."""
NOT_REPORTED: Final = "NotReported"
"""No worker has reported yet."""

# Delivering
ACCEPTED: Final = "Accepted"
"""LUNA PLATFORM has not refused anything."""
NOT_DELIVERED: Final = "NotDelivered"
"""LUNA PLATFORM cannot be reached or answers with errors; the worker keeps trying."""
NOT_AUTHORIZED: Final = "NotAuthorized"
"""LUNA PLATFORM refused the credentials; the stream is not restarted by itself."""

ConditionStatus = Literal["True", "False", "Unknown"]
Observed = tuple[ConditionStatus, str, str]
"""Whether it is so, why as one word, why for people."""


@dataclass(frozen=True)
class Scheduling:
    """What the operator knows about the placement of a stream."""

    status: ConditionStatus
    reason: str
    message: str = ""


_PROCESSING: dict[StreamState, Observed] = {
    StreamState.IN_PROGRESS: ("True", IN_PROGRESS, "A worker processes the stream."),
    StreamState.PENDING: ("False", PENDING, "The stream waits in the queue."),
    StreamState.PAUSE: ("False", PAUSED, "The user paused the stream."),
    StreamState.CANCEL: ("False", CANCELLED, "The user cancelled the stream."),
    StreamState.DONE: ("False", FINISHED, "The source was processed to its end."),
    StreamState.FAILURE: ("False", FAILED, "Processing failed."),
}


def observe_conditions(
    record: StreamStatus,
    now: datetime,
    *,
    scheduling: Scheduling | None = None,
    generation: int | None = None,
) -> StreamStatus:
    """Return the record with its conditions computed from it.

    A condition's lastTransitionTime moves only when its status does.

    Args:
        record: the record as it is to be written.
        now: present time.
        scheduling: what the operator knows; None keeps what stands there where it still fits.
        generation: metadata.generation the record was computed from; None keeps what stands there.
    """
    before = {condition.type: condition for condition in record.conditions}
    observed = generation if generation is not None else record.observed_generation
    scheduled = _scheduled(record, scheduling, before.get(SCHEDULED))
    facts = {
        READY: _ready(record, scheduled),
        SCHEDULED: scheduled,
        PROCESSING: _PROCESSING[record.status],
        SOURCE_HEALTHY: _source(record),
        DELIVERING: _delivering(record),
    }
    conditions = tuple(
        Condition(
            type=name,
            status=status,
            reason=reason,
            message=message[:MESSAGE_LIMIT],
            last_transition_time=_since(before.get(name), status, now),
            observed_generation=observed,
        )
        for name, (status, reason, message) in facts.items()
    )
    return record.model_copy(update={"conditions": conditions, "observed_generation": observed})


def find_condition(conditions: Iterable[Condition], name: str) -> Condition | None:
    """Return the condition of a type, None if there is none."""
    return next((condition for condition in conditions if condition.type == name), None)


def _since(before: Condition | None, status: ConditionStatus, now: datetime) -> datetime:
    return before.last_transition_time if before and before.status == status else now


def _ready(record: StreamStatus, scheduled: Observed) -> Observed:
    """Say in one line why the stream runs or does not: of one that waits, what it waits for."""
    status, reason, message = _PROCESSING[record.status]
    if record.status == StreamState.PENDING:
        before = f" Its last run ended: {record.last_error}" if record.last_error else ""
        return status, scheduled[1], f"{scheduled[2]}{before}"
    if record.status == StreamState.IN_PROGRESS and record.last_error:
        reason = _delivering(record)[1] if _is_platforms(record) else SOURCE_ERROR
        return "False", reason, record.last_error
    if record.last_error and record.status == StreamState.FAILURE:
        return status, reason, record.last_error
    return status, reason, message


def _scheduled(record: StreamStatus, scheduling: Scheduling | None, before: Condition | None) -> Observed:
    if record.status == StreamState.IN_PROGRESS:
        return "True", TAKEN, f"Held by {record.processor.pod or 'a worker from outside'}."
    if record.status != StreamState.PENDING:
        return "False", NOT_REQUESTED, _PROCESSING[record.status][2]
    if scheduling:
        return scheduling.status, scheduling.reason, scheduling.message
    if record.processor.pod:
        return "True", ASSIGNED, f"Assigned to {record.processor.pod}."
    if before and before.reason not in (ASSIGNED, TAKEN, NOT_REQUESTED):
        return before.status, before.reason, before.message
    return "Unknown", NOT_OBSERVED, "The operator has not placed the stream yet."


def _source(record: StreamStatus) -> Observed:
    is_reported = record.status in (StreamState.IN_PROGRESS, StreamState.FAILURE)
    if record.last_error and is_reported and not _is_platforms(record):
        return "False", SOURCE_ERROR, record.last_error
    if record.video_info and record.status in (StreamState.IN_PROGRESS, StreamState.DONE):
        info = record.video_info
        return "True", RECEIVING, f"{info.width}x{info.height} at {info.frame_rate} frames per second."
    return "Unknown", NOT_REPORTED, "No worker has reported on the source."


def _delivering(record: StreamStatus) -> Observed:
    if _is_refused(record):
        return "False", NOT_AUTHORIZED, FATAL_ERROR
    if _is_platforms(record):
        return "False", NOT_DELIVERED, record.last_error or ""
    if record.status in (StreamState.IN_PROGRESS, StreamState.DONE):
        return "True", ACCEPTED, "LUNA PLATFORM has refused nothing."
    return "Unknown", NOT_REPORTED, "No worker has reported on delivery."


def _is_refused(record: StreamStatus) -> bool:
    """Tell whether the platform refused the credentials."""
    return record.last_error == FATAL_ERROR


def _is_platforms(record: StreamStatus) -> bool:
    """Tell whether the error is the platform's, not the source's."""
    return _is_refused(record) or (record.last_error or "").startswith(DELIVERY_TROUBLE)
