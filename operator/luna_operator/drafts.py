"""What becomes of one stream's record, before and after it is known where it belongs. Pure.

The documented statuses change through the domain only (`observe`, `advance`); this module says with which event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from luna_kube import merge_patch
from luna_operator.facts import PodFact, StreamFact, stream_fact
from luna_operator.placement import Decision
from luna_streams import lifecycle, naming
from luna_streams.conditions import observe_conditions
from luna_streams.v1alpha1 import LogEntry, ProcessorBinding, Stream, StreamState, StreamStatus

Json = dict[str, Any]
Happening = lifecycle.HandlerLost | lifecycle.Drained

HANDOVER: Final = timedelta(seconds=12)
"""How long a worker that was asked may take to let go of a stream: it reports every 5 s and hears then that it is to
stop; after 10 s without an answer it stops by itself, so that no two workers have one stream."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A stream on its way to a new record.

    Attributes:
        obj: the Stream as the API server gave it.
        record: as it is to be, apart from its place and its conditions.
        entries: the transitions on the way.
    """

    obj: Json
    record: StreamStatus
    entries: tuple[LogEntry, ...] = ()

    @property
    def was_pending(self) -> bool:
        """Whether the stream waits already, or has no status yet."""
        return (self.obj.get("status") or {}).get("status") in (None, StreamState.PENDING)

    def fact(self) -> StreamFact:
        """Return what is known of the stream if the draft is written."""
        return stream_fact({**self.obj, "status": self.record.to_resource()})


def draft(obj: Json, happened: Happening | None, now: datetime) -> Draft:
    """Bring a stream in line with its spec, with what happened to its worker, and with the time for a restart.

    Args:
        obj: the Stream as the API server gave it.
        happened: to the worker of a stream in progress, if anything.
        now: present time.

    Raises:
        pydantic.ValidationError: if the spec is not one this release understands.
    """
    stream = Stream.from_object(obj)
    stream_id = naming.stream_id(stream.namespace, stream.name)
    outcome = lifecycle.observe(stream.spec, stream.status, stream_id, now)
    entries = outcome.entries
    events: list[lifecycle.Event] = [] if happened is None else [happened]
    for event in (*events, lifecycle.AutorestartTick(stream.spec.autorestart)):
        outcome = lifecycle.advance(outcome.record, event, now)
        entries += outcome.entries
    return Draft(obj, outcome.record, entries)


@dataclass(frozen=True, slots=True)
class Leave:
    """A stream in progress whose worker is to let go of it, though its pod stays.

    Attributes:
        pod_uid: of the pod it is to leave; elsewhere it stays.
        reason: why, see `lifecycle.preempted` and `lifecycle.moved`.
    """

    pod_uid: str
    reason: str


def asked_to_leave(obj: Json, leave: Leave, now: datetime) -> Draft:
    """Ask the worker of a stream to let go of it, if it is still where it was when that was decided."""
    item = unchanged(obj)
    if item.record.processor.pod_uid != leave.pod_uid:
        return item
    outcome = lifecycle.advance(item.record, lifecycle.Drained(now + HANDOVER, leave.reason), now)
    return Draft(obj, outcome.record, outcome.entries)


def unchanged(obj: Json) -> Draft:
    """Take the record of a stream as it is, without a look at its spec, which is most of the work."""
    return Draft(obj, StreamStatus.from_resource(obj["status"]))


def status_patch(item: Draft, decision: Decision | None, now: datetime) -> Json:
    """Return the merge patch of the status that carries out a draft and a decision; empty if nothing changes.

    Args:
        item: the draft.
        decision: where the stream belongs; None leaves it where it is.
        now: present time, for conditions that change.
    """
    record = item.record
    if decision is not None and record.status == StreamState.PENDING:
        record = record.model_copy(update={"processor": _binding(record, decision)})
    scheduling = decision.scheduling if decision is not None else None
    record = observe_conditions(record, now, scheduling=scheduling, generation=item.obj["metadata"].get("generation"))
    return merge_patch(item.obj.get("status") or {}, record.to_resource())


def what_happened(fact: StreamFact, pod: PodFact | None, now: datetime) -> Happening | None:
    """Return what the pod of a stream in progress means for its worker; None if nothing new."""
    reason = why_lost(fact, pod)
    if reason is None:
        is_late = fact.leave_by is not None and now >= fact.leave_by
        return lifecycle.HandlerLost(fact.leave_reason or lifecycle.drained(fact.pod or "")) if is_late else None
    if pod is not None and reason == _drained(pod):
        if fact.leave_by is None:
            return lifecycle.Drained(now + HANDOVER)
        if now < fact.leave_by:
            return None
    return lifecycle.HandlerLost(reason)


def why_lost(fact: StreamFact, pod: PodFact | None) -> str | None:
    """Say why a stream cannot stay with the pod it belongs to; None if it can."""
    name = f"processor pod {fact.pod}"
    if pod is None:
        return f"{name} is gone"
    if fact.pod_uid is not None and fact.pod_uid != pod.uid:
        return f"{name} was replaced"
    return why_all_lost(pod)


def why_all_lost(pod: PodFact) -> str | None:
    """Say why no stream can stay with a pod; None if those that belong to it can."""
    name = f"processor pod {pod.name}"
    if pod.is_failed:
        return f"{name} ended: {pod.trouble or 'no reason given'}"
    if pod.is_stopping:
        return f"{name} is being deleted: {pod.trouble}" if pod.trouble else f"{name} is being deleted"
    if pod.is_sick:
        return f"{name} cannot go on: {pod.trouble}"
    if not pod.is_running:
        return f"{name} does not run: {pod.trouble or 'its container is not started'}"
    if pod.is_draining:
        return _drained(pod)
    return None


def _drained(pod: PodFact) -> str:
    return lifecycle.drained(pod.name)


def _binding(record: StreamStatus, decision: Decision) -> ProcessorBinding:
    seat = decision.seat
    if seat is not None:
        return ProcessorBinding(pool=seat.pool, pod=seat.pod, pod_uid=seat.uid)
    return record.processor if decision.keeps_pod else ProcessorBinding()
