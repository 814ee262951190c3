"""Replicas of the shim as processes, and everything around them that can fail: none of it stops a worker without need.

Times are those of a deployment, about a third of them; what has to hold between them does: a worker's patience is
longer than a change of leader, and shorter than the period after which its streams are given away.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from support.apiservers import ApiServer
from support.builders import v2_body
from support.facestream import FaceStream, Ledger, Pace
from support.replica_sets import Balancer, ReplicaSet, a_replica_set, an_operator_process
from support.shims import Deployment, a_deployment
from support.waiting import eventually

OBSOLETING_S, PATIENCE_S, LEASE_S = 8.0, 4.0, 2.0
SETTINGS: dict[str, float | str] = {
    "lease_duration": LEASE_S,
    "obsoleting_period": OBSOLETING_S,
    "worker_patience": PATIENCE_S,
    "kubernetes_timeout": 8.0,
    "shutdown_delay": 2.0,
}
PACE = Pace(request_stream_s=0.5, send_feedback_s=1.0, max_feedback_delay_s=PATIENCE_S, time_out_s=2.0)


@pytest.fixture
async def deployment(embedded_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(embedded_api) as deployment:
        yield deployment


@pytest.fixture
async def shims(deployment: Deployment, tmp_path: Path) -> AsyncIterator[ReplicaSet]:
    async with a_replica_set(deployment, tmp_path, **SETTINGS) as shims:
        await shims.start()
        await shims.start()
        yield shims


async def create(url: str, number: int) -> set[str]:
    """Create streams that workers from outside may have; return their ids."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        answers = await asyncio.gather(*(client.post("/2/streams", json=v2_body()) for _ in range(number)))
    assert {answer.status_code for answer in answers} == {201}
    return {str(answer.json()["stream_id"]) for answer in answers}


@asynccontextmanager
async def workers(
    ledger: Ledger, urls: Iterable[str], pace: Pace = PACE, *, max_streams: int
) -> AsyncIterator[list[FaceStream]]:
    """Run a worker at each address."""
    async with AsyncExitStack() as stack:
        made = [
            FaceStream(url, f"w{number}", ledger, pace=pace, max_streams=max_streams) for number, url in enumerate(urls)
        ]
        for worker in made:
            await stack.enter_async_context(worker.running())
        yield made


async def histories(deployment: Deployment, ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the statuses that each stream has gone through."""
    found = {stream_id: (await deployment.stream(stream_id)).status for stream_id in ids}
    return {
        stream_id: [entry.status.value for entry in status.history] for stream_id, status in found.items() if status
    }


def untouched(ledger: Ledger, ids: set[str], since: float) -> bool:
    """Tell whether each stream is held by the worker that had it then (monotonic seconds)."""
    return ledger.held() == ids and all(hold.since <= since for hold in ledger.holds if hold.stream_id in ids)


def drops(ledger: Ledger) -> list[str]:
    return [f"{hold.worker} {hold.reason}" for hold in ledger.holds if hold.until is not None]


# --- the API server is away -------------------------------------------------------------------------------------------


async def test_an_api_server_that_is_away_stops_nobody_and_is_not_stormed_when_it_is_back(
    shims: ReplicaSet, tmp_path: Path
) -> None:
    """Longer than workers wait, and than the period after which streams are given away."""
    deployment, ledger = shims.deployment, Ledger()
    wires = [replica.api for replica in shims.replicas]
    ids = await create(shims.replicas[0].url, 50)
    async with AsyncExitStack() as stack:
        for number in range(2):
            kubeconfig = tmp_path / f"kubeconfig-{number}"
            log = tmp_path / f"operator-{number}.log"
            made = an_operator_process(kubeconfig, deployment.namespace, log, f"operator-{number}", lease_duration=5,
                                       lease_renew_deadline=3)  # fmt: skip
            stack.enter_context(made)
        urls = [shims.replicas[number % 2].url for number in range(10)]
        team = await stack.enter_async_context(workers(ledger, urls, max_streams=5))
        await eventually(lambda: ledger.held() == ids, "all are held", 90)
        since = time.monotonic()
        await asyncio.sleep(3)  # the news of the first reports are written
        before = await histories(deployment, ids)

        wires[0].freeze()
        wires[1].cut()
        await asyncio.sleep(OBSOLETING_S + PATIENCE_S + 1)
        assert untouched(ledger, ids, since), drops(ledger)
        for replica in shims.replicas:
            assert await replica.is_alive()
            assert await replica.is_ready(), "there is no better one"
        back_at = time.monotonic()
        for wire in wires:
            wire.mend()

        async with asyncio.timeout(60):
            while not await shims.holder():
                await asyncio.sleep(0.05)
        await asyncio.sleep(OBSOLETING_S + 1)
        assert untouched(ledger, ids, since), drops(ledger)
        assert [worker.told for worker in team] == [[]] * len(team)
        assert await histories(deployment, ids) == before
        second_by_second = [
            sum(back_at + second <= when < back_at + second + 1 for wire in wires for when in wire.requests)
            for second in range(5)
        ]
        # Two shims and two operators: each lists and watches what it follows (5 + 3), and asks for its Lease.
        assert max(second_by_second) <= 60, second_by_second


# --- the leader fails -------------------------------------------------------------------------------------------------


async def test_a_leader_that_stands_still_is_replaced_unnoticed_and_writes_nothing_when_it_wakes(
    shims: ReplicaSet,
) -> None:
    leader, follower = shims.replicas
    ledger = Ledger()
    ids = await create(follower.url, 12)
    async with workers(ledger, [follower.url] * 4, max_streams=3) as team:
        await eventually(lambda: ledger.held() == ids, "all are held", 90)
        since = time.monotonic()
        before = await histories(shims.deployment, ids)
        leader.process.send_signal(signal.SIGSTOP)
        try:
            await shims.until_leading(follower, 60)
            later = await create(follower.url, 4)
            await asyncio.sleep(OBSOLETING_S + 1)
            assert untouched(ledger, ids, since), drops(ledger)
        finally:
            leader.process.send_signal(signal.SIGCONT)
        await asyncio.sleep(2 * LEASE_S)
        assert await shims.holder() == follower.name
        assert untouched(ledger, ids, since), drops(ledger)
        assert await histories(shims.deployment, ids) == before
        assert [worker.told for worker in team] == [[]] * 4
    async with workers(ledger, [leader.url], max_streams=4):  # it passes on again
        await eventually(lambda: later <= ledger.held(), "the new ones are held")
    assert list(ledger.overlaps()) == []


async def test_a_leader_that_loses_the_api_server_sends_its_workers_to_the_one_that_does_not(
    shims: ReplicaSet,
) -> None:
    leader, follower = shims.replicas
    ledger = Ledger()
    ids = await create(leader.url, 12)
    async with workers(ledger, [leader.url, follower.url] * 2, max_streams=3) as team:
        await eventually(lambda: ledger.held() == ids, "all are held", 90)
        since = time.monotonic()
        leader.api.freeze()
        await shims.until_leading(follower, 60)
        await asyncio.sleep(OBSOLETING_S + 2)
        assert untouched(ledger, ids, since), drops(ledger)
        assert [worker.told for worker in team] == [[]] * 4
        assert (await leader.is_ready(), await follower.is_ready()) == (False, True)
        assert await leader.is_alive()
        leader.api.mend()
        async with asyncio.timeout(60):
            while not await leader.is_ready():
                await asyncio.sleep(0.1)


async def test_workers_on_a_node_that_is_cut_off_stop_before_their_streams_are_given_away(shims: ReplicaSet) -> None:
    """The leader and its workers are on that node, hear each other, and nobody else."""
    leader, follower = shims.replicas
    ledger = Ledger()
    ids = await create(leader.url, 6)
    async with workers(ledger, [leader.url] * 2, max_streams=3):
        await eventually(lambda: ledger.held() == ids, "all are held", 90)
        for wire in (leader.api, leader.others, follower.others):
            wire.freeze()
        async with workers(ledger, [follower.url] * 2, max_streams=3) as others:
            for worker in others:
                worker.name += " elsewhere"
            taken_over = lambda: {h.stream_id for h in ledger.holds if h.worker.endswith("elsewhere")} == ids  # noqa: E731
            await eventually(taken_over, "all are held elsewhere", 90)
    assert list(ledger.overlaps()) == []


# --- a replica is told to end -----------------------------------------------------------------------------------------


@pytest.fixture
async def patient_shims(deployment: Deployment, tmp_path: Path) -> AsyncIterator[ReplicaSet]:
    """Replicas whose Lease takes so long to run out that nobody leads soon unless it is given back."""
    times = {"lease_duration": 12.0, "obsoleting_period": 20.0, "worker_patience": 10.0, "shutdown_delay": 3.0}
    async with a_replica_set(deployment, tmp_path, **times) as shims:
        await shims.start()
        await shims.start()
        yield shims


async def test_a_rolling_update_loses_no_request_and_no_stream(patient_shims: ReplicaSet) -> None:
    """Each replica is replaced while clients ask without a pause; those that are ready are asked, as by a Service."""
    shims, ledger = patient_shims, Ledger()
    balancer = Balancer(shims.replicas)
    ids = await create(shims.replicas[0].url, 10)
    async with balancer.running() as url, workers(ledger, [url] * 5, Pace(), max_streams=2) as team:
        await eventually(lambda: ledger.held() == ids, "all are held", 90)
        since = time.monotonic()
        load = [asyncio.create_task(ask_without_pause(url, ids)) for _ in range(4)]
        for old in tuple(shims.replicas):
            await shims.start()
            began = time.monotonic()
            led = await shims.holder() == old.name
            old.process.send_signal(signal.SIGTERM)
            assert not await old.is_ready()
            if led:
                async with asyncio.timeout(60):
                    while await shims.holder() in ("", old.name):
                        await asyncio.sleep(0.02)
                assert time.monotonic() - began < 11, "the Lease was given back"
            assert await asyncio.to_thread(old.process.wait, 60) == 0
        assert not any(task.done() for task in load)
        for task in load:
            task.cancel()
        outcomes = await asyncio.gather(*load, return_exceptions=True)
        assert [outcome for outcome in outcomes if not isinstance(outcome, asyncio.CancelledError)] == []
        assert untouched(ledger, ids, since), drops(ledger)
        assert [(worker.told, worker.refusals) for worker in team] == [([], [])] * 5


async def ask_without_pause(url: str, ids: set[str]) -> None:
    """Make, read and delete streams again and again; fails at the first answer that is none."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while True:
            made = await client.post("/2/streams", json=v2_body(status="pause"))
            assert made.status_code == 201, made.text
            read = await client.get(f"/2/streams/{made.json()['stream_id']}")
            assert read.status_code == 200, read.text
            listed = await client.get("/2/streams", params={"stream_ids": ",".join(sorted(ids))})
            assert listed.status_code == 200, listed.text
            gone = await client.delete(f"/2/streams/{made.json()['stream_id']}")
            assert gone.status_code == 204, gone.text
            await asyncio.sleep(0.1)
