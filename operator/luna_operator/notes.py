"""What people are told as Kubernetes Events, in words."""

from __future__ import annotations

from typing import Final

from luna_kube import STREAM_PROCESSORS, STREAMS
from luna_operator.drafts import Draft, Leave
from luna_operator.events import EventKind, EventRecorder, Note, Subject
from luna_operator.facts import written_scheduling
from luna_operator.placement import Decision
from luna_operator.scaling import Removal
from luna_streams import conditions
from luna_streams.lifecycle import is_drained, is_preempted
from luna_streams.v1alpha1 import StreamProcessor, StreamState

# On a Stream; besides these, the reasons of the condition Scheduled.
HANDLER_LOST: Final = "HandlerLost"
"""The processor of the stream ended; it waits for another one."""
RESTARTED: Final = "Restarted"
"""The failed stream is tried again, as spec.autorestart asks."""
PREEMPTED: Final = conditions.PREEMPTED
MOVES_BACK: Final = "MovesBack"
"""A pod in a zone that the stream prefers has room: it moves there."""
INVALID_SPEC: Final = conditions.INVALID_SPEC

# On a StreamProcessor.
POD_CREATED: Final = "PodCreated"
POD_DRAINING: Final = "PodDraining"
POD_DELETED: Final = "PodDeleted"
POD_TROUBLE: Final = "PodTrouble"
POD_REJECTED: Final = "PodRejected"

_EXPECTED: Final = (conditions.ASSIGNED, conditions.NO_POOL_SELECTS)


class Notes:
    """Turns what the operator did into notes for the recorder."""

    def __init__(self, recorder: EventRecorder) -> None:
        self._recorder = recorder

    def stream_changed(self, item: Draft, decision: Decision | None) -> None:
        """Tell what a written status means, if it means something new."""
        states = [entry.status for entry in item.entries]
        if StreamState.HANDLER_LOST in states or _was_lost_by_shim(item):
            reason = item.record.last_error or ""
            self._stream(item, "Normal" if is_drained(reason) else "Warning", HANDLER_LOST, reason)
        elif StreamState.RESTART in states:
            self._stream(item, "Normal", RESTARTED, f"Attempt {item.record.autorestart.current_attempt}.")
        if decision is None:
            return
        scheduling = decision.scheduling
        told_before = written_scheduling(item.obj) == (scheduling.reason, scheduling.message)
        if item.record.status == StreamState.PENDING and not told_before:
            kind: EventKind = "Normal" if scheduling.reason in _EXPECTED else "Warning"
            self._stream(item, kind, scheduling.reason, scheduling.message)

    def stream_leaves(self, item: Draft, leave: Leave) -> None:
        """Tell that the worker of a stream was asked to let go of it, and why."""
        if is_preempted(leave.reason):
            self._stream(item, "Warning", PREEMPTED, leave.reason)
        else:
            self._stream(item, "Normal", MOVES_BACK, leave.reason)

    def stream_not_understood(self, namespace: str, name: str, uid: str, why: str) -> None:
        """Tell that a spec is not one this release understands."""
        subject = Subject(STREAMS, namespace, name, uid)
        self._recorder.note(Note(subject, "Warning", INVALID_SPEC, why))

    def pod_created(self, pool: StreamProcessor, pod: str) -> None:
        """Tell that a pod was made."""
        self._pool(pool, "Normal", POD_CREATED, f"Created pod {pod}.")

    def pod_drained(self, pool: StreamProcessor, removal: Removal) -> None:
        """Tell that a pod takes no more streams."""
        self._pool(pool, "Normal", POD_DRAINING, f"Draining pod {removal.pod.name}: {removal.reason}.")

    def pod_deleted(self, pool: StreamProcessor, removal: Removal) -> None:
        """Tell that a pod was deleted."""
        kind: EventKind = "Warning" if removal.pod.is_spent else "Normal"
        self._pool(pool, kind, POD_DELETED, f"Deleted pod {removal.pod.name}: {removal.reason}.")

    def pod_troubled(self, pool: StreamProcessor, trouble: Removal) -> None:
        """Tell that a pod takes no streams, and why."""
        self._pool(pool, "Warning", POD_TROUBLE, f"Pod {trouble.pod.name} takes no streams: {trouble.reason}.")

    def pod_rejected(self, pool: StreamProcessor, pod: str, why: str) -> None:
        """Tell that a pod could not be made."""
        self._pool(pool, "Warning", POD_REJECTED, f"Pod {pod} was not made: {why}")

    def _stream(self, item: Draft, kind: EventKind, reason: str, message: str) -> None:
        metadata = item.obj["metadata"]
        subject = Subject(STREAMS, metadata["namespace"], metadata["name"], metadata["uid"])
        self._recorder.note(Note(subject, kind, reason, message))

    def _pool(self, pool: StreamProcessor, kind: EventKind, reason: str, message: str) -> None:
        subject = Subject(STREAM_PROCESSORS, pool.namespace, pool.name, pool.uid)
        self._recorder.note(Note(subject, kind, reason, message))


def _was_lost_by_shim(item: Draft) -> bool:
    """Tell whether the shim took the stream from its worker, and the operator says where it goes for the first time."""
    is_new = written_scheduling(item.obj)[0] == conditions.NOT_OBSERVED
    return is_new and item.fact().was_lost
