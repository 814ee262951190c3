"""Streams go back to a zone they prefer: after a while, few at a time, and only where nothing else is going on."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from luna_operator.moves import AT_ONCE
from luna_operator.world import SUSPICION
from luna_streams.lifecycle import Report, Taken
from luna_streams.v1alpha1 import StreamState
from support.builders import a_pool
from support.operator_builders import Simulation, by_worker

DELAY_S = 300


def two_zones(streams: int = 1, **spec: Any) -> Simulation:
    """Return a pool with a pod in `far`, whose streams would rather be in `near`, where a pod became ready just now."""
    world = Simulation(a_pool(**{"slots_per_pod": 9, "replicas": 2} | spec), zones=("near", "far"))
    world.settle()
    assert [pod.zone for pod in world.space.pods.values()] == ["far", "near"]
    world.set_pod("pool-1", is_ready=False)
    for number in range(streams):
        world.add_stream(f"cam-{number}", placement={"preferred_zones": ("near",)})
    world.settle()
    for name in world.places():
        by_worker(world, name, Taken("w"))
    world.settle()
    world.set_pod("pool-1", is_ready=True, ready_since=world.now)
    return world


def asked(world: Simulation) -> set[str]:
    return {fact.name for fact in world.space.streams.values() if fact.leave_by is not None}


def wait(world: Simulation, seconds: float) -> None:
    world.now += timedelta(seconds=seconds)
    world.settle()


def test_a_stream_moves_back_when_the_better_pod_has_been_ready_for_a_while() -> None:
    world = two_zones()
    wait(world, DELAY_S - 30)
    assert asked(world) == set()
    wait(world, 60)
    assert asked(world) == {"cam-0"}
    assert world.places() == {"cam-0": "pool-0"}, "it stays until its worker has let go"
    by_worker(world, "cam-0", Report(StreamState.IN_PROGRESS, 1, worker="w"))
    world.settle()
    assert world.places() == {"cam-0": "pool-1"}
    by_worker(world, "cam-0", Taken("w"))
    wait(world, 9 * DELAY_S)
    assert asked(world) == set(), "and there it stays"


def test_the_moment_is_known_beforehand_since_no_event_tells_of_it() -> None:
    world = two_zones()
    ready_since = world.space.pods["pool-1"].ready_since
    assert ready_since is not None
    assert world.pass_().look_again == ready_since + timedelta(seconds=DELAY_S)


def test_few_move_at_a_time_and_all_in_the_end() -> None:
    world = two_zones(5)
    wait(world, DELAY_S + 1)
    assert len(asked(world)) == AT_ONCE
    for _ in range(5):
        for name in asked(world):
            by_worker(world, name, Report(StreamState.IN_PROGRESS, 1, worker="w"))
        world.settle()
        assert len(asked(world)) <= AT_ONCE
    assert set(world.places().values()) == {"pool-1"}


def test_no_more_move_than_there_is_room_for() -> None:
    world = two_zones(2, slots_per_pod=2)
    world.add_stream("there", placement={"required_zones": ("near",)})
    world.settle()
    wait(world, DELAY_S + 1)
    assert len(asked(world)) == 1


@pytest.mark.parametrize("what", ["waits", "drained", "outdated", "suspect", "delay"])
def test_nobody_moves_while_something_else_is_going_on(what: str) -> None:
    world = two_zones()
    if what == "waits":
        world.add_stream("waits", placement={"required_zones": ("nowhere",)})
    elif what == "drained":
        world.set_pod("pool-1", is_draining=True)
    elif what == "outdated":
        world.set_pod("pool-1", template_hash="old")
    elif what == "suspect":
        lost_at = world.now + timedelta(seconds=DELAY_S)
        world.space.suspects[world.space.pods["pool-1"].uid] = lost_at + SUSPICION
    else:
        world.space.set_pool("pool", a_pool(slots_per_pod=9, replicas=2, placement={"move_back_delay_seconds": 9999}))
    world.now += timedelta(seconds=DELAY_S + 1)
    world.pass_()
    assert asked(world) == set()


def test_streams_follow_the_zones_of_their_pool() -> None:
    world = two_zones()
    fact = world.space.streams["cam-0"]
    world.space.set_stream("cam-0", replace(fact, preferred_zones=()), world.now)
    wait(world, DELAY_S + 1)
    assert asked(world) == set()
    world.space.set_pool("pool", a_pool(slots_per_pod=9, replicas=2, preferred_zones=("near",)))
    for name in world.space.pods:
        world.set_pod(name, template_hash=world.template_hash("pool"))
    world.settle()
    assert asked(world) == {"cam-0"}
