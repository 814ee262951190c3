"""Which pod a stream belongs to: a pure function of what is so.

Streams are seated one by one, the most urgent first, each on the best seat it may have; a stream that has a good pod is
not looked at, so nothing moves without need. One that finds no seat takes that of a stream of lower priority only where
that is asked for. The same input gives the same answer.
Source of the shape: kube-scheduler's filter, score and preemption, for one kind of pod.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from luna_operator.preemption import Preemption
from luna_operator.room import Room
from luna_operator.seats import Candidate, Resident, Seat
from luna_streams import conditions
from luna_streams.conditions import Scheduling


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a candidate.

    Attributes:
        seat: the pod it belongs to from now on; None if there is none.
        scheduling: where it belongs or why it waits, for its condition.
        keeps_pod: without a seat, it still belongs to the pod it waits for.
        makes_room: without a seat, the pod on which streams of lower priority are to make room for it.
        victims: those of them that were not asked before.
    """

    seat: Seat | None
    scheduling: Scheduling
    keeps_pod: bool = False
    makes_room: Seat | None = None
    victims: tuple[Resident, ...] = ()


def place(candidates: Iterable[Candidate], room: Room, limit: int | None = None) -> dict[str, Decision]:
    """Decide where the candidates belong, the most urgent first.

    Args:
        candidates: pending streams without a seat, with distinct names.
        room: the seats; what is given away is taken from it.
        limit: seats given at most; further candidates are left undecided.

    Returns:
        One decision for each candidate that was decided about, by name.
    """
    decisions: dict[str, Decision] = {}
    preemption = Preemption(room)
    seated = 0
    for candidate in sorted(candidates, key=lambda c: (-c.priority, c.since, c.name)):
        if seated == limit:
            break
        seat = room.take(candidate)
        if seat is not None:
            seated += 1
            scheduling = waiting_for(seat.pod) if seat.is_silent else assigned_to(seat.pod)
            decisions[candidate.name] = Decision(seat, scheduling)
        elif (made := preemption.make_room(candidate)) is not None:
            decisions[candidate.name] = Decision(
                None, _making_room(candidate, made.seat), candidate.waits_for is not None, made.seat, made.victims
            )
        else:
            decisions[candidate.name] = Decision(None, _why_not(candidate, room), candidate.waits_for is not None)
    return decisions


def assigned_to(pod: str) -> Scheduling:
    """Say that a stream has a pod that takes it."""
    return Scheduling("True", conditions.ASSIGNED, f"Assigned to {pod}.")


def waiting_for(pod: str) -> Scheduling:
    """Say that a stream has a pod that does not take it at present."""
    return Scheduling("True", conditions.NO_READY_POD, f"Its pod {pod} is not ready.")


def _making_room(candidate: Candidate, seat: Seat) -> Scheduling:
    if candidate.waits_for is not None:
        return waiting_for(candidate.waits_for)
    return Scheduling("False", conditions.NO_FREE_SLOT, f"A stream of lower priority makes room on {seat.pod}.")


def _why_not(candidate: Candidate, room: Room) -> Scheduling:
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
    if room.pools().isdisjoint(candidate.pools):
        return Scheduling("False", conditions.NO_READY_POD, f"No pod of {names} is ready; see its conditions.")
    zones = ", ".join(candidate.required_zones)
    full = f"No ready pod of {names} in {zones} has a free slot." if zones else f"Every ready pod of {names} is full."
    if candidate.was_preempted:
        return Scheduling("False", conditions.PREEMPTED, f"A stream of higher priority took its place. {full}")
    return Scheduling("False", conditions.NO_FREE_SLOT, full)
