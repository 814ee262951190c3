"""Who takes whose place: only who may, never that of an equal, the least important first, and each place once."""

from __future__ import annotations

from typing import Any

from luna_operator.placement import Decision, place
from luna_operator.preemption import AT_ONCE
from luna_operator.room import Room
from luna_operator.seating import PREEMPTION_PATIENCE, Apart, seating
from luna_operator.seats import Candidate, Resident, Seat
from luna_streams.lifecycle import Report, Taken
from luna_streams.v1alpha1 import StreamState
from support.builders import NOW, a_pool
from support.operator_builders import Simulation, a_candidate, a_seat, by_worker, later


def full(pod: str = "pool-0", *priorities: int, **fields: Any) -> Seat:
    """Return a pod of which every slot is taken by a stream that could be asked to leave."""
    residents = tuple(Resident(f"{pod}.{number}", priority, NOW, 50.0) for number, priority in enumerate(priorities))
    count = len(priorities)
    return a_seat(pod, **{"slots": count, "used": count, "used_mpx": 50.0 * count, "residents": residents} | fields)


def urgent(name: str = "urgent", **fields: Any) -> Candidate:
    return a_candidate(name, **{"priority": 5, "preempts_in": ("pool",)} | fields)


def only(candidate: Candidate, *seats: Seat) -> Decision:
    return place([candidate], Room(seats))[candidate.name]


def names(decision: Decision) -> list[str]:
    return [victim.name for victim in decision.victims]


def test_the_stream_of_the_lowest_priority_makes_room() -> None:
    decision = only(urgent(), full("pool-0", 3, 2), full("pool-1", 1, 4))
    assert (decision.seat, names(decision)) == (None, ["pool-1.0"])
    assert decision.scheduling.message == "A stream of lower priority makes room on pool-1."


def test_of_equals_the_one_that_runs_the_shortest_makes_room() -> None:
    long, short = Resident("long", 1, later(-90), 0.0), Resident("short", 1, later(-10), 0.0)
    assert names(only(urgent(), full("pool-0", 1, 1, residents=(long, short)))) == ["short"]


def test_nobody_of_equal_or_higher_priority_is_asked() -> None:
    decision = only(urgent(), full("pool-0", 5, 6))
    assert (decision.makes_room, names(decision), decision.scheduling.reason) == (None, [], "NoFreeSlot")


def test_nobody_is_asked_for_a_stream_that_may_not_ask() -> None:
    assert names(only(urgent(preempts_in=()), full("pool-0", 1))) == []


def test_nobody_is_asked_while_there_is_a_free_seat() -> None:
    decision = only(urgent(), full("pool-0", 1), a_seat("pool-1"))
    assert decision.seat is not None
    assert decision.seat.pod == "pool-1"


def test_a_seat_that_is_being_left_is_kept_and_nobody_else_is_asked() -> None:
    leaving = full("pool-0", 1, leaving=1, residents=())
    decisions = place([urgent(), urgent("urgent-2"), a_candidate("low")], Room([leaving, full("pool-1", 2)]))
    assert (decisions["urgent"].makes_room, names(decisions["urgent"])) == (leaving, [])
    assert names(decisions["urgent-2"]) == ["pool-1.0"], "the place is kept for one only"


def test_the_room_that_is_kept_is_not_given_to_who_comes_later() -> None:
    seat = a_seat(slots=3, used=2, capacity_mpx=100.0, used_mpx=100.0, leaving=1, leaving_mpx=50.0)
    decisions = place([urgent(cost_mpx=50.0), a_candidate("small", cost_mpx=0.0)], Room([seat]))
    assert decisions["urgent"].makes_room == seat
    assert decisions["small"].seat is None


def test_several_make_room_on_one_decoder_but_no_more_than_needed() -> None:
    seat = full("pool-0", 1, 2, 3, 4, slots=8, capacity_mpx=200.0)
    assert names(only(urgent(cost_mpx=100.0), seat)) == ["pool-0.0", "pool-0.1"]
    small = Resident("small", 0, NOW, 10.0)
    large = Resident("large", 1, NOW, 100.0)
    seat = a_seat(slots=8, used=2, capacity_mpx=110.0, used_mpx=110.0, residents=(small, large))
    assert names(only(urgent(cost_mpx=100.0), seat)) == ["large"], "without the small one there is room all the same"


def test_a_required_zone_is_kept() -> None:
    seats = full("pool-0", 1, zone="a"), full("pool-1", 2, zone="b")
    assert names(only(urgent(required_zones=("b",)), *seats)) == ["pool-1.0"]


def test_only_so_many_are_asked_at_once() -> None:
    count = AT_ONCE + 5
    decisions = place([urgent(f"u-{n}") for n in range(count)], Room([full("pool-0", *[1] * count)]))
    assert sum(len(decision.victims) for decision in decisions.values()) == AT_ONCE


# --- whole passes -------------------------------------------------------------------------------------------------


def a_full_pool(**spec: Any) -> Simulation:
    """Return a pool of one slot, with a stream of priority 0 in progress."""
    wanted: dict[str, Any] = {"slots_per_pod": 1, "placement": {"preemption_policy": "PreemptLowerPriority"}}
    world = Simulation(a_pool(**wanted | spec))
    world.settle()
    world.add_stream("low")
    world.settle()
    by_worker(world, "low", Taken("w"))
    return world


def reason(world: Simulation, name: str) -> str:
    return world.space.streams[name].scheduled[0]


def test_who_was_preempted_waits_and_preempts_nobody_in_turn() -> None:
    world = a_full_pool()
    world.add_stream("urgent", priority=5)
    world.settle()
    assert world.places() == {"low": "pool-0", "urgent": None}
    by_worker(world, "low", Report(StreamState.IN_PROGRESS, 1, worker="w"))
    world.settle()
    assert world.places() == {"low": None, "urgent": "pool-0"}
    assert reason(world, "low") == "Preempted"
    by_worker(world, "urgent", Taken("w"))
    world.settle()
    assert world.space.streams["urgent"].leave_by is None
    apart, templates = Apart(frozenset(), frozenset()), {"pool": world.template_hash("pool")}
    world.now += 2 * PREEMPTION_PATIENCE
    (waiting,) = seating(world.space, [world.space.streams["low"]], apart, templates, world.now).candidates
    assert (waiting.was_preempted, waiting.preempts_in) == (True, ())


def test_a_stream_is_not_preempted_while_its_pool_may_grow_for_a_minute() -> None:
    world = a_full_pool(max_replicas=2)
    name = world.pass_().pools[0].pods.create  # none: one pod is enough
    assert name == ()
    world.add_stream("urgent", priority=5)
    world.pass_()
    world.set_pod("pool-1", is_ready=False)
    world.pass_()
    assert world.space.streams["low"].leave_by is None, "a pod is on its way"
    world.now += PREEMPTION_PATIENCE
    world.pass_()
    assert world.space.streams["low"].leave_by is not None, "it does not come"


def test_that_a_minute_is_over_is_noticed_without_an_event() -> None:
    world = a_full_pool(max_replicas=2)
    world.add_stream("urgent", priority=5)
    world.pass_()
    world.set_pod("pool-1", is_ready=False)
    plan = world.pass_()
    since = world.space.streams["urgent"].since
    assert plan.look_again == since + PREEMPTION_PATIENCE


def test_nothing_is_preempted_unless_it_is_asked_for() -> None:
    world = a_full_pool(placement={})
    world.add_stream("urgent", priority=5)
    world.settle()
    assert (world.space.streams["low"].leave_by, reason(world, "urgent")) == (None, "NoFreeSlot")
