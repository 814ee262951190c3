"""Several replicas of the shim: one hears the workers, the others pass them on, and any may die."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from luna_api_shim.replicas.election import Election
from support.apiservers import ApiServer, free_port
from support.builders import v2_body
from support.shim_processes import a_process, until_healthy
from support.shims import Deployment, Shim, a_deployment
from support.worker import VIDEO_INFO, DocumentedWorker


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


@asynccontextmanager
async def replicas(deployment: Deployment, **settings: Any) -> AsyncIterator[tuple[Shim, Shim]]:
    """Run a leader and a follower."""
    async with AsyncExitStack() as stack:
        leader = await stack.enter_async_context(deployment.shim(**settings))
        follower = await stack.enter_async_context(deployment.shim(**settings))
        assert leader.service.election.is_leader
        assert not follower.service.election.is_leader
        yield leader, follower


async def test_a_client_reads_its_own_writes_on_any_replica(deployment: Deployment) -> None:
    async with replicas(deployment) as (leader, follower):
        for here, there in ((leader, follower), (follower, leader)):
            stream_id = await here.create(v2_body())
            assert (await there.read(stream_id))["status"] == "pending"


async def test_a_follower_passes_workers_on_to_the_leader(deployment: Deployment) -> None:
    async with replicas(deployment, obsoleting_period=3, lease_duration=2) as (_leader, follower):
        stream_id = await follower.create(v2_body())
        worker = DocumentedWorker(follower.http, headers={"Prefer": "wait=5", "Luna-Worker-Id": "w-1"})

        assert await worker.take() == [stream_id]
        for _ in range(8):  # longer than a silent handler may be
            await asyncio.sleep(0.5)
            assert (await worker.report())["modified"] == []
        stream = (await deployment.stream(stream_id)).status
        assert stream is not None
        assert (stream.status, stream.processor.worker) == ("in_progress", "w-1")

        refused = await follower.http.post("/2/streams/processing/feedback", json={})
        assert (refused.status_code, refused.json()["error_code"]) == (400, 12022)
        assert refused.headers["Content-Type"] == "application/json"


async def test_what_reports_in_quick_succession_say_is_seen_on_every_replica(deployment: Deployment) -> None:
    async with replicas(deployment) as (leader, follower):
        stream_id = await leader.create(v2_body())
        worker = DocumentedWorker(leader.http)
        await worker.take()
        work = worker.work[stream_id]
        for number in range(6):
            work.error = f"e{number}"
            work.preview = {"last_frame": {"url": f"http://worker/{number}"}}
            work.video_info = VIDEO_INFO | {"width": 100 + number, "gop_size": number}
            assert [told["stream_id"] for told in (await worker.report())["unmodified"]] == [stream_id]
            seen = await leader.read(stream_id)
            assert (seen["last_error"], seen["preview"]) == (work.error, work.preview)
        seen = await follower.until(stream_id, last_error="e5", preview=work.preview)
        assert (seen["video_info"]["width"], seen["video_info"]["gop_size"]) == (105, 5)


async def test_a_worker_that_leaves_a_follower_is_gone_at_the_leader(deployment: Deployment) -> None:
    async with replicas(deployment) as (leader, follower):
        async with httpx.AsyncClient(base_url=follower.url, timeout=30) as client:
            waiting = asyncio.create_task(DocumentedWorker(client, headers={"Prefer": "wait=30"}).take())
            await asyncio.sleep(0.5)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.sleep(0.3)

        stream_id = await leader.create(v2_body())

        assert await DocumentedWorker(leader.http, headers={"Prefer": "wait=5"}).take() == [stream_id]


async def test_a_leader_that_ends_hands_over_at_once_and_nothing_is_lost(deployment: Deployment) -> None:
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        leader = await first.enter_async_context(deployment.shim())
        follower = await stack.enter_async_context(deployment.shim())
        stream_id = await leader.create(v2_body())
        worker = DocumentedWorker(follower.http)
        await worker.take()

        await first.aclose()
        began = time.monotonic()
        told = await worker.report()

        assert time.monotonic() - began < 12, "the Lease was given back: it would have lasted 15 s"
        assert told["unmodified"] == [{"stream_id": stream_id, "status": "in_progress", "version": 1}]
        assert follower.service.election.is_leader


async def test_two_replicas_that_both_believe_to_lead_hand_no_stream_out_twice(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replicas(deployment) as (leader, follower):
        expected = set(await asyncio.gather(*(leader.create(v2_body()) for _ in range(30))))
        monkeypatch.setattr(Election, "is_leader", True)
        taken: list[str] = []
        while len(taken) < len(expected):
            workers = [DocumentedWorker(replica.http) for replica in (leader, follower) for _ in range(4)]
            for ids in await asyncio.gather(*(worker.take(6) for worker in workers)):
                taken += ids
        assert sorted(taken) == sorted(expected)


# --- processes that are killed ----------------------------------------------------------------------------------------


async def test_a_killed_leader_is_replaced_before_its_workers_give_up(deployment: Deployment, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with a_process(deployment, port, tmp_path / "log", "doomed") as leader:
        await until_healthy(url)
        async with deployment.shim(obsoleting_period=60, lease_duration=6) as follower:
            stream_id = await follower.create(v2_body())
            worker = DocumentedWorker(follower.http, headers={"Prefer": "wait=5"})
            assert await worker.take() == [stream_id]

            leader.send_signal(signal.SIGKILL)
            leader.wait(60)
            killed_at = time.monotonic()
            told: dict[str, object] = {}
            while not told:
                answer = await follower.http.post(
                    "/2/streams/processing/feedback",
                    json={"streams": [work.report() for work in worker.work.values()]},
                )
                told = answer.json()["streams"] if answer.status_code == 200 else {}

            assert time.monotonic() - killed_at < 20
            assert told["modified"] == []
            assert await worker.take() == []
            assert (await follower.read(stream_id))["status"] == "in_progress"


async def test_a_killed_replica_that_comes_back_leads_at_once_and_remembers_everything(
    deployment: Deployment, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        worker = DocumentedWorker(client, headers={"Luna-Worker-Id": "w-1"})
        long = {"lease_duration": 100, "obsoleting_period": 200}  # another one would wait that long
        with a_process(deployment, port, tmp_path / "log", "only", **long) as process:
            await until_healthy(url)
            answer = await client.post("/2/streams", json=v2_body())
            assert answer.status_code == 201, answer.text
            stream_id = answer.json()["stream_id"]
            assert await worker.take() == [stream_id]
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        with a_process(deployment, port, tmp_path / "log", "only", **long):
            await until_healthy(url)
            began = time.monotonic()
            told = await worker.report()
            assert time.monotonic() - began < 50
            assert told["unmodified"] == [{"stream_id": stream_id, "status": "in_progress", "version": 1}]


async def test_sigterm_ends_a_replica_cleanly(deployment: Deployment, tmp_path: Path) -> None:
    port = free_port()
    with a_process(deployment, port, tmp_path / "log", "only") as process:
        await until_healthy(f"http://127.0.0.1:{port}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()
