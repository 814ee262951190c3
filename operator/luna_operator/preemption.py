"""Whose place a stream takes that finds none and may take one: pure.

The victim is of lower priority than the stream, and of all such streams the least important one whose leaving makes
room. It is asked to leave, and the room is kept for who asked, so it does not sit down again where it sat. A stream
that was preempted preempts nobody itself: there is no cascade, and since priorities only rise, no circle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from luna_operator.room import Room
from luna_operator.seats import Candidate, Resident, Seat

AT_ONCE: Final = 25
"""Streams asked to leave in one look at most: a queue of urgent streams empties the pods in portions."""


@dataclass(frozen=True, slots=True)
class MadeRoom:
    """A seat that is kept for a stream, and who is to leave it besides those who were asked before."""

    seat: Seat
    victims: tuple[Resident, ...] = ()


class Preemption:
    """Makes room in one look at a namespace, for the most urgent stream first."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._asked: set[str] = set()
        self._vacated: dict[str, dict[str, Seat]] = {}
        self._in_vain: set[tuple[tuple[str, ...], tuple[str, ...], float]] = set()

    def make_room(self, candidate: Candidate) -> MadeRoom | None:
        """Keep a seat for a candidate that found none; None if it may not ask, or nobody can make room."""
        # Who comes later is less urgent: what this one finds in vain, it need not look for.
        search = candidate.preempts_in, candidate.required_zones, candidate.cost_mpx
        if not candidate.preempts_in or search in self._in_vain:
            return None
        for seat in (seat for pool in candidate.preempts_in for seat in self._vacated_of(pool).values()):
            if self._room.will_fit(candidate, seat):
                self._room.reserve(candidate, seat)
                return MadeRoom(seat)
        if len(self._asked) >= AT_ONCE:
            return None
        seats = [seat for pool in candidate.preempts_in for seat in self._room.seats_of(pool)]
        found = [(seat, victims) for seat in seats if (victims := self._victims(candidate, seat))]
        if not found:
            self._in_vain.add(search)
            return None
        seat, victims = min(found, key=lambda pair: (_importance(pair[1]), pair[0].pod))
        self._room.reserve(candidate, seat, (len(victims), sum(victim.cost_mpx for victim in victims)))
        self._asked.update(victim.name for victim in victims)
        self._vacated_of(seat.pool)[seat.uid] = seat
        return MadeRoom(seat, victims)

    def _vacated_of(self, pool: str) -> dict[str, Seat]:
        """Return the seats that somebody was asked to leave, by uid."""
        if pool not in self._vacated:
            self._vacated[pool] = {seat.uid: seat for seat in self._room.seats_of(pool) if seat.leaving}
        return self._vacated[pool]

    def _victims(self, candidate: Candidate, seat: Seat) -> tuple[Resident, ...]:
        """Return the least important streams of a seat whose leaving makes room; none if it does not."""
        if seat.is_suspect or seat.is_silent:
            return ()
        lower = [r for r in seat.residents if r.priority < candidate.priority and r.name not in self._asked]
        lower.sort(key=_least_important)
        for number in range(1, len(lower) + 1):
            mpx = sum(victim.cost_mpx for victim in lower[:number])
            if self._room.will_fit(candidate, seat, (number, mpx)):
                return tuple(self._needed(candidate, seat, lower[:number]))
        return ()

    def _needed(self, candidate: Candidate, seat: Seat, victims: list[Resident]) -> Iterable[Resident]:
        """Leave out those without whom there is room all the same, the most important first."""
        needed = list(victims)
        for victim in reversed(victims):
            others = [other for other in needed if other is not victim]
            if self._room.will_fit(candidate, seat, (len(others), sum(other.cost_mpx for other in others))):
                needed = others
        return needed


def _least_important(resident: Resident) -> tuple[int, float, str]:
    """Order the lowest priority first, of equal ones who runs the shortest."""
    return resident.priority, -resident.since.timestamp(), resident.name


def _importance(victims: tuple[Resident, ...]) -> tuple[int, int, float]:
    """Order the victims who matter least first: by their highest priority, their number, who runs the shortest."""
    return max(v.priority for v in victims), len(victims), -max(v.since for v in victims).timestamp()
