"""Which streams move to a zone they would rather be in: pure.

A stream that runs is disturbed for nothing else. It moves to a strictly better zone only, so it never goes back and
forth; only when it and the pod there have been so for a while; only in a pool in which nobody waits and no pod comes or
goes; and few at a time, each by the hand-over of a drained pod.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from luna_operator.room import Room
from luna_operator.seats import Candidate, Seat

AT_ONCE: Final = 2
"""Streams of a pool that are on the move at the same time, at most."""


@dataclass(frozen=True, slots=True)
class Mover:
    """A stream in progress that would rather be in another zone.

    Attributes:
        stream: as it would be placed if it waited, in the pool it is in; `since` is when it went into progress.
        pod, pod_uid: where it is.
        better_zones: those it would rather be in, the best first.
        is_leaving: it was asked to leave already.
    """

    stream: Candidate
    pod: str
    pod_uid: str
    better_zones: tuple[str, ...]
    is_leaving: bool = False

    @property
    def pool(self) -> str:
        """The pool it is in."""
        return self.stream.pools[0]


@dataclass(frozen=True, slots=True)
class Moves:
    """Who is to move now.

    Attributes:
        zones: the zone each stream is to move to, by its name.
        look_again: when time alone changes the answer; None if never.
    """

    zones: Mapping[str, str]
    look_again: datetime | None = None


def moves_back(movers: Iterable[Mover], room: Room, delays: Mapping[str, timedelta], now: datetime) -> Moves:
    """Choose the streams that move to a better zone now.

    Args:
        movers: streams that would rather be elsewhere.
        room: what the streams that wait have left of the seats; what is chosen is taken from it.
        delays: the pools that are calm, with the time that streams and seats must have been what they are.
        now: present time.
    """
    steady = {pool: _steady_zones(room.seats_of(pool), room, delay) for pool, delay in delays.items()}
    on_the_move = dict.fromkeys(delays, 0)
    zones: dict[str, str] = {}
    later: list[datetime] = []
    for mover in sorted(movers, key=lambda m: (not m.is_leaving, -m.stream.priority, m.stream.since, m.stream.name)):
        pool = mover.pool
        if pool not in delays:
            continue
        opens_at = [steady[pool][zone] for zone in mover.better_zones if zone in steady[pool]]
        due = max(min(opens_at), mover.stream.since + delays[pool]) if opens_at else None
        if mover.is_leaving:
            _target(mover, room, delays[pool], now)  # which must not be promised twice
            on_the_move[pool] += 1
        elif due is not None and due > now:
            later.append(due)
        elif due is not None and on_the_move[pool] < AT_ONCE:
            seat = _target(mover, room, delays[pool], now)
            if seat is not None:
                on_the_move[pool] += 1
                zones[mover.stream.name] = seat.zone
    return Moves(zones, min(later, default=None))


def _steady_zones(seats: Iterable[Seat], room: Room, delay: timedelta) -> dict[str, datetime]:
    """Return since when one may move to a zone, for zones with a seat that is there to stay and has a slot."""
    zones: dict[str, datetime] = {}
    for seat in seats:
        if seat.steady_from is not None and room.has_free_slot(seat):
            since = seat.steady_from + delay
            zones[seat.zone] = min(zones.get(seat.zone, since), since)
    return zones


def _target(mover: Mover, room: Room, delay: timedelta, now: datetime) -> Seat | None:
    def is_steady(seat: Seat) -> bool:
        return seat.zone in mover.better_zones and seat.steady_from is not None and seat.steady_from + delay <= now

    return room.take(mover.stream, is_steady)
