"""One look at a namespace: what is so goes in, what is to be done comes out. Pure; nothing here waits or writes.

gather(space, drafts) -> Observation      frozen values
decide(observation)   -> Plan             stream writes, pod plans, pool figures
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from luna_operator.demand import demand
from luna_operator.drafts import Draft, Happening, Leave, what_happened, why_all_lost
from luna_operator.facts import PodFact, StreamFact
from luna_operator.held import Held
from luna_operator.moves import Moves, moves_back
from luna_operator.placement import Decision, assigned_to, place
from luna_operator.pool_status import PoolFacts
from luna_operator.room import Room
from luna_operator.scaling import PodPlan, PoolMemory, PoolPod, PoolView, plan_pods
from luna_operator.seating import Apart, Seating, seating
from luna_operator.world import Space
from luna_streams import lifecycle
from luna_streams.v1alpha1 import StreamProcessor, StreamState


@dataclass(frozen=True, slots=True)
class Observation:
    """What is so in a namespace.

    Attributes:
        drafts: streams whose record changes anyway, by name.
        seating: what placement works on: who waits, who may move, which pods take streams.
        facts: of the candidates without a draft: what is written of them now.
        back: streams whose pod was not ready, as their condition still says, and is again; by name, with the pod.
        pools: every pool with its template's hash and its pods.
        staying: active streams by pool that stay where they are.
        foreign_names: names that pods of somebody else have.
        memories: what the last look left, by pool.
    """

    drafts: Mapping[str, Draft]
    seating: Seating
    facts: Mapping[str, StreamFact]
    back: Mapping[str, str]
    pools: tuple[tuple[StreamProcessor, str, tuple[PoolPod, ...]], ...]
    staying: Mapping[str, int]
    foreign_names: frozenset[str]
    memories: Mapping[str, PoolMemory]
    now: datetime


@dataclass(frozen=True, slots=True)
class StreamWrite:
    """A stream whose status may have to be written; the patch tells in the end.

    Attributes:
        draft: what becomes of its record anyway; None leaves it as it is then.
        decision: where it belongs; None leaves it where it is.
        leave: why its worker is to let go of it; None if it is not.
    """

    name: str
    draft: Draft | None
    decision: Decision | None
    leave: Leave | None = None


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What to do about a pool, and the facts its status is computed from."""

    pods: PodPlan
    facts: PoolFacts


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done in a namespace.

    Attributes:
        streams: the most urgent first: lost workers, who is to leave, new seats, then reasons for waiting.
        waiting: streams without a seat, by reason.
        is_whole: every candidate was decided about; if not, look again at once.
        look_again: when time alone changes what is to be done with streams; None if never.
    """

    streams: tuple[StreamWrite, ...]
    pools: tuple[PoolPlan, ...]
    waiting: Mapping[str, int]
    is_whole: bool
    look_again: datetime | None = None


def changed_streams(space: Space, now: datetime, limit: int) -> dict[str, Happening | None]:
    """Return the streams whose record has to change before they can be placed, and what happened to their worker.

    Lost workers come first, then due restarts, then specs that were not looked at.
    """
    changed: dict[str, Happening | None] = {}
    for name, held in space.held.items():
        pod = space.pods.get(name)
        for fact in _unsettled(held, pod):
            if fact.state == StreamState.IN_PROGRESS and (event := what_happened(fact, pod, now)):
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
    surplus = _surplus(space)
    homeless = {
        fact.name: fact
        for fact in _homeless(space, drafted, surplus, present.now)
        if fact.name not in present.left_alone
    }  # fmt: skip
    leaving = homeless.keys() | {name for name, fact in drafted.items() if not fact.is_active}
    apart = Apart(frozenset(leaving), present.left_alone | drafts.keys(), surplus)
    staying: Counter[str] = Counter()
    gone = space.by_pod(leaving)
    for name, held in space.held.items():
        if pod := space.pods.get(name):
            staying[pod.pool] += len(held) - len(gone.get(name, ()))
    pools = tuple(
        (pool, present.templates[pool.name], _pods_of(space, pool, present.now))
        for pool in sorted(space.pools.values(), key=lambda pool: pool.name)
        if not pool.is_deleting
    )
    return Observation(
        drafts=drafts,
        seating=seating(space, homeless.values(), apart, present.templates, present.now),
        facts=homeless,
        back={
            name: pod
            for name, pod in _back(space, present.now)
            if name not in drafts and name not in present.left_alone and name not in surplus
        },
        pools=pools,
        staying=staying,
        foreign_names=frozenset(space.foreign_names),
        memories=present.memories,
        now=present.now,
    )


def decide(observation: Observation, limit: int | None = None) -> Plan:
    """Decide where the candidates belong (at most `limit` get a seat now) and which pods come and go."""
    seating = observation.seating
    room = Room(seating.seats, seating.rules)
    decisions = place(seating.candidates, room, limit)
    specs = [pool for pool, _, _ in observation.pools]
    asked = demand(seating.candidates, decisions, seating.seats, specs, observation.staying)
    pools = []
    for pool, template_hash, pods in observation.pools:
        memory = observation.memories.get(pool.name, PoolMemory())
        streams, least = asked.streams[pool.name], asked.pods[pool.name]
        view = PoolView(pool, template_hash, pods, streams, observation.foreign_names, least)
        plan = plan_pods(view, memory, observation.now)
        pools.append(PoolPlan(plan, PoolFacts(pool, pods, plan.wanted, asked.waiting[pool.name])))
    moves = _moves(observation, decisions, pools, room)
    reasons = Counter(d.scheduling.reason for d in decisions.values() if d.seat is None)
    return Plan(
        streams=tuple(_writes(observation, decisions, _leaves(observation, decisions, moves))),
        pools=tuple(pools),
        waiting=reasons,
        is_whole=len(decisions) == len(seating.candidates),
        look_again=min(filter(None, (seating.look_again, moves.look_again)), default=None),
    )


def _moves(observation: Observation, decisions: Mapping[str, Decision], pools: Iterable[PoolPlan], room: Room) -> Moves:
    """Choose the streams that move to a better zone: only in pools in which nothing else is to be done."""
    unsettled = {plan.facts.pool.name for plan in pools if plan.pods.drain or plan.pods.delete}
    for candidate in observation.seating.candidates:
        decision = decisions.get(candidate.name)
        if decision is None or decision.seat is None:
            unsettled.update(candidate.pools)
    calm = {name: delay for name, delay in observation.seating.calm.items() if name not in unsettled}
    return moves_back(observation.seating.movers, room, calm, observation.now)


def _leaves(observation: Observation, decisions: Mapping[str, Decision], moves: Moves) -> dict[str, Leave]:
    """Say which workers are to let go of their stream though their pod stays, and why."""
    leaves: dict[str, Leave] = {}
    for candidate in observation.seating.candidates:
        decision = decisions.get(candidate.name)
        if decision is not None and decision.makes_room is not None:
            seat = decision.makes_room
            reason = lifecycle.preempted(seat.pod, candidate.priority)
            leaves |= {victim.name: Leave(seat.uid, reason) for victim in decision.victims}
    for mover in observation.seating.movers:
        if zone := moves.zones.get(mover.stream.name):
            leaves[mover.stream.name] = Leave(mover.pod_uid, lifecycle.moved(mover.pod, zone))
    return leaves


def _surplus(space: Space) -> frozenset[str]:
    """Return the pending streams for which the pod they belong to has no slot, the least urgent of them.

    A stream that waits for its pod to come back keeps it while others are given the free slots it then has.
    """
    surplus: set[str] = set()
    for name, held in space.held.items():
        pod = space.pods.get(name)
        if pod is None or len(held) <= pod.slots:
            continue
        pending = [fact for fact in held.values() if fact.state == StreamState.PENDING]
        free = max(0, pod.slots - (len(held) - len(pending)))
        pending.sort(key=lambda fact: (-fact.priority, fact.since, fact.name))
        surplus.update(fact.name for fact in pending[free:])
    return frozenset(surplus)


def _homeless(
    space: Space, drafted: Mapping[str, StreamFact], surplus: Collection[str], now: datetime
) -> Iterable[StreamFact]:
    """Yield the pending streams that need a seat, as they will be after their drafts."""
    for fact in drafted.values():
        if fact.state == StreamState.PENDING and not _is_seated(space, fact, now):
            yield fact
    for name in space.waiting:
        if name not in drafted:
            yield space.streams[name]
    for name in surplus:
        if name not in drafted:
            yield space.streams[name]
    for name, held in space.held.items():
        pod = space.pods.get(name)
        unseated = held.values() if pod is None or not _is_home(space, pod, now) else held.astray(pod.uid)
        for fact in unseated:
            if fact.state == StreamState.PENDING and fact.name not in drafted and fact.name not in surplus:
                yield fact


def _back(space: Space, now: datetime) -> Iterable[tuple[str, str]]:
    for pod, held in space.held.items():
        for fact in held.hopeful.values():
            if _is_seated(space, fact, now):
                yield fact.name, pod


def _unsettled(held: Held, pod: PodFact | None) -> Iterable[StreamFact]:
    """Return the streams of a pod that may have to leave it: all if it is lost, else those of which that is known."""
    if pod is None or why_all_lost(pod) is not None:
        return held.values()
    return [*held.leaving.values(), *held.astray(pod.uid)]


def _is_seated(space: Space, fact: StreamFact, now: datetime) -> bool:
    pod = space.pods.get(fact.pod) if fact.pod is not None else None
    return pod is not None and fact.pod_uid in (None, pod.uid) and _is_home(space, pod, now)


def _is_home(space: Space, pod: PodFact, now: datetime) -> bool:
    """Tell whether the pending streams that belong to a pod are well seated there."""
    return pod.is_ready and why_all_lost(pod) is None and not space.is_silent(pod, now)


def _pods_of(space: Space, pool: StreamProcessor, now: datetime) -> tuple[PoolPod, ...]:
    pods = sorted((pod for pod in space.pods.values() if pod.pool == pool.name), key=lambda pod: pod.name)
    return tuple(PoolPod(pod, _streams_on(space, pod), space.is_silent(pod, now)) for pod in pods)


def _streams_on(space: Space, pod: PodFact) -> int:
    return space.held[pod.name].count_of(pod.uid) if pod.name in space.held else 0


def _writes(
    observation: Observation, decisions: Mapping[str, Decision], leaves: Mapping[str, Leave]
) -> Iterable[StreamWrite]:
    undecided = {candidate.name for candidate in observation.seating.candidates} - decisions.keys()
    for name, draft in observation.drafts.items():
        # A new stream is written once, with its place; that a worker was lost is written at once.
        if name not in undecided or not draft.was_pending:
            yield StreamWrite(name, draft, decisions.get(name))
    for name, leave in leaves.items():
        yield StreamWrite(name, None, None, leave)
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
