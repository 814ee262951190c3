"""When workers may be let go on while nobody leads: never so long that a stream is in two hands."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from luna_api_shim.election import Election
from luna_api_shim.interregnum import Interregnum, Times
from luna_api_shim.peers import Greeting, Peers
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
    election = Election(ChaosApi().client(), LeaseSettings("default", "shim", "me@http://me"))
    return Peers(ME, election, lease_s=6, clock=clock)


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
    assert peers.answer(greeting(knows=[ME, "http://third"]), is_trusted=True).knows == (OTHER, "http://third")
