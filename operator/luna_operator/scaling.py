"""How many pods a pool has, and which of them come and go: a pure function of what is so.

- The wanted number is `replicas`, else what the streams need between `minReplicas` and `maxReplicas`. A pod without
  streams stays for `scaleDownDelaySeconds`; one with streams stays as long as `maxReplicas` allows.
- A pod goes by draining: it takes no new streams, those it has move, then it is deleted.
- Pods of an older template are replaced one at a time, the new one first. Where the new one finds no node (the last
  GPU is taken), the old one goes first.
- A pod that ended for good (evicted, rejected by the kubelet) is replaced, ever more slowly if that keeps happening.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from luna_operator.facts import PodFact
from luna_streams import naming
from luna_streams.v1alpha1 import StreamProcessor

_FAILURE_WINDOW = timedelta(minutes=10)
_FIRST_REPLACEMENT_DELAY_S, _LONGEST_REPLACEMENT_DELAY_S = 5.0, 300.0


@dataclass(frozen=True, slots=True)
class PoolPod:
    """A pod and the number of active streams that belong to it."""

    fact: PodFact
    streams: int


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What must be remembered from one look to the next; losing it costs patience, nothing else.

    Attributes:
        quiet_since: since when fewer pods would do.
        failures: when pods of the pool ended for good, by uid.
    """

    quiet_since: datetime | None = None
    failures: tuple[tuple[str, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Removal:
    """A pod and why it goes."""

    pod: PodFact
    reason: str


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What to do about the pods of a pool now.

    Attributes:
        wanted: how many pods the pool is to have.
        create: names of pods to make.
        drain: pods that take no more streams from now on.
        delete: pods that nobody needs any more.
        memory: to be passed to the next look.
        look_again: when time alone changes the answer; None if never.
    """

    wanted: int
    create: tuple[str, ...] = ()
    drain: tuple[Removal, ...] = ()
    delete: tuple[Removal, ...] = ()
    memory: PoolMemory = field(default_factory=PoolMemory)
    look_again: datetime | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as the planner sees it.

    Attributes:
        template_hash: of the pods that would be made now.
        demand: active streams that belong to the pool or wait for it.
        foreign_names: names that pods of somebody else have.
    """

    pool: StreamProcessor
    template_hash: str
    pods: tuple[PoolPod, ...]
    demand: int
    foreign_names: frozenset[str] = frozenset()


def plan_pods(view: PoolView, memory: PoolMemory, now: datetime) -> PodPlan:
    """Decide which pods to make, drain and delete."""
    spec = view.pool.spec
    present = [pod for pod in view.pods if not pod.fact.is_stopping]
    memory = _remember_failures(memory, present, now)
    ended, replace_at = _ended(present, memory, now)
    gone = {removal.pod.uid for removal in ended}
    staying = [p for p in present if not p.fact.is_draining and p.fact.uid not in gone]
    outdated = [p for p in staying if p.fact.template_hash != view.template_hash]
    current = [p for p in staying if p.fact.template_hash == view.template_hash]
    wanted, quiet_since = _wanted(view, staying, bool(outdated), memory, now)
    surge = 1 if outdated and len(staying) <= wanted and all(p.fact.is_ready for p in current) else 0
    missing = wanted + surge - len(staying)
    drain = _surplus(staying, outdated, wanted, view.template_hash) if missing < 0 else ()
    empty = tuple(
        Removal(p.fact, "drained") for p in present if p.fact.is_draining and not p.streams and p.fact.uid not in gone
    )
    quiet_until = quiet_since + timedelta(seconds=spec.scale_down_delay_seconds) if quiet_since else None
    return PodPlan(
        wanted=wanted,
        create=_free_names(view, missing),
        drain=drain,
        delete=(*ended, *empty),
        memory=PoolMemory(quiet_since, memory.failures),
        look_again=min((t for t in (quiet_until, replace_at) if t is not None and t > now), default=None),
    )


def _wanted(
    view: PoolView, staying: Sequence[PoolPod], is_rolling: bool, memory: PoolMemory, now: datetime
) -> tuple[int, datetime | None]:
    """Return how many pods there are to be, and since when fewer would do."""
    spec = view.pool.spec
    if spec.replicas is not None:
        return spec.replicas, None
    needed = max(spec.min_replicas, min(spec.max_replicas, math.ceil(view.demand / spec.slots_per_pod)))
    # Streams are not moved to save a pod: only pods without streams go. A roll-out moves them anyway.
    busy = 0 if is_rolling else sum(pod.streams > 0 for pod in staying)
    floor = max(needed, min(spec.max_replicas, busy))
    present = min(len(staying), spec.max_replicas)
    if is_rolling or present <= floor:
        return floor, None
    quiet_since = memory.quiet_since or now
    is_over = now - quiet_since >= timedelta(seconds=spec.scale_down_delay_seconds)
    return (floor if is_over else present), quiet_since


def _surplus(
    staying: Sequence[PoolPod], outdated: Sequence[PoolPod], wanted: int, template_hash: str
) -> tuple[Removal, ...]:
    """Choose the pods to drain: the older template first, then those that disturb the fewest streams."""
    excess = len(staying) - wanted
    if outdated:
        # One at a time, and only when its successor works, or when there is no node for both.
        successors = [p for p in staying if p.fact.template_hash == template_hash]
        if not all(p.fact.is_ready or p.fact.is_unschedulable for p in successors):
            outdated = [p for p in outdated if not p.fact.is_ready]
        excess = min(excess, 1)
        pods, reason = outdated, "it is replaced by a pod of the present template"
    else:
        pods, reason = staying, "the pool needs fewer pods"
    ordered = sorted(pods, key=lambda p: (p.fact.is_ready, p.streams, _ordinal_key(p.fact.name)))
    return tuple(Removal(p.fact, reason) for p in ordered[:excess])


def _ordinal_key(name: str) -> tuple[int, str]:
    """Order the highest ordinal first."""
    tail = name.rpartition("-")[2]
    return (-int(tail) if tail.isdecimal() else 0), name


def _remember_failures(memory: PoolMemory, present: Iterable[PoolPod], now: datetime) -> PoolMemory:
    recent = {uid: when for uid, when in memory.failures if now - when < _FAILURE_WINDOW}
    for pod in present:
        if pod.fact.is_failed:
            recent.setdefault(pod.fact.uid, now)
    return PoolMemory(memory.quiet_since, tuple(recent.items()))


def _ended(
    present: Iterable[PoolPod], memory: PoolMemory, now: datetime
) -> tuple[tuple[Removal, ...], datetime | None]:
    """Return the ended pods that may be replaced now, and when the next one may be."""
    failed_at = dict(memory.failures)
    # The first failure is replaced at once; from the second on, each waits twice as long as the one before.
    delay_s = 0.0
    if len(failed_at) > 1:
        delay_s = min(_LONGEST_REPLACEMENT_DELAY_S, _FIRST_REPLACEMENT_DELAY_S * 2 ** min(len(failed_at) - 2, 10))
    removals, later = [], []
    for pod in present:
        if pod.fact.is_failed:
            due = failed_at[pod.fact.uid] + timedelta(seconds=delay_s)
            if now >= due:
                removals.append(Removal(pod.fact, pod.fact.trouble or "it ended"))
            else:
                later.append(due)
    return tuple(removals), min(later, default=None)


def _free_names(view: PoolView, number: int) -> tuple[str, ...]:
    """Return the lowest names that no pod has, also none that is still stopping."""
    taken = {pod.fact.name for pod in view.pods} | view.foreign_names
    names: list[str] = []
    for ordinal in count():
        if len(names) >= number:
            return tuple(names)
        name = naming.pod_name(view.pool.name, ordinal)
        if name not in taken:
            names.append(name)
    raise AssertionError("count() does not end")
