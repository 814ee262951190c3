"""Replicas of the shim and of the operator as processes, each behind wires that a test can cut.

async with a_replica_set(deployment, tmp_path, lease_duration=2) as shims:
    first, second = await shims.start(), await shims.start()
    first.api.freeze()      # the API server is lost to it, and nobody says so
    first.others.cut()      # and so are the other replicas
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import yaml

from luna_api_shim.replicas.peers import PATH, REPLICA_HEADER
from luna_kube import LEASES, NotFound
from support.apiservers import ApiServer, free_port
from support.relay import Relay
from support.shim_processes import a_process, until_healthy
from support.shims import Deployment
from support.waiting import PATIENCE_S

_ADVERTISED = "127.0.0.2"


@dataclass
class Replica:
    """One process.

    Attributes:
        url: where clients reach it.
        api: the wire to the API server.
        others: the wire by which the other replicas reach it.
    """

    name: str
    process: subprocess.Popen[bytes]
    url: str
    api: Relay
    others: Relay
    log: Path

    async def is_ready(self) -> bool:
        async with httpx.AsyncClient(timeout=5) as client:
            return (await client.get(f"{self.url}/readyz")).status_code == 200

    async def is_alive(self) -> bool:
        async with httpx.AsyncClient(timeout=5) as client:
            return (await client.get(f"{self.url}/livez")).status_code == 200


class ReplicaSet:
    """The replicas of one deployment; the first that is started leads."""

    def __init__(self, deployment: Deployment, folder: Path, settings: dict[str, float | str]) -> None:
        self.deployment = deployment
        self._folder = folder
        self._settings = settings
        self.replicas: list[Replica] = []
        self.stack = AsyncExitStack()

    async def start(self) -> Replica:
        """Start one more and wait until it serves; it is killed at the end."""
        number, port = len(self.replicas), free_port()
        api = await self.stack.enter_async_context(Relay(self.deployment.api.url).running())
        others = Relay(f"http://127.0.0.1:{port}")
        await self.stack.enter_async_context(others.running(_ADVERTISED, port))
        kubeconfig = a_kubeconfig(self.deployment.api, api.url, self._folder / f"kubeconfig-{number}")
        behind = replace(self.deployment, api=replace(self.deployment.api, kubeconfig=kubeconfig))
        log, name = self._folder / f"shim-{number}.log", f"replica-{number}"
        settings = {"advertised_host": _ADVERTISED, **self._settings}
        process = self.stack.enter_context(a_process(behind, port, log, name, **settings))
        url = f"http://127.0.0.1:{port}"
        await until_healthy(url, timeout_s=90)  # a new process on a busy machine
        made = Replica(name, process, url, api, others, log)
        self.replicas.append(made)
        if number == 0:
            await self.until_leading(made)
        else:
            await self._until_met(made)
        return made

    async def holder(self) -> str:
        """Return the name of the replica that holds the Lease; empty if none does."""
        try:
            lease = await self.deployment.kube.get(LEASES.at(self.deployment.namespace, "luna-streams-shim"))
        except NotFound:
            return ""
        return str(lease["spec"].get("holderIdentity") or "").partition("@")[0]

    async def _until_met(self, replica: Replica) -> None:
        """Wait until the leader knows a replica, which it tells those who know the uid of the Lease."""
        ref = LEASES.at(self.deployment.namespace, "luna-streams-shim")
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as client:
            while True:
                lease = await self.deployment.kube.get(ref)
                leader = str(lease["spec"].get("holderIdentity") or "").partition("@")[2]
                headers = {REPLICA_HEADER: lease["metadata"]["uid"]}
                if leader:
                    greeting = {"origin": leader, "leads": False, "hears": True}
                    told = await client.post(leader + PATH, json=greeting, headers=headers)
                    if replica.others.url in told.json()["knows"]:
                        return
                await asyncio.sleep(0.05)

    async def until_leading(self, replica: Replica, timeout_s: float = 20.0) -> None:
        """Wait until a replica holds the Lease."""
        async with asyncio.timeout(timeout_s):
            while await self.holder() != replica.name:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def a_replica_set(deployment: Deployment, folder: Path, **settings: float | str) -> AsyncIterator[ReplicaSet]:
    """Run replicas for the length of the block."""
    made = ReplicaSet(deployment, folder, settings)
    async with made.stack:
        yield made


def a_kubeconfig(api: ApiServer, url: str, path: Path) -> Path:
    """Write a kubeconfig that leads to an API server by another way."""
    content: dict[str, Any] = yaml.safe_load(api.kubeconfig.read_text())
    for cluster in content["clusters"]:
        cluster["cluster"]["server"] = url
    path.write_text(json.dumps(content))
    return path


@contextmanager
def an_operator_process(
    kubeconfig: Path, namespace: str, log: Path, name: str, **settings: float | str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run an operator as `luna-streams operator` does; it is killed at the end."""
    values: dict[str, float | str] = {
        "streams_origin": "http://127.0.0.1:5160", "namespace": namespace, "kubeconfig": str(kubeconfig),
        "lease_namespace": namespace, "http_host": "127.0.0.1", "http_port": 0,
        "pod_name": name, "pod_uid": name, **settings,
    }  # fmt: skip
    environment = {f"LUNA_OPERATOR_{key.upper()}": str(value) for key, value in values.items()}
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "luna_operator"],
            env={"PATH": os.environ["PATH"], **environment},
            stdout=out,
            stderr=out,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(60)


class Balancer:
    """What a Service does: each new connection goes to a replica that was ready a moment ago."""

    def __init__(self, replicas: list[Replica], lag_s: float = 0.5) -> None:
        self._replicas = replicas
        self._lag_s = lag_s
        self._ready: list[Replica] = list(replicas)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen; yields the address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        looking = asyncio.create_task(self._look())
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            looking.cancel()
            server.close()

    async def _look(self) -> None:
        while True:
            self._ready = [replica for replica in tuple(self._replicas) if await _says_ready(replica)]
            await asyncio.sleep(self._lag_s)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            chosen = Relay(random.choice(self._ready).url)
            await chosen.pass_on(reader, writer)


async def _says_ready(replica: Replica) -> bool:
    try:
        return await replica.is_ready()
    except httpx.TransportError:
        return False
