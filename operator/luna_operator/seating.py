"""Reads off a namespace what placement works on: who waits, who may move, which pods take streams. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from luna_operator.facts import PodFact, StreamFact
from luna_operator.held import Held
from luna_operator.moves import Mover
from luna_operator.seats import Candidate, PoolRules, Resident, Seat
from luna_operator.world import Space
from luna_streams.v1alpha1 import StreamProcessor, StreamState

PREEMPTION_PATIENCE: Final = timedelta(seconds=60)
"""How long a stream that may preempt waits for pods that are about to come: they disturb nobody."""


@dataclass(frozen=True, slots=True)
class Seating:
    """What placement works on.

    Attributes:
        candidates: pending streams without a pod that takes streams.
        seats: pods that take streams, without those that leave them.
        rules: of every pool, by name.
        movers: streams in progress that would rather be in another zone.
        calm: pools in which no pod is drained or outdated, with the time for which a stream that moves, and the pod it
            moves to, must have been what they are.
        look_again: when a stream that may preempt has waited long enough; None if none waits for that.
    """

    candidates: tuple[Candidate, ...]
    seats: tuple[Seat, ...]
    rules: Mapping[str, PoolRules]
    movers: tuple[Mover, ...]
    calm: Mapping[str, timedelta]
    look_again: datetime | None


@dataclass(frozen=True, slots=True)
class Apart:
    """Names of streams that do not count as what they are.

    Attributes:
        leaving: they hold no slot of the pod they belong to any more.
        untouchable: they are not asked to leave now, because their record changes or was not written.
        surplus: they cannot stay with the pod they belong to, which has no slot for them.
    """

    leaving: frozenset[str]
    untouchable: frozenset[str]
    surplus: frozenset[str] = frozenset()


def seating(
    space: Space, homeless: Iterable[StreamFact], apart: Apart, templates: Mapping[str, str], now: datetime
) -> Seating:
    """Read off what placement works on.

    Args:
        space: the namespace.
        homeless: pending streams that need a seat.
        apart: streams that are on their way.
        templates: hash of the present pod template, by pool.
        now: present time.
    """
    reader = _Reader(space, apart, templates, now)
    candidates = tuple(reader.candidate(fact) for fact in homeless)
    movers = tuple(reader.movers())
    return Seating(
        candidates=candidates,
        seats=tuple(reader.seats(candidates, movers)),
        rules=reader.rules,
        movers=movers,
        calm=reader.calm(),
        look_again=reader.look_again,
    )


class _Reader:
    """Reads one namespace; what many streams ask of a pool is found out once."""

    def __init__(self, space: Space, apart: Apart, templates: Mapping[str, str], now: datetime) -> None:
        self.look_again: datetime | None = None
        self._space = space
        self._apart = apart
        self._templates = templates
        self._now = now
        self._pools = {name: pool for name, pool in space.pools.items() if not pool.is_deleting}
        self._pods: dict[str, list[PodFact]] = defaultdict(list)
        for pod in space.pods.values():
            self._pods[pod.pool].append(pod)
        self.rules = {name: _rules(pool) for name, pool in self._pools.items()}
        self._growing: dict[str, bool] = {}

    def candidate(self, fact: StreamFact) -> Candidate:
        """Return a stream that waits as placement sees it."""
        pod = self._space.pods.get(fact.pod) if fact.pod is not None else None
        is_alive = pod is not None and fact.pod_uid in (None, pod.uid) and not (
            pod.is_spent or pod.is_stopping or pod.is_draining or pod.is_lost
        )  # fmt: skip
        pools = self._space.pools_of(fact)
        return replace(
            _as_candidate(fact, pools),
            waits_for=fact.pod if is_alive and fact.name not in self._apart.surplus else None,
            preempts_in=tuple(pool for pool in pools if self._may_preempt(fact, pool, is_placed=is_alive)),
            was_preempted=fact.was_preempted,
        )

    def movers(self) -> Iterable[Mover]:
        """Yield the streams in progress that would rather be in another zone."""
        for name, held in self._space.held.items():
            pod = self._space.pods.get(name)
            if pod is None or pod.pool not in self._pools or not _takes_streams(pod):
                continue
            pools_own = self.rules[pod.pool].preferred_zones
            wishful = held if _before(pod.zone, pools_own) else held.choosy
            for fact in wishful.values():
                better = _before(pod.zone, fact.preferred_zones or pools_own)
                is_here = fact.state == StreamState.IN_PROGRESS and fact.pod_uid == pod.uid
                if (
                    better
                    and is_here
                    and fact.name not in self._apart.untouchable
                    and pod.pool in self._space.pools_of(fact)
                ):
                    yield Mover(_as_candidate(fact, (pod.pool,)), name, pod.uid, better, fact.leave_by is not None)

    def seats(self, candidates: Iterable[Candidate], movers: Iterable[Mover]) -> Iterable[Seat]:
        """Yield the pods that take streams."""
        asks = [*candidates, *(mover.stream for mover in movers)]
        are_groups_asked = any(
            wish not in (None, "None") for wish in (c.group_affinity for c in asks)
        ) or any(rules.group_affinity != "None" for rules in self.rules.values())  # fmt: skip
        # Who waits for a silent pod keeps its slot there.
        keeping = {candidate.name for candidate in candidates if candidate.waits_for is not None}
        gone = self._space.by_pod(self._apart.leaving - keeping)
        highest: dict[str, int] = {}
        for candidate in asks:
            for pool in candidate.preempts_in:
                highest[pool] = max(highest.get(pool, candidate.priority), candidate.priority)
        for pod in self._space.pods.values():
            if pod.pool not in self._pools or not _takes_streams(pod):
                continue
            stayers = _Stayers(self._space.held.get(pod.name, Held()), gone.get(pod.name, set()))
            below = highest.get(pod.pool)
            residents = () if below is None else _residents(pod, stayers.facts(), self._apart.untouchable, below)
            yield self._seat(pod, stayers, residents, _count_groups(stayers.facts()) if are_groups_asked else {})

    def calm(self) -> Mapping[str, timedelta]:
        """Return the pools in which no pod is drained or outdated, with their delay."""
        return {
            name: timedelta(seconds=pool.spec.placement.move_back_delay_seconds)
            for name, pool in self._pools.items()
            if all(not pod.is_draining and self._is_current(pod) for pod in self._pods[name])
        }

    def _seat(
        self, pod: PodFact, stayers: _Stayers, residents: tuple[Resident, ...], groups: Mapping[str, int]
    ) -> Seat:
        decoder = self._pools[pod.pool].spec.decoder
        is_suspect = self._space.is_suspect(pod, self._now)
        asked = stayers.asked_to_leave()
        return Seat(
            pod=pod.name,
            uid=pod.uid,
            pool=pod.pool,
            slots=pod.slots,
            used=stayers.number,
            capacity_mpx=decoder.megapixels_per_second if decoder is not None else None,
            # Where slots alone limit a pod, nobody asks.
            used_mpx=sum(fact.cost_mpx for fact in stayers.facts()) if decoder is not None else 0.0,
            zone=pod.zone,
            node=pod.node,
            is_suspect=is_suspect,
            is_silent=self._space.is_silent(pod, self._now),
            leaving=len(asked),
            leaving_mpx=sum(fact.cost_mpx for fact in asked),
            groups=groups,
            residents=residents,
            steady_from=(pod.ready_since or pod.created_at) if self._is_current(pod) and not is_suspect else None,
        )

    def _is_current(self, pod: PodFact) -> bool:
        return pod.template_hash == self._templates[pod.pool]

    def _may_preempt(self, fact: StreamFact, name: str, *, is_placed: bool) -> bool:
        """Tell whether a stream may take a place in a pool now; if later, say when."""
        pool = self._pools.get(name)
        if pool is None or fact.was_preempted:
            return False
        if (fact.preemption_policy or pool.spec.placement.preemption_policy) == "Never":
            return False
        patient_until = fact.since + PREEMPTION_PATIENCE
        if self._now < patient_until and (is_placed or self._is_growing(pool)):
            self.look_again = min(self.look_again or patient_until, patient_until)
            return False
        return True

    def _is_growing(self, pool: StreamProcessor) -> bool:
        """Tell whether a pod is about to come, or may be made."""
        if pool.name not in self._growing:
            spec, pods = pool.spec, self._pods[pool.name]
            counted = [p for p in pods if not (p.is_stopping or p.is_draining or p.is_spent or p.is_lost)]
            is_starting = any(
                not (pod.is_ready or pod.is_unschedulable or pod.is_unable(self._now)) for pod in counted
            )  # fmt: skip
            most = spec.max_replicas if spec.replicas is None else spec.replicas
            self._growing[pool.name] = is_starting or len(counted) < most
        return self._growing[pool.name]


class _Stayers:
    """The streams of a pod that hold a slot of it; they are looked at one by one only where somebody asks."""

    def __init__(self, held: Held, gone: Collection[str]) -> None:
        self.number = len(held) - len(gone)
        self._held = held
        self._gone = gone

    def facts(self) -> Iterable[StreamFact]:
        """Return all of them."""
        return [fact for name, fact in self._held.items() if name not in self._gone]

    def asked_to_leave(self) -> Collection[StreamFact]:
        """Return those whose worker was asked to let go of them."""
        return [fact for name, fact in self._held.leaving.items() if name not in self._gone]


def _before(zone: str, preferred: tuple[str, ...]) -> tuple[str, ...]:
    """Return the zones that are preferred to a zone."""
    return preferred[: preferred.index(zone)] if zone in preferred else preferred


def _rules(pool: StreamProcessor) -> PoolRules:
    placement = pool.spec.placement
    return PoolRules(placement.strategy, pool.spec.preferred_zones, placement.group_affinity)


def _takes_streams(pod: PodFact) -> bool:
    return pod.is_ready and not pod.is_draining and pod.slots > 0


def _as_candidate(fact: StreamFact, pools: tuple[str, ...]) -> Candidate:
    """Return what a stream asks of a place in one of the pools, be it in progress or not."""
    return Candidate(
        name=fact.name,
        pools=pools,
        since=fact.since,
        priority=fact.priority,
        required_zones=fact.required_zones,
        preferred_zones=fact.preferred_zones,
        cost_mpx=fact.cost_mpx,
        groups=fact.groups,
        group_affinity=fact.group_affinity,
    )


def _residents(
    pod: PodFact, stayers: Iterable[StreamFact], untouchable: Collection[str], below: int
) -> tuple[Resident, ...]:
    """Return the streams on a pod that could be asked to leave for one of the priority `below`."""
    return tuple(
        Resident(fact.name, fact.priority, fact.since, fact.cost_mpx)
        for fact in stayers
        if fact.state == StreamState.IN_PROGRESS
        and fact.priority < below
        and fact.leave_by is None
        and fact.pod_uid == pod.uid
        and fact.name not in untouchable
    )


def _count_groups(stayers: Iterable[StreamFact]) -> Mapping[str, int]:
    return Counter(group for fact in stayers for group in fact.groups)
