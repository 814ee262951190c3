"""Two operators as processes, and a leader that stands still, is cut off, or is told to end.

One that is killed: test_operator.py. How long it takes: tests/e2e.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from luna_kube import LEASES, NotFound
from support.apiservers import ApiServer
from support.operators import OperatorWorld, an_operator_world
from support.relay import Relay
from support.replica_sets import a_kubeconfig, an_operator_process
from support.waiting import PATIENCE_S

LEASE = {"lease_duration": 4, "lease_renew_deadline": 3, "lease_retry": 0.4}


@dataclass
class Replica:
    name: str
    process: subprocess.Popen[bytes]
    api: Relay


class Operators:
    """A leader and one that stands by, each behind a wire of its own."""

    def __init__(self, world: OperatorWorld, api: ApiServer, folder: Path) -> None:
        self.world = world
        self._api = api
        self._folder = folder
        self.stack = AsyncExitStack()

    async def start(self, name: str) -> Replica:
        wire = await self.stack.enter_async_context(Relay(self._api.url).running())
        kubeconfig = a_kubeconfig(self._api, wire.url, self._folder / f"kubeconfig-{name}")
        log = self._folder / f"{name}.log"
        made = an_operator_process(kubeconfig, self.world.namespace, log, name, **LEASE)
        return Replica(name, self.stack.enter_context(made), wire)

    async def until_leading(self, replica: Replica) -> None:
        """Wait until a replica holds the Lease."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.holder() != f"{replica.name}_{replica.name}":
                await asyncio.sleep(0.02)

    async def holder(self) -> str:
        """Return who holds the Lease."""
        try:
            lease = await self.world.client.get(LEASES.at(self.world.namespace, "luna-operator"))
        except NotFound:
            return ""
        return str(lease["spec"].get("holderIdentity") or "")


@pytest.fixture
async def operators(embedded_api: ApiServer, tmp_path: Path) -> AsyncIterator[Operators]:
    async with an_operator_world(embedded_api) as world:
        made = Operators(world, embedded_api, tmp_path)
        async with made.stack:
            yield made


async def works(world: OperatorWorld, name: str) -> None:
    """Return when a new stream has got a pod."""
    await world.stream(name)
    await world.until(lambda: world.pod_of(name), f"{name} is placed")


@pytest.mark.parametrize("fault", ["stands still", "frozen out", "told to end"])
async def test_another_leader_goes_on_and_the_last_one_writes_nothing_more(operators: Operators, fault: str) -> None:
    world = operators.world
    first = await operators.start("first")
    await operators.until_leading(first)
    second = await operators.start("second")
    await world.pool(slots_per_pod=8, replicas=2)
    await works(world, "before")
    place, uids = world.pod_of("before"), {pod["metadata"]["uid"] for pod in world.pods.cache.values()}
    match fault:
        case "stands still":
            first.process.send_signal(signal.SIGSTOP)
        case "frozen out":
            first.api.freeze()
        case "told to end":
            first.process.terminate()
    await operators.until_leading(second)
    await works(world, "after")
    if fault == "stands still":
        first.process.send_signal(signal.SIGCONT)
    first.api.mend()
    heard = len(first.api.requests)
    await works(world, "later")
    if fault != "told to end":
        await world.until(lambda: len(first.api.requests) >= heard + 5, "the first one knows how things are")
    assert await operators.holder() == "second_second", "nobody took it back"
    assert (world.pod_of("before"), len(world.status("before")["history"])) == (place, 1)
    assert {pod["metadata"]["uid"] for pod in world.pods.cache.values()} == uids
