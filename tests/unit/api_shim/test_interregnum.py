"""When workers may be let go on while nobody leads: never so long that a stream is in two hands."""

from __future__ import annotations

import math
from dataclasses import dataclass

import httpx
import pytest

from luna_api_shim.replicas.election import Election
from luna_api_shim.replicas.interregnum import Interregnum, Times
from luna_api_shim.replicas.peers import Greeting, Peers
from luna_kube import LeaseSettings, Outlook
from support.chaos_api import ChaosApi

TIMES = Times(obsoleting_period=20, worker_patience=10, longest_outage=240)
ME, OTHER = "http://me", "http://other"


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def peers(clock: Clock) -> Peers:
    return a_replica(ME, clock)


def a_replica(origin: str, clock: Clock) -> Peers:
    """Return one that follows, and hears the API server."""
    election = Election(ChaosApi().client(), LeaseSettings("default", "shim", f"name@{origin}"))
    election.outlook.heard_at = math.inf
    return Peers(origin, election, lease_s=6, clock=clock)


def greeting(**changes: object) -> Greeting:
    said = {"origin": OTHER, "leads": False, "hears": False}
    return Greeting.model_validate(said | changes)


@pytest.mark.parametrize(
    ("outlook", "age_s", "expected"),
    [
        pytest.param(Outlook(), 0, False, id="nothing is known"),
        pytest.param(Outlook(vacant_at=None, led_last=True), 0, False, id="somebody leads"),
        pytest.param(Outlook(vacant_at=1000), 0, True, id="nobody leads now"),
        pytest.param(Outlook(vacant_at=1000), 9.4, True, id="a new leader gives no stream away for another 10 s"),
        pytest.param(Outlook(vacant_at=1000), 9.6, False, id="a worker might go on for longer than that"),
        pytest.param(Outlook(vacant_at=1000, led_last=True), 200, True, id="the last leader, alone in the world"),
        pytest.param(Outlook(vacant_at=1000, led_last=True), 241, False, id="its pod may have been replaced"),
    ],
)
def test_a_worker_stops_before_a_new_leader_gives_its_streams_away(
    peers: Peers, clock: Clock, outlook: Outlook, age_s: float, expected: bool
) -> None:
    clock.now += age_s
    assert Interregnum(outlook, peers, TIMES, clock).may_reassure() is expected


def test_the_last_leader_falls_silent_when_another_replica_cannot_be_asked(peers: Peers, clock: Clock) -> None:
    peers.answer(greeting(), is_trusted=True)
    interregnum = Interregnum(Outlook(vacant_at=1000, led_last=True), peers, TIMES, clock)
    assert interregnum.may_reassure(), "it may have begun to lead, but not for long"
    clock.now += 10
    assert not interregnum.may_reassure()


def test_strangers_are_answered_and_not_remembered(peers: Peers) -> None:
    assert peers.answer(greeting(knows=["http://evil"]), is_trusted=False).knows == ()
    assert peers.answer(greeting(), is_trusted=True).knows == (OTHER,)
    assert peers.answer(greeting(leaves=True), is_trusted=True).knows == ()


def test_a_replica_does_not_count_itself_among_the_others(peers: Peers) -> None:
    peers.answer(greeting(origin=ME), is_trusted=True)
    assert peers.answer(greeting(knows=[ME]), is_trusted=True).knows == (OTHER,)


def test_who_was_only_heard_of_may_lead_and_is_not_named_to_others(peers: Peers, clock: Clock) -> None:
    assert peers.answer(greeting(knows=["http://third"]), is_trusted=True).knows == (OTHER,)
    assert peers.vacant_at is None


async def test_replicas_do_not_remind_each_other_of_one_that_is_dead(clock: Clock) -> None:
    """Else nobody could be let go on while the API server is away, once a replica was killed."""
    origins = "http://first", "http://second"
    dead = "http://dead"
    network = {origin: a_replica(origin, clock) for origin in origins}
    for replica in network.values():
        for origin in (*origins, dead):
            replica.answer(greeting(origin=origin), is_trusted=True)

    def carry(request: httpx.Request) -> httpx.Response:
        receiver = network.get(f"{request.url.scheme}://{request.url.host}")
        if receiver is None:
            raise httpx.ConnectError("nobody is there")
        said = Greeting.model_validate_json(request.content)
        return httpx.Response(200, json=receiver.answer(said, is_trusted=True).model_dump(mode="json"))

    async with httpx.AsyncClient(transport=httpx.MockTransport(carry)) as http:
        for _ in range(25):
            clock.now += 2
            for replica in network.values():
                await replica.greet(http)
    assert [replica.vacant_at for replica in network.values()] == [clock.now, clock.now]
