"""Which pod a stream belongs to: a pure function of what is so.

Streams are seated one by one, the most urgent first, each on the emptiest seat it may take: that spreads them evenly,
and a stream that has a good pod is not looked at, so nothing moves without need. The same input gives the same answer.
Source of the shape: kube-scheduler's filter and score, for one kind of pod.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from luna_streams import conditions
from luna_streams.conditions import Scheduling


@dataclass(frozen=True, slots=True)
class Seat:
    """A pod that takes streams.

    Attributes:
        slots: streams it takes at most.
        used: slots that are taken.
        capacity_mpx: megapixels per second its decoder can do; None where slots alone limit it.
        used_mpx: what its streams ask of the decoder.
        zone: where it runs; "" where that is not known.
        is_suspect: streams were lost from it a moment ago; others are asked first.
        is_silent: nothing shows that its worker lives: a stream gets it for want of others, and moves on to the first.
    """

    pod: str
    uid: str
    pool: str
    slots: int
    used: int = 0
    capacity_mpx: float | None = None
    used_mpx: float = 0.0
    zone: str = ""
    is_suspect: bool = False
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pending stream without a pod that takes streams.

    Attributes:
        pools: names of the pools that select it, the most specific first.
        since: since when it waits.
        cost_mpx: what it asks of a decoder.
        waits_for: a pod it belongs to that lives but is not ready; kept if there is no seat.
    """

    name: str
    pools: tuple[str, ...]
    since: datetime
    priority: int = 0
    required_zones: tuple[str, ...] = ()
    preferred_zones: tuple[str, ...] = ()
    cost_mpx: float = 0.0
    waits_for: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a candidate.

    Attributes:
        seat: the pod it belongs to from now on; None if there is none.
        scheduling: where it belongs or why it waits, for its condition.
        keeps_pod: without a seat, it still belongs to the pod it waits for.
    """

    seat: Seat | None
    scheduling: Scheduling
    keeps_pod: bool = False


class _Room:
    """What is left of the seats while they are given away."""

    def __init__(self, seats: Iterable[Seat]) -> None:
        self.ready_pools: set[str] = set()
        self._free: dict[str, list[Seat]] = defaultdict(list)
        self._slots: dict[str, int] = {}
        self._mpx: dict[str, float] = {}
        for seat in sorted(seats, key=lambda seat: seat.pod):
            self.ready_pools.add(seat.pool)
            self._slots[seat.uid], self._mpx[seat.uid] = seat.used, seat.used_mpx
            if seat.used < seat.slots:
                self._free[seat.pool].append(seat)

    def take(self, candidate: Candidate) -> Seat | None:
        """Give the candidate the best seat it may have."""
        for pool in candidate.pools:
            fitting = [
                seat
                for seat in self._free[pool]
                if self._fits(candidate, seat) and not (seat.is_silent and candidate.waits_for is not None)
            ]
            if not fitting:
                continue
            best = min(fitting, key=lambda s: (s.is_suspect, _zone_rank(candidate, s), self._share(s), s.pod))
            self._slots[best.uid] += 1
            self._mpx[best.uid] += candidate.cost_mpx
            if self._slots[best.uid] >= best.slots:
                self._free[pool].remove(best)  # the other thousands need not look at it
            return best
        return None

    def _fits(self, candidate: Candidate, seat: Seat) -> bool:
        if candidate.required_zones and seat.zone not in candidate.required_zones:
            return False
        if seat.capacity_mpx is None:
            return True
        # A stream larger than a whole decoder still gets an idle one: late frames are better than none.
        used = self._mpx[seat.uid]
        return used + candidate.cost_mpx <= seat.capacity_mpx or (used == 0 and seat.capacity_mpx > 0)

    def _share(self, seat: Seat) -> float:
        """How full a seat is, 0 to 1, by its scarcer resource."""
        slots = self._slots[seat.uid] / seat.slots
        return max(slots, self._mpx[seat.uid] / seat.capacity_mpx) if seat.capacity_mpx else slots


def place(candidates: Iterable[Candidate], seats: Iterable[Seat], limit: int | None = None) -> dict[str, Decision]:
    """Decide where the candidates belong, the most urgent first.

    Args:
        candidates: pending streams without a seat, with distinct names.
        seats: ready pods that take streams, with distinct uids.
        limit: seats given at most; further candidates are left undecided.

    Returns:
        One decision for each candidate that was decided about, by name.
    """
    room = _Room(seats)
    decisions: dict[str, Decision] = {}
    seated = 0
    for candidate in sorted(candidates, key=lambda c: (-c.priority, c.since, c.name)):
        if seated == limit:
            break
        seat = room.take(candidate)
        seated += seat is not None
        if seat is None:
            decisions[candidate.name] = Decision(None, _why_not(candidate, room), candidate.waits_for is not None)
        else:
            scheduling = waiting_for(seat.pod) if seat.is_silent else assigned_to(seat.pod)
            decisions[candidate.name] = Decision(seat, scheduling)
    return decisions


def assigned_to(pod: str) -> Scheduling:
    """Say that a stream has a pod that takes it."""
    return Scheduling("True", conditions.ASSIGNED, f"Assigned to {pod}.")


def waiting_for(pod: str) -> Scheduling:
    """Say that a stream has a pod that does not take it at present."""
    return Scheduling("True", conditions.NO_READY_POD, f"Its pod {pod} is not ready.")


def _zone_rank(candidate: Candidate, seat: Seat) -> int:
    zones = candidate.preferred_zones
    return zones.index(seat.zone) if seat.zone in zones else len(zones)


def _why_not(candidate: Candidate, room: _Room) -> Scheduling:
    """Say why there is no seat, in words that stay the same while the reason does: each change is a write."""
    if not candidate.pools:
        return Scheduling(
            "False",
            conditions.NO_POOL_SELECTS,
            "No StreamProcessor of the namespace selects the stream: it waits for a worker from outside.",
        )
    names = ", ".join(candidate.pools)
    if candidate.waits_for is not None:
        return waiting_for(candidate.waits_for)
    if room.ready_pools.isdisjoint(candidate.pools):
        return Scheduling("False", conditions.NO_READY_POD, f"No pod of {names} is ready; see its conditions.")
    if candidate.required_zones:
        zones = ", ".join(candidate.required_zones)
        return Scheduling("False", conditions.NO_FREE_SLOT, f"No ready pod of {names} in {zones} has a free slot.")
    return Scheduling("False", conditions.NO_FREE_SLOT, f"Every ready pod of {names} is full.")
