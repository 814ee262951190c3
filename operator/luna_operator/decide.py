"""One look at a namespace: what is so goes in, what is to be done comes out. Pure; nothing here waits or writes.

gather(space, drafts) -> Observation      frozen values
decide(observation)   -> Plan             stream writes, pod plans, pool figures
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from luna_operator.drafts import Draft, Happening, what_happened, why_lost
from luna_operator.facts import PodFact, StreamFact
from luna_operator.placement import Candidate, Decision, Seat, assigned_to, place
from luna_operator.pool_status import PoolFacts
from luna_operator.scaling import PodPlan, PoolMemory, PoolPod, PoolView, plan_pods
from luna_operator.world import Space
from luna_streams import conditions
from luna_streams.v1alpha1 import StreamProcessor, StreamState


@dataclass(frozen=True, slots=True)
class Observation:
    """What is so in a namespace.

    Attributes:
        drafts: streams whose record changes anyway, by name.
        candidates: pending streams without a pod that takes streams.
        facts: of the candidates without a draft: what is written of them now.
        back: streams whose pod was not ready, as their condition still says, and is again; by name, with the pod.
        seats: pods that take streams, without those that leave them.
        pools: every pool with its template's hash and its pods.
        staying: active streams by pool that stay where they are.
        foreign_names: names that pods of somebody else have.
        memories: what the last look left, by pool.
    """

    drafts: Mapping[str, Draft]
    candidates: tuple[Candidate, ...]
    facts: Mapping[str, StreamFact]
    back: Mapping[str, str]
    seats: tuple[Seat, ...]
    pools: tuple[tuple[StreamProcessor, str, tuple[PoolPod, ...]], ...]
    staying: Mapping[str, int]
    foreign_names: frozenset[str]
    memories: Mapping[str, PoolMemory]
    now: datetime


@dataclass(frozen=True, slots=True)
class StreamWrite:
    """A stream whose status may have to be written; the patch tells in the end."""

    name: str
    draft: Draft | None
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What to do about a pool, and the facts its status is computed from."""

    pods: PodPlan
    facts: PoolFacts


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in a namespace.

    Attributes:
        streams: the most urgent first: lost workers, new seats, then reasons for waiting.
        waiting: streams without a seat, by reason.
        is_whole: every candidate was decided about; if not, look again at once.
    """

    streams: tuple[StreamWrite, ...]
    pools: tuple[PoolPlan, ...]
    waiting: Mapping[str, int]
    is_whole: bool


def changed_streams(space: Space, now: datetime, limit: int) -> dict[str, Happening | None]:
    """Return the streams whose record has to change before they can be placed, and what happened to their worker.

    Lost workers come first, then due restarts, then specs that were not looked at.
    """
    changed: dict[str, Happening | None] = {}
    for pod, facts in space.held.items():
        for fact in facts.values():
            if fact.state == StreamState.IN_PROGRESS and (event := what_happened(fact, space.pods.get(pod), now)):
                changed[fact.name] = event
                if len(changed) >= limit:
                    return changed
    for fact in space.due_restarts(now, limit):
        changed.setdefault(fact.name, None)
    for name in space.unobserved:
        if len(changed) >= limit:
            break
        changed.setdefault(name, None)
    return changed


@dataclass(frozen=True, slots=True)
class Present:
    """What belongs to this look besides the namespace.

    Attributes:
        now: present time.
        left_alone: streams that are not written now, because the last attempt failed.
        templates: hash of the present pod template, by pool.
        memories: what the last look left, by pool.
    """

    now: datetime
    left_alone: frozenset[str]
    templates: Mapping[str, str]
    memories: Mapping[str, PoolMemory]


def gather(space: Space, drafts: Mapping[str, Draft], present: Present) -> Observation:
    """Freeze what is so; `drafts` are those of `changed_streams`."""
    drafted = {name: draft.fact() for name, draft in drafts.items()}
    candidates: dict[str, Candidate] = {}
    facts: dict[str, StreamFact] = {}
    for fact in _homeless(space, drafted, present.now):
        if fact.name not in present.left_alone:
            candidates[fact.name] = _candidate(space, fact)
            facts[fact.name] = fact
    leaving = candidates.keys() | {name for name, fact in drafted.items() if not fact.is_active}
    staying: Counter[str] = Counter()
    for name, held in space.held.items():
        if pod := space.pods.get(name):
            staying[pod.pool] += len(held.keys() - leaving)
    pools = tuple(
        (pool, present.templates[pool.name], _pods_of(space, pool, present.now))
        for pool in sorted(space.pools.values(), key=lambda pool: pool.name)
        if not pool.is_deleting
    )
    return Observation(
        drafts=drafts,
        candidates=tuple(candidates.values()),
        facts=facts,
        back={
            name: pod
            for name, pod in _back(space, present.now)
            if name not in drafts and name not in present.left_alone
        },
        seats=tuple(_seats(space, leaving, present.now)),
        pools=pools,
        staying=staying,
        foreign_names=frozenset(space.foreign_names),
        memories=present.memories,
        now=present.now,
    )


def decide(observation: Observation, limit: int | None = None) -> Plan:
    """Decide where the candidates belong (at most `limit` get a seat now) and which pods come and go."""
    decisions = place(observation.candidates, observation.seats, limit)
    demand, waiting = _demand(observation, decisions)
    pools = []
    for pool, template_hash, pods in observation.pools:
        memory = observation.memories.get(pool.name, PoolMemory())
        view = PoolView(pool, template_hash, pods, demand[pool.name], observation.foreign_names)
        plan = plan_pods(view, memory, observation.now)
        pools.append(PoolPlan(plan, PoolFacts(pool, pods, plan.wanted, waiting[pool.name])))
    reasons = Counter(d.scheduling.reason for d in decisions.values() if d.seat is None)
    is_whole = len(decisions) == len(observation.candidates)
    return Plan(tuple(_writes(observation, decisions)), tuple(pools), reasons, is_whole)


def _homeless(space: Space, drafted: Mapping[str, StreamFact], now: datetime) -> Iterable[StreamFact]:
    """Yield the pending streams that need a seat, as they will be after their drafts."""
    for fact in drafted.values():
        if fact.state == StreamState.PENDING and not _is_seated(space, fact, now):
            yield fact
    for name in space.waiting:
        if name not in drafted:
            yield space.streams[name]
    for held in space.held.values():
        for fact in held.values():
            if fact.state == StreamState.PENDING and fact.name not in drafted and not _is_seated(space, fact, now):
                yield fact


def _back(space: Space, now: datetime) -> Iterable[tuple[str, str]]:
    for pod, held in space.held.items():
        for fact in held.values():
            waited = fact.state == StreamState.PENDING and fact.scheduled[0] == conditions.NO_READY_POD
            if waited and _is_seated(space, fact, now):
                yield fact.name, pod


def _is_seated(space: Space, fact: StreamFact, now: datetime) -> bool:
    pod = space.pods.get(fact.pod) if fact.pod is not None else None
    return pod is not None and pod.is_ready and why_lost(fact, pod) is None and not space.is_silent(pod, now)


def _candidate(space: Space, fact: StreamFact) -> Candidate:
    pod = space.pods.get(fact.pod) if fact.pod is not None else None
    is_alive = pod is not None and fact.pod_uid in (None, pod.uid) and not (
        pod.is_spent or pod.is_stopping or pod.is_draining or pod.is_lost
    )  # fmt: skip
    return Candidate(
        name=fact.name,
        pools=space.pools_of(fact),
        since=fact.since,
        priority=fact.priority,
        required_zones=fact.required_zones,
        preferred_zones=fact.preferred_zones,
        cost_mpx=fact.cost_mpx,
        waits_for=fact.pod if is_alive else None,
    )


def _seats(space: Space, leaving: Iterable[str], now: datetime) -> Iterable[Seat]:
    leavers = frozenset(leaving)
    for pod in space.pods.values():
        pool = space.pools.get(pod.pool)
        if pool is None or pool.is_deleting or not pod.is_ready or pod.is_draining or not pod.slots:
            continue
        stayers = [fact for name, fact in space.held.get(pod.name, {}).items() if name not in leavers]
        decoder = pool.spec.decoder
        yield Seat(
            pod=pod.name,
            uid=pod.uid,
            pool=pod.pool,
            slots=pod.slots,
            used=len(stayers),
            capacity_mpx=decoder.megapixels_per_second if decoder is not None else None,
            used_mpx=sum(fact.cost_mpx for fact in stayers),
            zone=pod.zone,
            is_suspect=space.is_suspect(pod, now),
            is_silent=space.is_silent(pod, now),
        )


def _pods_of(space: Space, pool: StreamProcessor, now: datetime) -> tuple[PoolPod, ...]:
    pods = sorted((pod for pod in space.pods.values() if pod.pool == pool.name), key=lambda pod: pod.name)
    return tuple(PoolPod(pod, _streams_on(space, pod), space.is_silent(pod, now)) for pod in pods)


def _streams_on(space: Space, pod: PodFact) -> int:
    return sum(fact.pod_uid in (None, pod.uid) for fact in space.held.get(pod.name, {}).values())


def _demand(observation: Observation, decisions: Mapping[str, Decision]) -> tuple[Counter[str], Counter[str]]:
    """Return the streams each pool has to have room for, and how many of them wait.

    A stream that waits counts for the first pool that selects it and may still grow, so that one pool is made larger
    for it and not all.
    """
    demand: Counter[str] = Counter(observation.staying)
    waiting: Counter[str] = Counter()
    for decision in decisions.values():
        if decision.seat is not None:
            demand[decision.seat.pool] += 1
    limits = {
        pool.name: (pool.spec.max_replicas if pool.spec.replicas is None else pool.spec.replicas)
        * pool.spec.slots_per_pod
        for pool, _, _ in observation.pools
    }
    for candidate in observation.candidates:
        if not candidate.pools:
            continue
        if candidate.name not in decisions:
            demand[candidate.pools[0]] += 1  # its turn comes in the next look: there is room
        elif decisions[candidate.name].seat is None:
            growing = (pool for pool in candidate.pools if demand[pool] < limits.get(pool, 0))
            pool = next(growing, candidate.pools[0])
            demand[pool] += 1
            waiting[pool] += 1
    return demand, waiting


def _writes(observation: Observation, decisions: Mapping[str, Decision]) -> Iterable[StreamWrite]:
    undecided = {candidate.name for candidate in observation.candidates} - decisions.keys()
    for name, draft in observation.drafts.items():
        # A new stream is written once, with its place; that a worker was lost is written at once.
        if name not in undecided or not draft.was_pending:
            yield StreamWrite(name, draft, decisions.get(name))
    seated = [name for name, decision in decisions.items() if decision.seat is not None]
    for name in seated:
        if name not in observation.drafts:
            yield StreamWrite(name, None, decisions[name])
    for name, pod in observation.back.items():
        yield StreamWrite(name, None, Decision(None, assigned_to(pod), keeps_pod=True))
    for name, decision in decisions.items():
        if decision.seat is None and name not in observation.drafts:
            fact, why = observation.facts[name], decision.scheduling
            is_bound_in_vain = fact.pod is not None and not decision.keeps_pod
            if is_bound_in_vain or fact.scheduled != (why.reason, why.message):
                yield StreamWrite(name, None, decision)
