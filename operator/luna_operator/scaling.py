"""How many pods a pool has, and which of them come and go: a pure function of what is so.

- The wanted number is `replicas`, else what the streams need between `minReplicas` and `maxReplicas`. A pod without
  streams stays for `scaleDownDelaySeconds`; one with streams stays as long as `maxReplicas` allows.
- A pod goes by draining: it takes no new streams, those it has move, then it is deleted.
- Pods of an older template are replaced one at a time, the new one first. Where the new one finds no node (the last
  GPU is taken), the old one goes first.
- A pod that ended for good (evicted, rejected by the kubelet) or whose device broke is deleted and replaced, ever
  more slowly if that keeps happening.
- A pod on a node that does not answer does not count, so another one is made at once. It is left alone: Kubernetes
  deletes it if the node stays away; if the node returns, one pod too many is there, and the emptier one goes.
- A pod that cannot run counts, for `maxReplicas` is a promise, but it gives no room: another one is made beside it
  while too few work. Each pod that works vouches for one such, so a pool of which nothing works grows by one pod.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from luna_operator.facts import PodFact
from luna_operator.pod_states import ENDED, NOT_STARTED, WORKER_SILENT
from luna_streams import naming
from luna_streams.v1alpha1 import StreamProcessor

_FAILURE_WINDOW = timedelta(minutes=10)
_LINGER = timedelta(seconds=30)
"""How long an ended pod may stay for the sake of the streams that are to say how it ended."""
_FIRST_REPLACEMENT_DELAY_S, _LONGEST_REPLACEMENT_DELAY_S = 5.0, 300.0


@dataclass(frozen=True, slots=True)
class PoolPod:
    """A pod and the number of active streams that belong to it.

    Attributes:
        is_silent: the shim lost all its streams, for their worker did not report; Kubernetes has not noticed anything.
    """

    fact: PodFact
    streams: int
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class PoolMemory:
    """What must be remembered from one look to the next; losing it costs patience, nothing else.

    Attributes:
        quiet_since: since when fewer pods would do.
        failures: when pods of the pool ended for good, by uid.
        told: pods whose trouble people were told of, by uid, with its reason.
    """

    quiet_since: datetime | None = None
    failures: tuple[tuple[str, datetime], ...] = ()
    told: tuple[tuple[str, str], ...] = ()


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
        avoid: nodes on which pods had trouble; new pods had better be elsewhere.
        troubled: pods of which a trouble became known that people are to be told of.
        memory: to be passed to the next look.
        look_again: when time alone changes the answer; None if never.
    """

    wanted: int
    create: tuple[str, ...] = ()
    drain: tuple[Removal, ...] = ()
    delete: tuple[Removal, ...] = ()
    avoid: tuple[str, ...] = ()
    troubled: tuple[Removal, ...] = ()
    memory: PoolMemory = field(default_factory=PoolMemory)
    look_again: datetime | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool as the planner sees it.

    Attributes:
        template_hash: of the pods that would be made now.
        demand: active streams that belong to the pool or wait for it.
        least: pods they need for their decoders' sake; 0 where slots alone count.
        foreign_names: names that pods of somebody else have.
    """

    pool: StreamProcessor
    template_hash: str
    pods: tuple[PoolPod, ...]
    demand: int
    foreign_names: frozenset[str] = frozenset()
    least: int = 0


def plan_pods(view: PoolView, memory: PoolMemory, now: datetime) -> PodPlan:
    """Decide which pods to make, drain and delete."""
    present = [pod for pod in view.pods if not pod.fact.is_stopping]
    memory = _remember_failures(memory, present, now)
    ended, replace_at = _ended(present, memory, now)
    gone = {removal.pod.uid for removal in ended}
    staying = _counted([p for p in present if not p.fact.is_draining and p.fact.uid not in gone])
    outdated = [p for p in staying if p.fact.template_hash != view.template_hash]
    current = [p for p in staying if p.fact.template_hash == view.template_hash]
    wanted, quiet_since = _wanted(view, staying, bool(outdated), memory, now)
    surge = 1 if outdated and len(staying) <= wanted and all(p.fact.is_ready for p in current) else 0
    missing = wanted + surge - len(staying)
    drain = _surplus(staying, outdated, wanted, now) if missing < 0 else ()
    empty = tuple(
        Removal(p.fact, "drained") for p in present if p.fact.is_draining and not p.streams and p.fact.uid not in gone
    )
    troubles = _troubles(present, now)
    return PodPlan(
        wanted=wanted,
        create=_free_names(view, missing),
        drain=drain,
        delete=(*_deletable(ended, present, memory, now), *empty),
        avoid=tuple(sorted({trouble.pod.node for trouble in troubles if trouble.pod.node})),
        troubled=tuple(t for t in troubles if (t.pod.uid, _reason(t)) not in memory.told),
        memory=PoolMemory(quiet_since, memory.failures, tuple((t.pod.uid, _reason(t)) for t in troubles)),
        look_again=_look_again(view, PoolMemory(quiet_since, memory.failures), replace_at, now),
    )


def _counted(pods: Sequence[PoolPod]) -> list[PoolPod]:
    """Return the pods that count: not those on lost nodes, nor those that are most likely on one.

    Silence may as well be the fault of the network or of the shim, and then more pods would not help. So each pod that
    works, but at least one, vouches for one that is silent.
    """
    silent = {p.fact.uid for p in pods if p.is_silent and not p.fact.is_lost}
    working = sum(p.fact.is_ready and p.fact.uid not in silent for p in pods)
    replaced = set(sorted(silent)[: max(1, working)])
    return [p for p in pods if not p.fact.is_lost and p.fact.uid not in replaced]


def _look_again(view: PoolView, memory: PoolMemory, replace_at: datetime | None, now: datetime) -> datetime | None:
    """Return when time alone changes the answer; None if never."""
    moments = [pod.fact.stuck_from for pod in view.pods] + [replace_at]
    failed_at = dict(memory.failures)
    moments += [failed_at[p.fact.uid] + _LINGER for p in view.pods if p.streams and p.fact.uid in failed_at]
    if memory.quiet_since is not None:
        moments.append(memory.quiet_since + timedelta(seconds=view.pool.spec.scale_down_delay_seconds))
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def _wanted(
    view: PoolView, staying: Sequence[PoolPod], is_rolling: bool, memory: PoolMemory, now: datetime
) -> tuple[int, datetime | None]:
    """Return how many pods there are to be, and since when fewer would do."""
    spec = view.pool.spec
    if spec.replicas is not None:
        return spec.replicas, None
    needed = max(spec.min_replicas, math.ceil(view.demand / spec.slots_per_pod), view.least)
    needed = min(spec.max_replicas, needed + _spare(view, staying, needed, now))
    # Streams are not moved to save a pod: only pods without streams go. A roll-out moves them anyway.
    busy = 0 if is_rolling else sum(pod.streams > 0 for pod in staying)
    floor = max(needed, min(spec.max_replicas, busy))
    present = min(len(staying), spec.max_replicas)
    if is_rolling or present <= floor:
        return floor, None
    quiet_since = min(memory.quiet_since or now, now)  # the clock may have been set back
    is_over = now - quiet_since >= timedelta(seconds=spec.scale_down_delay_seconds)
    return (floor if is_over else present), quiet_since


def _spare(view: PoolView, staying: Sequence[PoolPod], needed: int, now: datetime) -> int:
    """Return how many pods are to stand in for such as cannot run, as long as too few work."""
    working = [p for p in staying if p.fact.is_ready]
    if len(working) >= needed:
        return 0
    vouching = sum(p.fact.template_hash == view.template_hash for p in working)
    return min(sum(p.fact.is_unable(now) for p in staying), max(1, vouching))


def _surplus(
    staying: Sequence[PoolPod], outdated: Sequence[PoolPod], wanted: int, now: datetime
) -> tuple[Removal, ...]:
    """Choose the pods to drain: the older template first, then those that disturb the fewest streams."""
    excess = len(staying) - wanted
    pods, reason = staying, "the pool needs fewer pods"
    if outdated:
        successors = [p.fact for p in staying if p not in outdated]
        if any(fact.is_unable(now) for fact in successors):
            # The new template does not run: what is left of the older one is kept, but for what is too many.
            excess -= 1
        else:
            # One at a time, and only when its successor works, or when there is no node for both.
            is_time = all(fact.is_ready or fact.is_unschedulable for fact in successors)
            pods = [p for p in outdated if is_time or p.fact.is_unable(now)]
            excess, reason = min(excess, 1), "it is replaced by a pod of the present template"
    ordered = sorted(
        pods, key=lambda p: (not p.fact.is_unable(now), p.fact.is_ready, p.streams, _ordinal_key(p.fact.name))
    )
    return tuple(Removal(p.fact, reason) for p in ordered[:excess])


def _troubles(pods: Iterable[PoolPod], now: datetime) -> tuple[Removal, ...]:
    """Return the pods that people should know of, and why."""
    return tuple(Removal(pod.fact, reason) for pod in pods if (reason := trouble_of(pod, now)))


def trouble_of(pod: PoolPod, now: datetime) -> str:
    """Say what keeps a pod from taking streams; "" if nothing does, or if it is only starting."""
    fact = pod.fact
    if pod.is_silent and fact.is_ready:
        return f"{WORKER_SILENT}: its worker stopped reporting"
    if fact.is_spent or fact.is_lost or fact.is_unable(now):
        return fact.trouble or (ENDED if fact.is_spent else NOT_STARTED)
    return ""


def _reason(trouble: Removal) -> str:
    return trouble.reason.partition(":")[0]


def _ordinal_key(name: str) -> tuple[int, str]:
    """Order the highest ordinal first."""
    tail = name.rpartition("-")[2]
    return (-int(tail) if tail.isdecimal() else 0), name


def _remember_failures(memory: PoolMemory, present: Iterable[PoolPod], now: datetime) -> PoolMemory:
    # What failed in the future did so before the clock was set back.
    recent = {uid: when for uid, when in memory.failures if timedelta(0) <= now - when < _FAILURE_WINDOW}
    for pod in present:
        if pod.fact.is_spent:
            recent.setdefault(pod.fact.uid, now)
    return replace(memory, failures=tuple(recent.items()))


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
        if pod.fact.is_spent:
            due = failed_at[pod.fact.uid] + timedelta(seconds=delay_s)
            if now >= due:
                removals.append(Removal(pod.fact, pod.fact.trouble or "it ended"))
            else:
                later.append(due)
    return tuple(removals), min(later, default=None)


def _deletable(
    ended: Iterable[Removal], present: Iterable[PoolPod], memory: PoolMemory, now: datetime
) -> tuple[Removal, ...]:
    """Return the ended pods that may be deleted: the last evidence goes when every stream has moved and said why."""
    busy, failed_at = {p.fact.uid for p in present if p.streams}, dict(memory.failures)
    return tuple(r for r in ended if r.pod.uid not in busy or now >= failed_at[r.pod.uid] + _LINGER)


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
