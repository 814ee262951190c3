"""The status of a pool: computed afresh in every pass, never read to decide. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from luna_kube import merge_patch
from luna_operator.manifests import pod_selector
from luna_operator.scaling import PoolPod
from luna_streams.conditions import find_condition
from luna_streams.stream import MESSAGE_LIMIT
from luna_streams.v1alpha1 import Condition, StreamProcessor, StreamProcessorStatus

Json = dict[str, Any]

READY: Final = "Ready"
PODS_READY: Final = "PodsReady"
"""As many pods are ready as the pool is to have."""
PODS_NOT_READY: Final = "PodsNotReady"
"""Some pods are still starting, or cannot run; the message has the first one's trouble."""
POD_REJECTED: Final = "PodRejected"
"""The API server refuses to make a pod: quota, an invalid podTemplate, Pod Security."""
INVALID_POD_TEMPLATE: Final = "InvalidPodTemplate"
"""The podTemplate changes what must stay as it is; pods that there are go on."""
SCALED_TO_ZERO: Final = "ScaledToZero"
"""The pool is to have no pods."""

STALLED: Final = "Stalled"
"""There and True while somebody has to act, with the reason of Ready; absent otherwise, as kstatus wants it."""

RECONCILING: Final = "Reconciling"
"""There and True while pods of an older template are left; absent otherwise."""
PODS_OUTDATED: Final = "PodsOutdated"
"""Pods are being replaced, one at a time."""

HAS_ROOM: Final = "HasRoom"
SLOTS_FREE: Final = "SlotsFree"
"""No stream waits for this pool."""
STREAMS_WAIT: Final = "StreamsWait"
"""Streams wait for a slot; raise maxReplicas or slotsPerPod."""


Observed = tuple[bool, str, str]
"""Whether it is so, why as one word, why for people."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a pod could not be made: one of the reasons of Ready, and words for people."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What the status is computed from.

    Attributes:
        wanted: pods the pool is to have.
        waiting: pending streams that it selects and that have no slot.
        rejection: why a pod that is missing was not made; None if none was refused.
        template_hash: of the pods that would be made now.
    """

    pool: StreamProcessor
    pods: tuple[PoolPod, ...]
    wanted: int
    waiting: int
    rejection: Rejection | None = None
    template_hash: str = ""

    @property
    def updated(self) -> int:
        """The number of pods of the present template."""
        return sum(pod.fact.template_hash == self.template_hash for pod in self.pods)


def status_patch(facts: PoolFacts, written: Json, now: datetime) -> Json:
    """Return the merge patch of the status; empty if nothing changes.

    Args:
        facts: of the pool.
        written: the status as the API server has it.
        now: present time, for conditions that change.
    """
    ready = [pod for pod in facts.pods if pod.fact.is_ready]
    status = StreamProcessorStatus(
        replicas=len(facts.pods),
        ready_replicas=len(ready),
        updated_replicas=facts.updated,
        slots=sum(pod.fact.slots for pod in ready),
        assigned=sum(pod.streams for pod in facts.pods),
        waiting=facts.waiting,
        label_selector=pod_selector(facts.pool.name),
        conditions=tuple(_conditions(facts, len(ready), now)),
        observed_generation=facts.pool.generation,
    )
    return merge_patch(written, status.to_resource())


def _conditions(facts: PoolFacts, ready: int, now: datetime) -> Iterable[Condition]:
    observed: dict[str, Observed] = {READY: _ready(facts, ready), HAS_ROOM: _has_room(facts)}
    if facts.updated < len(facts.pods):
        message = f"{facts.updated} of {len(facts.pods)} pods are of the present template."
        observed[RECONCILING] = (True, PODS_OUTDATED, message)
    if facts.rejection is not None:
        observed[STALLED] = (True, *observed[READY][1:])
    for name, (is_true, reason, message) in observed.items():
        before = find_condition(facts.pool.status.conditions, name)
        status = "True" if is_true else "False"
        is_same = before is not None and before.status == status
        yield Condition(
            type=name,
            status=status,
            reason=reason,
            message=message,
            last_transition_time=before.last_transition_time if before is not None and is_same else now,
            observed_generation=facts.pool.generation,
        )


def _ready(facts: PoolFacts, ready: int) -> Observed:
    if facts.rejection is not None:
        return False, facts.rejection.reason, facts.rejection.message[:MESSAGE_LIMIT]
    if facts.wanted == 0:
        return True, SCALED_TO_ZERO, "The pool is to have no pods."
    if ready >= facts.wanted:
        return True, PODS_READY, f"{ready} of {facts.wanted} pods are ready."
    troubles = sorted(f"{pod.fact.name}: {pod.fact.trouble}" for pod in facts.pods if pod.fact.trouble)
    first = f" {troubles[0]}" if troubles else ""
    return False, PODS_NOT_READY, f"{ready} of {facts.wanted} pods are ready.{first}"[:MESSAGE_LIMIT]


def _has_room(facts: PoolFacts) -> Observed:
    if facts.waiting:
        return False, STREAMS_WAIT, "Streams wait for a slot: raise maxReplicas or slotsPerPod."
    return True, SLOTS_FREE, "No stream waits for a slot."
