"""The life of a stream: one table, one function.

The documented statuses are a protocol with memory, so they are stored, and `advance(record, event, now)` is the only
code that changes them. The REST shim calls it for requests of users and workers, the operator for pods that died and
for automatic restarts; both write the result under the resourceVersion they read, and run again on a conflict.

`TRANSITIONS` holds the whole protocol: for a status and an event, the statuses that are logged, of which the last is
kept. A cell that is absent means that the event changes nothing, for example late feedback after a pause.

Source: LUNA Streams Development Manual, "Stream processing statuses", "Processing pipeline", "Master instance".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from luna_streams import autorestart
from luna_streams.errors import CannotCancel, CannotPause, DomainError
from luna_streams.model import Model
from luna_streams.policies import AutorestartPolicy, Preview, VideoInfo
from luna_streams.references import without_credentials
from luna_streams.stream import (
    ERROR_LIMIT,
    HISTORY_LIMIT,
    DesiredState,
    LogEntry,
    LoggedState,
    ObservedIntent,
    ProcessorBinding,
    StreamSpec,
    StreamState,
    StreamStatus,
)

_IS_DRAINED: Final = " is drained"
_PREEMPTED: Final = "preempted: "
_MOVED: Final = "moved: "
DELIVERY_TROUBLE: Final = "best shots cannot be delivered"
"""How the error of a stream begins whose worker cannot reach LUNA PLATFORM: nothing is wrong with the source."""

_NOWHERE: Final = ProcessorBinding()
ANONYMOUS_WORKER: Final = "anonymous"
"""Stands for a worker that does not say who it is, as every foreign one."""


class Trigger(StrEnum):
    """What can happen to a stream; the columns of the transition table."""

    USER_PENDING = "user_pending"
    USER_PAUSE = "user_pause"
    USER_CANCEL = "user_cancel"
    REPLACED_PENDING = "replaced_pending"
    REPLACED_PAUSE = "replaced_pause"
    REPLACED_CANCEL = "replaced_cancel"
    TAKEN = "taken"
    REPORTED_DONE = "reported_done"
    REPORTED_FAILURE = "reported_failure"
    HANDLER_LOST = "handler_lost"
    RESTARTED = "restarted"
    DELETED = "deleted"


_S, _T = StreamState, Trigger
_FROM_ANYWHERE: dict[Trigger, tuple[LoggedState, ...]] = {
    _T.REPLACED_PENDING: (_S.PENDING,),
    _T.REPLACED_PAUSE: (_S.PAUSE,),
    _T.REPLACED_CANCEL: (_S.CANCEL,),
    _T.DELETED: (_S.DELETED,),
}
TRANSITIONS: Mapping[StreamState, Mapping[Trigger, tuple[LoggedState, ...]]] = MappingProxyType(
    {
        _S.PENDING: _FROM_ANYWHERE
        | {_T.USER_PAUSE: (_S.PAUSE,), _T.USER_CANCEL: (_S.CANCEL,), _T.TAKEN: (_S.IN_PROGRESS,)},
        _S.IN_PROGRESS: _FROM_ANYWHERE
        | {
            _T.USER_PENDING: (_S.PENDING,),
            _T.USER_PAUSE: (_S.PAUSE,),
            _T.USER_CANCEL: (_S.CANCEL,),
            _T.REPORTED_DONE: (_S.DONE,),
            _T.REPORTED_FAILURE: (_S.FAILURE,),
            _T.HANDLER_LOST: (_S.HANDLER_LOST, _S.RESTART, _S.PENDING),
        },
        _S.DONE: _FROM_ANYWHERE | {_T.USER_PENDING: (_S.PENDING,), _T.USER_PAUSE: (_S.PAUSE,)},
        _S.FAILURE: _FROM_ANYWHERE
        | {
            _T.USER_PENDING: (_S.PENDING,),
            _T.USER_PAUSE: (_S.PAUSE,),
            _T.RESTARTED: (_S.RESTART, _S.PENDING),
        },
        _S.PAUSE: _FROM_ANYWHERE | {_T.USER_PENDING: (_S.PENDING,), _T.USER_CANCEL: (_S.CANCEL,)},
        _S.CANCEL: _FROM_ANYWHERE | {_T.USER_PENDING: (_S.PENDING,), _T.USER_PAUSE: (_S.PAUSE,)},
    }
)
REFUSALS: Mapping[tuple[StreamState, Trigger], type[CannotCancel]] = MappingProxyType(
    {(_S.DONE, _T.USER_CANCEL): CannotCancel, (_S.FAILURE, _T.USER_CANCEL): CannotCancel}
)
_USER_TRIGGERS: Mapping[DesiredState, Trigger] = MappingProxyType(
    {_S.PENDING: _T.USER_PENDING, _S.PAUSE: _T.USER_PAUSE, _S.CANCEL: _T.USER_CANCEL}
)
_REPLACE_TRIGGERS: Mapping[DesiredState, Trigger] = MappingProxyType(
    {_S.PENDING: _T.REPLACED_PENDING, _S.PAUSE: _T.REPLACED_PAUSE, _S.CANCEL: _T.REPLACED_CANCEL}
)


@dataclass(frozen=True)
class UserRequest:
    """PATCH of the status, or a changed desiredStatus.

    Attributes:
        stream_id: for the text of a refusal.
        is_videofile: a file in progress cannot be paused.
    """

    status: DesiredState
    stream_id: str
    is_videofile: bool


@dataclass(frozen=True)
class Replaced:
    """PUT, or changed data: a new version that starts over."""

    spec: StreamSpec


@dataclass(frozen=True)
class Taken:
    """A worker took the stream from the queue.

    Attributes:
        address: its IP address, where known.
    """

    worker: str
    address: str | None = None


@dataclass(frozen=True)
class Report:
    """Feedback of a worker about one stream.

    Attributes:
        status: in_progress, done or failure.
        worker: who reports; `ANONYMOUS_WORKER` where it does not say.
        received_until: when the newest stream was taken that the worker had received as it wrote this; None where it
            does not say.
    """

    status: StreamState
    version: int
    error: str | None = None
    video_info: VideoInfo | None = None
    preview: Preview | None = None
    worker: str = ANONYMOUS_WORKER
    received_until: datetime | None = None


@dataclass(frozen=True)
class Withheld:
    """A pending stream cannot be handed out, for example because its Secret is missing; it stays in the queue."""

    reason: str


@dataclass(frozen=True)
class HandlerLost:
    """The worker is gone: no feedback for too long, or its pod died."""

    reason: str


@dataclass(frozen=True)
class Drained:
    """The worker is to let go of the stream, but still runs.

    It learns so from the answer to its next report, and only then the stream goes back into the queue: no second
    worker has it meanwhile.

    Attributes:
        leave_by: when the worker is lost if it has not reported.
        reason: why the stream moves from a pod that stays, see `preempted` and `moved`; None where the pod is drained.
    """

    leave_by: datetime
    reason: str | None = None


@dataclass(frozen=True)
class AutorestartTick:
    """The moment to look whether an automatic restart is due or an attempt can be judged."""

    policy: AutorestartPolicy


@dataclass(frozen=True)
class Deleted:
    """The user removed the stream."""


Event = UserRequest | Replaced | Taken | Withheld | Report | HandlerLost | Drained | AutorestartTick | Deleted


@dataclass(frozen=True)
class Outcome:
    """What an event made of a record, and what is to be logged; equal records mean that nothing is to be written."""

    record: StreamStatus
    entries: tuple[LogEntry, ...] = ()


def create(spec: StreamSpec, now: datetime) -> Outcome:
    """Return the first record of a stream: version 1, in the wanted status."""
    blank = StreamStatus.model_construct(
        status=spec.desired_status,
        version=1,
        data_hash=spec.data_hash(),
        status_time=now,
        autorestart=autorestart.at_zero(spec.autorestart),
        processor=_NOWHERE,
        observed_intent=_intent(spec),
        history=(),
    )
    return _log(blank, (spec.desired_status,), now)


def advance(record: StreamStatus, event: Event, now: datetime) -> Outcome:
    """Apply one event to a record.

    Returns:
        The new record and its log entries; the very same record and none when the event changes nothing.

    Raises:
        CannotPause: a file in progress was asked to pause.
        CannotCancel: a finished stream was asked to cancel.
    """
    match event:
        case UserRequest():
            return _user_request(record, event, now)
        case Replaced():
            return _replace(record, event.spec, now)
        case Taken():
            return _take(record, event, now)
        case Withheld():
            return _withhold(record, event.reason)
        case Report():
            return _report(record, event, now)
        case HandlerLost():
            return _lose_handler(record, event.reason, now)
        case Drained():
            return _drain(record, event)
        case AutorestartTick():
            return _autorestart(record, event.policy, now)
        case Deleted():  # pragma: no branch  (there is no other event)
            return _apply(record, Trigger.DELETED, now)


def observe(spec: StreamSpec, record: StreamStatus | None, stream_id: str, now: datetime) -> Outcome:
    """Bring a record in line with a spec that somebody may have edited.

    Called by the shim after a write and by the operator for every change it sees, whoever comes first; running it
    again changes nothing. A wish the rules refuse (cancel of a finished stream) is marked as seen and has no effect.

    Args:
        spec: the present wishes.
        record: the present status, None for a stream that has none yet.
        stream_id: for texts.
        now: present time.
    """
    if record is None:
        return create(spec, now)
    if record.data_hash != spec.data_hash():
        return advance(record, Replaced(spec), now)
    intent = _intent(spec)
    outcome = Outcome(record)
    if intent != record.observed_intent:
        request = UserRequest(spec.desired_status, stream_id, is_videofile=spec.data.type == "videofile")
        try:
            outcome = advance(record, request, now)
        except DomainError:
            outcome = Outcome(record)
        outcome = _with(outcome, observed_intent=intent)
    counters = autorestart.switched(outcome.record, spec.autorestart)
    return outcome if counters is outcome.record.autorestart else _with(outcome, autorestart=counters)


def drained(pod: str) -> str:
    """Return the reason of a loss that was meant: the pod is to go."""
    return f"processor pod {pod}{_IS_DRAINED}"


def preempted(pod: str, priority: int) -> str:
    """Return the reason of a loss that was meant: a stream that matters more takes the place."""
    return f"{_PREEMPTED}processor pod {pod} is needed for a stream of priority {priority}"


def moved(pod: str, zone: str) -> str:
    """Return the reason of a loss that was meant: the stream goes where it would rather be."""
    return f"{_MOVED}from processor pod {pod} to zone {zone}, which is preferred"


def is_drained(reason: str) -> bool:
    """Tell whether a loss was meant."""
    return reason.endswith(_IS_DRAINED) or reason.startswith((_PREEMPTED, _MOVED))


def is_preempted(reason: str) -> bool:
    """Tell whether a stream that matters more took the place."""
    return reason.startswith(_PREEMPTED)


def follows_report(record: StreamStatus, report: Report) -> bool:
    """Tell whether the record equals what a worker reported, after `advance`; if not, the worker has to stop.

    Source: LUNA Streams API 1.1.18, feedback_response (`unmodified` against `modified`).
    """
    return (
        record.version == report.version
        and record.status == report.status
        and (record.status != StreamState.IN_PROGRESS or _is_about(record, report))
    )


def _user_request(record: StreamStatus, event: UserRequest, now: datetime) -> Outcome:
    trigger = _USER_TRIGGERS[event.status]
    if trigger == Trigger.USER_PAUSE and record.status == StreamState.IN_PROGRESS and event.is_videofile:
        raise CannotPause(event.stream_id)
    if refusal := REFUSALS.get((record.status, trigger)):
        raise refusal(event.stream_id)
    outcome = _apply(record, trigger, now)
    if outcome.record is record:
        return outcome
    intent = ObservedIntent(desired_status=event.status, restarted_at=record.observed_intent.restarted_at)
    return _with(outcome, observed_intent=intent, autorestart=autorestart.reset(record.autorestart))


def _replace(record: StreamStatus, spec: StreamSpec, now: datetime) -> Outcome:
    blank = record.model_copy(
        update={
            "version": record.version + 1,
            "data_hash": spec.data_hash(),
            "last_error": None,
            "video_info": None,
            "preview": None,
            "autorestart": autorestart.at_zero(spec.autorestart, record.autorestart),
            "observed_intent": _intent(spec),
        }
    )
    return _apply(blank, _REPLACE_TRIGGERS[spec.desired_status], now)


def _take(record: StreamStatus, event: Taken, now: datetime) -> Outcome:
    outcome = _apply(record, Trigger.TAKEN, now)
    if outcome.record is record:
        return outcome
    held = record.processor.model_copy(update={"worker": event.worker, "address": event.address})
    return Outcome(outcome.record.model_copy(update={"processor": held, "last_error": None}), outcome.entries)


def _withhold(record: StreamStatus, reason: str) -> Outcome:
    told = record.model_copy(update={"last_error": _shorten(reason)})
    return Outcome(record if record.status != StreamState.PENDING or told == record else told)


def _report(record: StreamStatus, event: Report, now: datetime) -> Outcome:
    if record.status != StreamState.IN_PROGRESS or record.version != event.version or not _is_about(record, event):
        return Outcome(record)
    if record.processor.leave_by is not None and event.status == StreamState.IN_PROGRESS:
        return _lose_handler(record, record.processor.leave_reason or drained(record.processor.pod or ""), now)
    told = record.model_copy(
        update={
            "last_error": _shorten(event.error),
            "video_info": event.video_info or record.video_info,
            "preview": event.preview or record.preview,
        }
    )
    if event.status == StreamState.IN_PROGRESS:
        return Outcome(record if told == record else told)
    if event.status == StreamState.DONE:
        return _apply(told, Trigger.REPORTED_DONE, now)
    outcome = _apply(told, Trigger.REPORTED_FAILURE, now)
    return _with(outcome, autorestart=autorestart.after_failure(record.autorestart, event.error))


def _lose_handler(record: StreamStatus, reason: str, now: datetime) -> Outcome:
    told = record.model_copy(update={"last_error": _shorten(reason), "preview": None})
    outcome = _apply(told, Trigger.HANDLER_LOST, now)
    return Outcome(record) if outcome.record is told else outcome


def _drain(record: StreamStatus, event: Drained) -> Outcome:
    if record.status != StreamState.IN_PROGRESS or record.processor.leave_by is not None:
        return Outcome(record)
    leaving = record.processor.model_copy(update={"leave_by": event.leave_by, "leave_reason": event.reason})
    return _with(Outcome(record), processor=leaving)


def _autorestart(record: StreamStatus, policy: AutorestartPolicy, now: datetime) -> Outcome:
    counters = autorestart.judge(record, policy, now)
    if counters is None:
        return Outcome(record)
    is_attempt = counters.status == "in_progress"
    return _with(_apply(record, Trigger.RESTARTED, now) if is_attempt else Outcome(record), autorestart=counters)


def _apply(record: StreamStatus, trigger: Trigger, now: datetime) -> Outcome:
    """Walk the table: log each status on the way, keep the last, let go of the worker when it is not taken."""
    path = TRANSITIONS[record.status].get(trigger)
    if path is None:
        return Outcome(record)
    if trigger == Trigger.DELETED:
        return Outcome(record, _entries(record, path, now))
    moved = record.model_copy(update={"status": path[-1], "status_time": now})
    if trigger != Trigger.TAKEN:
        moved = moved.model_copy(update={"processor": _NOWHERE})
    return _log(moved, path, now)


def _log(record: StreamStatus, path: Sequence[LoggedState], now: datetime) -> Outcome:
    entries = _entries(record, path, now)
    return Outcome(record.model_copy(update={"history": (*record.history, *entries)[-HISTORY_LIMIT:]}), entries)


def _entries(record: StreamStatus, path: Sequence[LoggedState], now: datetime) -> tuple[LogEntry, ...]:
    """Make one entry per status; what the worker said stands in the entry of the status that it caused."""
    told = (StreamState.DONE, StreamState.FAILURE)
    return tuple(
        LogEntry(
            seq=record.next_seq + index,
            status=status,
            version=record.version,
            log_time=now,
            error=record.last_error if status in (*told, StreamState.HANDLER_LOST) else None,
            video_info=record.video_info if status in told else None,
            preview=record.preview if status in told else None,
        )
        for index, status in enumerate(path)
    )


def _with(outcome: Outcome, **changes: Model) -> Outcome:
    return Outcome(outcome.record.model_copy(update=changes), outcome.entries)


def _is_about(record: StreamStatus, report: Report) -> bool:
    """Tell whether a report is about the present run of a stream in progress.

    A worker may get a stream a second time in the same version, and only then be heard about the first time.
    """
    is_earlier = report.received_until is not None and report.received_until < record.status_time
    return record.processor.worker in (None, report.worker) and not is_earlier


def _shorten(error: str | None) -> str | None:
    """Keep the beginning of an error, which a worker may make as long as it likes, and no password it quotes."""
    if error is None:
        return None
    error = without_credentials(error[: 4 * ERROR_LIMIT])  # long enough to see the end of a password that is cut off
    if len(error.encode()) <= ERROR_LIMIT:
        return error
    return error.encode()[: ERROR_LIMIT - len("…".encode())].decode(errors="ignore") + "…"


def _intent(spec: StreamSpec) -> ObservedIntent:
    return ObservedIntent(desired_status=spec.desired_status, restarted_at=spec.restarted_at)
