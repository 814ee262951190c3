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
from luna_streams.v1alpha1 import Condition, StreamProcessor, StreamProcessorStatus

Json = dict[str, Any]

READY: Final = "Ready"
PODS_READY: Final = "PodsReady"
"""As many pods are ready as the pool is to have."""
PODS_NOT_READY: Final = "PodsNotReady"
"""Some pods are still starting, or cannot run; the message has the first one's trouble."""
POD_REJECTED: Final = "PodRejected"
"""The API server refuses to make a pod: quota, an invalid podTemplate, Pod Security."""
SCALED_TO_ZERO: Final = "ScaledToZero"
"""The pool is to have no pods."""

HAS_ROOM: Final = "HasRoom"
SLOTS_FREE: Final = "SlotsFree"
"""No stream waits for this pool."""
STREAMS_WAIT: Final = "StreamsWait"
"""Streams wait for a slot; raise maxReplicas or slotsPerPod."""


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What the status is computed from.

    Attributes:
        wanted: pods the pool is to have.
        waiting: pending streams that it selects and that have no slot.
        rejection: why the API server refused the last pod; "" if it did not.
    """

    pool: StreamProcessor
    pods: tuple[PoolPod, ...]
    wanted: int
    waiting: int
    rejection: str = ""


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
        slots=sum(pod.fact.slots for pod in ready),
        assigned=sum(pod.streams for pod in facts.pods),
        waiting=facts.waiting,
        label_selector=pod_selector(facts.pool.name),
        conditions=tuple(_conditions(facts, len(ready), now)),
        observed_generation=facts.pool.generation,
    )
    return merge_patch(written, status.to_resource())


def _conditions(facts: PoolFacts, ready: int, now: datetime) -> Iterable[Condition]:
    observed = {READY: _ready(facts, ready), HAS_ROOM: _has_room(facts)}
    for name, (is_true, reason, message) in observed.items():
        before = find_condition(facts.pool.status.conditions, name)
        status = "True" if is_true else "False"
        is_same = before is not None and before.status == status
        yield Condition(
            type=name,
            status="True" if is_true else "False",
            reason=reason,
            message=message,
            last_transition_time=before.last_transition_time if before is not None and is_same else now,
            observed_generation=facts.pool.generation,
        )


def _ready(facts: PoolFacts, ready: int) -> tuple[bool, str, str]:
    if facts.rejection:
        return False, POD_REJECTED, facts.rejection
    if facts.wanted == 0:
        return False, SCALED_TO_ZERO, "The pool is to have no pods."
    if ready >= facts.wanted:
        return True, PODS_READY, f"{ready} of {facts.wanted} pods are ready."
    troubles = sorted(f"{pod.fact.name}: {pod.fact.trouble}" for pod in facts.pods if pod.fact.trouble)
    first = f" {troubles[0]}" if troubles else ""
    return False, PODS_NOT_READY, f"{ready} of {facts.wanted} pods are ready.{first}"[:1024]


def _has_room(facts: PoolFacts) -> tuple[bool, str, str]:
    if facts.waiting:
        return False, STREAMS_WAIT, "Streams wait for a slot: raise maxReplicas or slotsPerPod."
    return True, SLOTS_FREE, "No stream waits for a slot."
