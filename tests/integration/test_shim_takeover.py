"""The leader is killed while many workers are at it: who takes over, how soon, and who holds what meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from support.apiservers import ApiServer, free_port
from support.builders import v2_body
from support.facestream import FaceStream, Ledger, Pace
from support.shim_processes import a_process, until_healthy
from support.shims import Deployment, a_deployment
from support.waiting import eventually

WORKERS = 25
STREAMS = 60
OBSOLETING_S = 12.0
PACE = Pace(request_stream_s=0.5, send_feedback_s=1.0, max_feedback_delay_s=8.0, time_out_s=3.0)


@pytest.fixture
async def deployment(any_api: ApiServer) -> AsyncIterator[Deployment]:
    async with a_deployment(any_api) as deployment:
        yield deployment


class Replicas:
    """Two processes, the first of which leads, with a client each."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self._deployment = deployment
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.urls: list[str] = []

    async def start(self, stack: AsyncExitStack) -> None:
        """Start one more; it is killed at the end."""
        port, number = free_port(), len(self.urls)
        settings = {"obsoleting_period": OBSOLETING_S, "lease_duration": 4}
        log = self._folder / f"{number}.log"
        process = stack.enter_context(a_process(self._deployment, port, log, f"replica-{number}", **settings))
        self.processes.append(process)
        self.urls.append(f"http://127.0.0.1:{port}")
        await until_healthy(self.urls[-1])
        await leads(self.urls[-1])


async def leads(url: str) -> None:
    """Wait until workers are heard again."""
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=1.0) as client:
        while True:
            try:
                answer = await client.post("/2/streams/processing/feedback", json={"streams": []})
                if answer.status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() - began < 60, "nobody leads"
            await asyncio.sleep(0.05)


async def test_a_killed_leader_loses_no_stream_and_gives_none_to_two_workers(
    deployment: Deployment, tmp_path: Path
) -> None:
    replicas, ledger, chance = Replicas(deployment, tmp_path), Ledger(), random.Random(7)
    async with AsyncExitStack() as stack:
        await replicas.start(stack)
        await replicas.start(stack)
        url = replicas.urls[1]
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30))

        async def create(number: int) -> str:
            answer = await client.post("/2/streams", json=v2_body(name=str(number)))
            assert answer.status_code == 201, answer.text
            return str(answer.json()["stream_id"])

        ids = set(await asyncio.gather(*map(create, range(STREAMS))))
        workers = [FaceStream(url, f"w{number}", ledger, max_streams=4, pace=PACE) for number in range(WORKERS)]
        for worker in workers:
            await stack.enter_async_context(worker.running())
        await eventually(lambda: ledger.held() == ids, "every stream is held", timeout_s=120)
        finished = chance.sample(sorted(ids), 10)
        for worker in workers:  # some come to an end while nobody leads
            for stream_id in set(finished) & worker.work.keys():
                asyncio.get_running_loop().call_later(chance.uniform(0, 4), worker.finish, stream_id)

        replicas.processes[0].send_signal(signal.SIGKILL)
        replicas.processes[0].wait(60)
        await leads(url)
        ids |= set(await asyncio.gather(*map(create, range(STREAMS, STREAMS + 10))))

        running = ids - set(finished)
        await eventually(lambda: ledger.held() == running, "every stream that goes on is held", timeout_s=120)
        statuses = {stream_id: (await client.get(f"/2/streams/{stream_id}")).json()["status"] for stream_id in ids}
        assert {stream_id for stream_id, status in statuses.items() if status == "in_progress"} == running
        assert {stream_id for stream_id, status in statuses.items() if status == "done"} == set(finished)
        assert list(ledger.overlaps()) == []
        stopped = [told for worker in workers for told in worker.told]
        assert stopped == [], "nobody was told to stop without need"
