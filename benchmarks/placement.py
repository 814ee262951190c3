"""What the operator costs: placing streams against a bare client, standing by with none and with many, a restart.

    .venv/bin/python benchmarks/placement.py [--streams 3000] [--bare 1000] [--kubeconfig FILE]

API server (the embedded one, unless a kubeconfig names another), operator and load each run in a process of their own,
so on two cores they compete; both sides of a ratio do so alike. Bare client and operator take turns, several rounds, to
see the spread. Nothing runs in the pods: this process says that they are ready. Needs no network; ends within minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from shim import SERVER, cpu_s, define_resources, in_parallel, memory_mb, process

from luna_kube import (
    NAMESPACES,
    PODS,
    STREAM_PROCESSORS,
    STREAMS,
    AlreadyExists,
    KubeClient,
    load_credentials,
)
from luna_streams.conditions import observe_conditions
from luna_streams.lifecycle import create
from luna_streams.v1alpha1 import StreamSpec

NAMESPACE, BARE_NAMESPACE = "placed", "bare"
"""The operator watches the first; in the other the bare client writes the same statuses."""
ROUNDS = 3
SLOTS_PER_POD = 1000
PLACEMENT_TARGET = 0.5
IDLE_TARGET = 0.02
MEMORY_TARGET_MB = 300
RESTART_TARGET_S = 20.0
WATCHED_S = 20.0


@contextmanager
def operator(kubeconfig: Path, port: int) -> Iterator[int]:
    """Run the operator; yields its process id."""
    where = ["--kubeconfig", str(kubeconfig), "--namespace", NAMESPACE, "--lease-namespace", NAMESPACE]
    serves = ["--streams-origin", "http://127.0.0.1:5160", "--http-host", "127.0.0.1", "--http-port", str(port)]
    with process(["-m", "luna_operator", *where, *serves, "--log-level", "error"]) as child:
        yield child.pid


class Bench:
    """An API server, and the operator's figures.

    Args:
        kube: open client.
        http: asks the operator for its metrics.
        port: of the operator.
    """

    def __init__(self, kube: KubeClient, http: aiohttp.ClientSession, port: int) -> None:
        self._kube = kube
        self._http = http
        self._port = port
        self._spec = _a_spec()
        self._pods = 0

    async def prepare(self, slots: int) -> None:
        """Make definitions, namespaces and a pool that has room for everything."""
        self._pods = max(10, -(-slots // SLOTS_PER_POD))
        await define_resources(self._kube)
        for name in (NAMESPACE, BARE_NAMESPACE):
            with suppress(AlreadyExists):
                await self._kube.create(NAMESPACES.everywhere(), {"metadata": {"name": name}})
        spec = {"selector": {}, "replicas": self._pods, "slotsPerPod": -(-slots // self._pods)}
        body = {"apiVersion": STREAMS.api_version, "kind": "StreamProcessor", "metadata": {"name": "pool"}}
        await self._kube.create(STREAM_PROCESSORS.within(NAMESPACE), {**body, "spec": spec})

    async def make_pods_ready(self) -> None:
        """Say what a kubelet says of pods that run."""
        names: set[str] = set()
        async with asyncio.timeout(60):
            while len(names) < self._pods:
                for pod in (await self._kube.list(PODS.within(NAMESPACE))).items:
                    name = pod["metadata"]["name"]
                    if name not in names:
                        await self._kube.patch(PODS.at(NAMESPACE, name).status, {"status": _READY})
                        names.add(name)
                await asyncio.sleep(0.1)

    async def create_streams(self, namespace: str, names: Sequence[str]) -> None:
        """Create streams as kubectl does, without a status."""
        header = {"apiVersion": STREAMS.api_version, "kind": "Stream"}

        async def one(name: str) -> None:
            body = {**header, "metadata": {"name": name}, "spec": self._spec.to_resource()}
            await self._kube.create(STREAMS.within(namespace), body)

        await in_parallel(one, names)

    async def bare_rate(self, names: Sequence[str]) -> float:
        """Write first statuses as the operator does, with nothing behind it; return how many per second."""
        record = create(self._spec, datetime.now(UTC)).record
        status = observe_conditions(record, datetime.now(UTC), generation=1).to_resource()
        status["processor"] = {"pool": "pool", "pod": "pool-0", "podUid": "7f0c0d6e-6a55-4d0f-9a53-1f1a4be0b0aa"}
        return await in_parallel(
            lambda name: self._kube.patch(STREAMS.at(BARE_NAMESPACE, name).status, {"status": status}), names
        )

    async def placement_rate(self, total: int, pid: int) -> tuple[float, float]:
        """Wait until so many streams have a pod, also those that had one before.

        What was written without the answer being heard is not counted as written, and is done all the same.

        Returns:
            From the first on: how many per second, and seconds of the operator's CPU time for each.
        """
        began, first, written, seated, used = 0.0, 0.0, 0.0, 0.0, 0.0
        async with asyncio.timeout(600):
            while seated < total:
                await asyncio.sleep(0.2)  # each answer is work for the operator, too
                written, seated = await self._figures()
                if written and not began:
                    began, first, used = time.perf_counter(), written, cpu_s(pid)
        placed = written - first
        return placed / (time.perf_counter() - began), (cpu_s(pid) - used) / placed

    async def restart_s(self, began: float) -> float:
        """Return how long an operator that began at a moment takes to place the one stream that waits."""
        async with asyncio.timeout(120):
            while not (await self._figures())[0]:
                await asyncio.sleep(0.05)
        return time.perf_counter() - began

    async def report_progress(self, names: Sequence[str]) -> None:
        """Change what is known of every stream, as the shim does for reports of workers."""
        await in_parallel(
            lambda name: self._kube.patch(STREAMS.at(NAMESPACE, name).status, {"status": {"lastError": "no frames"}}),
            names,
        )

    async def _figures(self) -> tuple[float, float]:
        """Return how many statuses of streams the operator has written, and how many belong to pods.

        Both are 0 while it does not answer.
        """
        try:
            async with self._http.get(f"http://127.0.0.1:{self._port}/metrics") as answer:
                text = await answer.text()
        except aiohttp.ClientError:
            return 0.0, 0.0
        figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        written = figures.get('luna_operator_writes_total{object="Stream",result="ok"}', 0.0)
        return float(written), float(
            figures.get(f'luna_operator_pool_streams{{namespace="{NAMESPACE}",pool="pool"}}', 0)
        )


_READY = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [{
        "name": "processor", "image": "i", "imageID": "", "restartCount": 0, "ready": True,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }],
}  # fmt: skip


def _a_spec() -> StreamSpec:
    handler = {"handlerId": "ee4c42b6-23ae-410e-a2aa-a4220e64ba4b"}
    data = {"type": "tcp", "reference": "rtsp://camera/1", "analytics": [{"eventHandler": handler}]}
    return StreamSpec.from_resource({"accountId": "6d071cca-fda5-4a03-84d5-5bea65904480", "data": data})


async def share_of_a_core(pid: int) -> float:
    """Return the CPU time a process uses while nothing happens, once it is through with its start."""
    for _ in range(30):
        before = cpu_s(pid)
        await asyncio.sleep(2)
        if before > 1 and cpu_s(pid) - before < 0.1:
            break
    before = cpu_s(pid)
    await asyncio.sleep(WATCHED_S)
    return (cpu_s(pid) - before) / WATCHED_S


async def run(kubeconfig: Path, port: int, count: int, bare: int) -> bool:
    per_round = -(-count // ROUNDS)
    bare_per_round = min(per_round, -(-bare // ROUNDS))
    async with KubeClient(await load_credentials(kubeconfig)) as kube, aiohttp.ClientSession() as http:
        bench = Bench(kube, http, port)
        await bench.prepare(per_round * ROUNDS + 1)
        with operator(kubeconfig, port) as pid:
            await bench.make_pods_ready()
            idle = await share_of_a_core(pid)
            print(f"no streams: {idle:.1%} of a core (target {IDLE_TARGET:.0%})")
        rates: dict[str, list[float]] = {"bare": [], "operator": []}
        names: list[str] = []
        costs: dict[str, list[float]] = {"bare": [], "operator": []}
        for round_ in range(ROUNDS):
            new = [f"stream-{round_}-{number}" for number in range(per_round)]
            names += new
            await bench.create_streams(NAMESPACE, new)
            await bench.create_streams(BARE_NAMESPACE, new[:bare_per_round])
            before = time.process_time()
            rates["bare"].append(await bench.bare_rate(new[:bare_per_round]))
            costs["bare"].append((time.process_time() - before) / bare_per_round)
            with operator(kubeconfig, port) as pid:
                rate, cost = await bench.placement_rate(len(names), pid)
            rates["operator"].append(rate)
            costs["operator"].append(cost)
        for name, values in rates.items():
            cost_ms = statistics.median(costs[name]) * 1000
            print(
                f"  {name}: {' '.join(f'{value:.0f}' for value in values)} streams/s, {cost_ms:.2f} ms of CPU time each"
            )
        ratio = statistics.median(rates["operator"]) / statistics.median(rates["bare"])
        print(f"placement: {ratio:.2f} of a bare client's status patches (target {PLACEMENT_TARGET})")
        await bench.create_streams(NAMESPACE, ["late"])
        began = time.perf_counter()
        with operator(kubeconfig, port) as pid:
            restart_s = await bench.restart_s(began)
            print(f"restart: whole again after {restart_s:.1f} s (target {RESTART_TARGET_S:.0f})")
            busy = await share_of_a_core(pid)
            print(f"{len(names)} streams that stay where they are: {busy:.1%} of a core (target {IDLE_TARGET:.0%})")
            before = cpu_s(pid)
            await bench.report_progress(names)
            await asyncio.sleep(3)
            print(f"  a report on each: {(cpu_s(pid) - before) / len(names) * 1000:.2f} ms of CPU time per report")
            memory = memory_mb(pid)
            print(f"the operator holds {memory:.0f} MB (target {MEMORY_TARGET_MB})")
        is_light = max(idle, busy) < IDLE_TARGET and memory < MEMORY_TARGET_MB
        return ratio >= PLACEMENT_TARGET and restart_s < RESTART_TARGET_S and is_light


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=3000, help="for the operator to place")
    parser.add_argument("--bare", type=int, default=1_000_000, help="for the bare client, at most as many as placed")
    parser.add_argument("--port", type=int, default=18080, help="for the operator's metrics")
    parser.add_argument("--kubeconfig", type=Path, help="of an API server for tests, which is filled")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        kubeconfig = arguments.kubeconfig
        if kubeconfig is None:
            kubeconfig = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "kubeconfig"
            stack.enter_context(process(["-c", SERVER, str(kubeconfig)]))
            while not kubeconfig.exists():
                time.sleep(0.05)
        good = asyncio.run(run(kubeconfig, arguments.port, arguments.streams, arguments.bare))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
