"""Leader election: one at a time, quick succession, and a leader that cannot be heard stops leading."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from luna_kube import LEASES, PODS, ApiError, KubeClient, LeaseSettings, Outlook, leadership
from luna_kube.leadership import LeadershipLost, _Candidate, now_s
from support.chaos_api import ChaosApi
from support.waiting import PATIENCE_S, eventually

PATH = "/apis/coordination.k8s.io/v1/leases"


def a_lease(identity: str, *, duration_s: float = 600.0, renew_deadline_s: float = 500.0) -> LeaseSettings:
    """Return settings of a term that no busy machine ends; give others where its end is what is tested."""
    return LeaseSettings("default", "op", identity, duration_s, renew_deadline_s, retry_s=0.1)


# The wire knows whole seconds: a duration below one second would be written as one.
SHORT = {"duration_s": 1.0, "renew_deadline_s": 0.6}


@pytest.fixture
async def chaos() -> AsyncIterator[ChaosApi]:
    async with ChaosApi().running() as server:
        yield server


@pytest.fixture
async def client(chaos: ChaosApi) -> AsyncIterator[KubeClient]:
    async with chaos.client() as client:
        yield client


def spec(chaos: ChaosApi) -> dict[str, object]:
    content: dict[str, object] = chaos.state(PATH)["default", "op"]["spec"]
    return content


class Replica:
    """A process that stands for election and remembers when it led."""

    def __init__(self, client: KubeClient, identity: str, **timing: float) -> None:
        self.leads = False
        self.terms = 0
        self.ended = ""
        self.task = asyncio.create_task(self._stand(client, a_lease(identity, **timing)))

    async def _stand(self, client: KubeClient, settings: LeaseSettings) -> None:
        try:
            async with leadership(client, settings):
                self.leads = True
                self.terms += 1
                try:
                    await asyncio.Event().wait()
                finally:
                    self.leads = False
        except LeadershipLost as e:
            self.ended = str(e)

    async def stop(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def test_one_leads_and_the_next_takes_over_at_once_when_it_ends(chaos: ChaosApi, client: KubeClient) -> None:
    first, second = Replica(client, "first"), Replica(client, "second")
    await eventually(lambda: first.leads or second.leads)
    leader, other = (first, second) if first.leads else (second, first)
    await leader.stop()
    await eventually(lambda: other.leads, "a lease that was given back is free at once, long before it runs out")
    assert spec(chaos)["leaseTransitions"] == 1
    await other.stop()
    assert spec(chaos)["holderIdentity"] == ""


async def test_a_lease_that_is_renewed_is_not_taken(chaos: ChaosApi, client: KubeClient) -> None:
    leader = Replica(client, "leader", duration_s=4.0, renew_deadline_s=3.9)
    await eventually(lambda: leader.leads)
    other = Replica(client, "other")
    await asyncio.sleep(4.3)
    assert (leader.leads, other.leads, other.task.done()) == (True, False, False)
    await other.stop()
    await leader.stop()


async def test_a_dead_leader_is_replaced_after_the_lease_ran_out(chaos: ChaosApi, client: KubeClient) -> None:
    dead = {"holderIdentity": "dead", "leaseDurationSeconds": 1, "renewTime": "2999-01-01T00:00:00.000000Z"}
    chaos.put(PATH, "op", spec=dead)
    began = time.monotonic()
    heir = Replica(client, "heir")
    await eventually(lambda: heir.leads, "by our own clock, whatever the dead leader's said")
    assert time.monotonic() - began >= 1.0
    await heir.stop()


async def test_a_lease_renewed_by_a_clock_that_is_wrong_is_not_taken(chaos: ChaosApi, client: KubeClient) -> None:
    heir = None
    for number in range(13):
        past = f"1999-01-01T00:00:{number:02}.000000Z"
        chaos.put(PATH, "op", spec={"holderIdentity": "slow clock", "leaseDurationSeconds": 1, "renewTime": past})
        heir = heir or Replica(client, "heir")
        await asyncio.sleep(0.1)
        assert not heir.leads
    assert heir is not None
    await heir.stop()


async def test_the_same_identity_leads_on_without_waiting(chaos: ChaosApi, client: KubeClient) -> None:
    held = {"holderIdentity": "pod-1", "leaseDurationSeconds": 3600, "leaseTransitions": 4, "acquireTime": "t"}
    chaos.put(PATH, "op", spec=held)
    again = Replica(client, "pod-1")
    await eventually(lambda: again.leads)
    assert (spec(chaos)["leaseTransitions"], spec(chaos)["acquireTime"]) == (4, "t")
    await again.stop()


@pytest.mark.parametrize("fault", ["hang", "500"])
async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(
    chaos: ChaosApi, client: KubeClient, fault: str
) -> None:
    leader = Replica(client, "leader", renew_deadline_s=0.6)
    await eventually(lambda: leader.terms)
    if fault == "hang":
        for _ in range(10):
            chaos.hang("get")
    else:
        chaos.fail("get", 500, times=1000)
    await eventually(lambda: not leader.leads, "it has ended long before its lease runs out")
    await eventually(lambda: leader.task.done())
    assert "leader lost the lease default/op" in leader.ended


async def test_a_renewal_that_succeeds_while_the_term_ends_is_too_late(chaos: ChaosApi, client: KubeClient) -> None:
    """A starved process: the deadline has passed, the block is being left, and only then the answer comes."""

    async def lead() -> None:
        async with leadership(client, a_lease("starved", **SHORT)):
            chaos.fail("get", 500, times=1000)
            try:
                await asyncio.Event().wait()
            finally:
                chaos.heal()
                before = spec(chaos)["renewTime"]
                async with asyncio.timeout(PATIENCE_S):
                    while spec(chaos)["renewTime"] == before:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)

    with pytest.raises(LeadershipLost):
        await lead()


async def test_after_its_term_a_leader_reads_and_writes_no_more(chaos: ChaosApi, client: KubeClient) -> None:
    """Also while its block is not through with its end, and with what 429 had put off."""
    chaos.put("/api/v1/pods", "p")
    async with leadership(client, a_lease("leader")) as term:
        fenced = term.fenced(client)
        await fenced.patch(PODS.at("default", "p"), {"spec": {"by": "leader"}})
        chaos.fail("write", 429, Retry_After="1")
        late = asyncio.create_task(fenced.patch(PODS.at("default", "p"), {"spec": {"by": "late"}}))
        await eventually(lambda: chaos.count("write") >= 3)
        term.until_s = 0.0  # as when this process was stopped, and finds the answer before the timer
        assert term.has_ended
        with pytest.raises(ApiError, match="does not lead any more"):
            await late
        with pytest.raises(ApiError, match="does not lead any more"):
            await fenced.create(PODS.within("default"), {"metadata": {"name": "q"}})
        assert (await fenced.get(PODS.at("default", "p")))["spec"] == {"by": "leader"}
        term.until_s = float("inf")


async def test_a_candidate_tells_since_when_nobody_leads(chaos: ChaosApi, client: KubeClient) -> None:
    outlook = Outlook()

    def vacant_at() -> float | None:
        return outlook.vacant_at

    chaos.put(PATH, "op", spec={"holderIdentity": "dead", "leaseDurationSeconds": 1})
    began = now_s()

    async def stand() -> None:
        async with leadership(client, a_lease("heir", **SHORT), outlook):
            await asyncio.Event().wait()

    standing = asyncio.create_task(stand())
    await eventually(lambda: outlook.heard_at >= began)
    assert vacant_at() is None, "the holder may live"
    await eventually(lambda: (vacant_at() or 0) > began)
    assert (vacant_at() or 0) - began >= 0.6, "its term is over when it was not renewed for that long"
    await eventually(lambda: outlook.led_last)
    assert vacant_at() is None
    standing.cancel()
    with suppress(asyncio.CancelledError):
        await standing
    assert outlook.led_last
    assert vacant_at() is not None


def test_a_lease_never_runs_out_before_its_holder_ends(chaos: ChaosApi) -> None:
    """The wire knows whole seconds only."""
    settings = LeaseSettings("default", "op", "a", duration_s=2.4, renew_deadline_s=2.2, retry_s=0.1)
    assert _Candidate(chaos.client(), settings, Outlook())._term(None)["leaseDurationSeconds"] == 3


async def test_a_short_outage_does_not_end_the_term(chaos: ChaosApi, client: KubeClient) -> None:
    leader = Replica(client, "leader")
    await eventually(lambda: leader.leads)
    before = spec(chaos)["renewTime"]
    chaos.fail("get", 503, times=2)
    chaos.fail("write", 500)
    await eventually(lambda: spec(chaos)["renewTime"] != before)
    assert (leader.leads, leader.terms) == (True, 1)
    await leader.stop()


async def test_a_leader_that_was_replaced_stops_at_once(chaos: ChaosApi, client: KubeClient) -> None:
    leader = Replica(client, "leader")
    await eventually(lambda: leader.leads)
    chaos.put(PATH, "op", spec={"holderIdentity": "usurper", "leaseDurationSeconds": 1})
    await eventually(lambda: leader.task.done(), "long before its term is over")
    assert "lost" in leader.ended
    assert spec(chaos)["holderIdentity"] == "usurper"


async def test_an_annotation_on_the_lease_does_not_end_the_term(chaos: ChaosApi, client: KubeClient) -> None:
    leader = Replica(client, "leader")
    await eventually(lambda: leader.leads)
    for number in range(10):
        await client.patch(LEASES.at("default", "op"), {"metadata": {"annotations": {"n": str(number)}}})
        await asyncio.sleep(0.05)
    assert leader.leads
    await leader.stop()


async def test_an_error_of_the_block_is_not_taken_for_a_lost_lease(client: KubeClient) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        async with leadership(client, a_lease("a")):
            raise TimeoutError("mine")


def test_impossible_timing_is_refused() -> None:
    with pytest.raises(ValueError, match="retry_s < renew_deadline_s < duration_s"):
        LeaseSettings("default", "op", "a", duration_s=5, renew_deadline_s=5, retry_s=1)
