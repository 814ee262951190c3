"""What the REST shim costs: creating streams against a bare client, and reading, counting and reporting with many.

    .venv/bin/python benchmarks/shim.py [--streams 10000] [--kubeconfig FILE]

API server (the embedded one, unless a kubeconfig names another), shim and load each run in a process of their own, so
on two cores they compete; both sides of a ratio do so alike. Bare and shim take turns, several rounds, to see the
spread. Needs no network; ends within minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
import orjson
import yaml

from luna_kube import CUSTOM_RESOURCE_DEFINITIONS, STREAMS, Json, KubeClient, load_credentials
from luna_streams import naming
from luna_streams.rest.v2 import StreamToBeCreatedV2

ROOT = Path(__file__).parents[1]
ACCOUNT = "6d071cca-fda5-4a03-84d5-5bea65904480"
HANDLER = "ee4c42b6-23ae-410e-a2aa-a4220e64ba4b"
PARALLEL = 16
ROUNDS = 3
CREATE_TARGET = 0.8
P99_TARGET_MS = 10.0


T = TypeVar("T")


@dataclass(frozen=True)
class Shim:
    """The replica that is measured."""

    url: str
    pid: int


@dataclass(frozen=True)
class Latency:
    """How long answers took; on a busy machine only the CPU time means something."""

    p50_ms: float
    p99_ms: float
    cpu_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, {self.cpu_ms:.2f} ms of the shim's CPU time"


SERVER = """
import asyncio, sys, pathlib
from luna_local.apiserver import EmbeddedApiServer
async def main():
    server = EmbeddedApiServer()
    await server.start()
    path = pathlib.Path(sys.argv[1])
    server.write_kubeconfig(path.with_suffix(".new"))
    path.with_suffix(".new").rename(path)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def a_body(number: int) -> Json:
    handler = {"handler_id": HANDLER, "frame_store": None, "authorization": {"account_id": ACCOUNT}}
    data = {"type": "tcp", "reference": f"rtsp://camera/{number}", "analytics": [{"event_handler": handler}]}
    return {"account_id": ACCOUNT, "name": f"camera {number % 100}", "data": data}


@contextmanager
def process(arguments: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, *arguments], env=os.environ | environment)
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


def cpu_s(pid: int) -> float:
    """Return the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


async def in_parallel(work: Callable[[T], Awaitable[object]], items: Sequence[T]) -> float:
    """Do the work for every item, some at a time; return how many per second."""
    waiting = iter(items)

    async def one() -> None:
        for item in waiting:
            await work(item)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(PARALLEL)))
    return len(items) / (time.perf_counter() - began)


async def compare_creates(kube: KubeClient, http: aiohttp.ClientSession, at: Shim, count: int) -> float:
    """Create streams with a bare client and through the shim, in turns; return the ratio of the medians."""
    new_name = naming.UuidV7Factory()

    async def bare(number: int) -> None:
        spec = StreamToBeCreatedV2.from_peer(a_body(number)).to_submission("none").spec.to_resource()
        header = {"apiVersion": STREAMS.api_version, "kind": "Stream", "metadata": {"name": new_name()}}
        await kube.create(STREAMS.within("default"), {**header, "spec": spec})

    async def shim(number: int) -> None:
        async with http.post(f"{at.url}/2/streams", data=orjson.dumps(a_body(number)), headers=JSON) as answer:
            assert answer.status == 201, await answer.text()
            await answer.read()

    rates: dict[str, list[float]] = {"bare": [], "shim": []}
    per_round = count // (2 * ROUNDS)
    before = cpu_s(at.pid)
    for round_ in range(ROUNDS):
        for name, work in (("bare", bare), ("shim", shim)):
            rates[name].append(await in_parallel(work, range(round_ * per_round, (round_ + 1) * per_round)))
    for name, values in rates.items():
        print(f"  {name}: {' '.join(f'{value:.0f}' for value in values)} creates/s")
    # Watching what the bare client creates is in this figure, too.
    print(
        f"  {(cpu_s(at.pid) - before) / (per_round * ROUNDS) * 1000:.2f} ms of the shim's CPU time for each of its own"
    )
    return statistics.median(rates["shim"]) / statistics.median(rates["bare"])


JSON = {"Content-Type": "application/json"}


async def latencies(http: aiohttp.ClientSession, pid: int, urls: Sequence[str]) -> Latency:
    """Ask one after the other."""
    times: list[float] = []
    before = cpu_s(pid)
    for url in urls:
        began = time.perf_counter()
        async with http.get(url) as answer:
            assert answer.status == 200
            await answer.read()
        times.append((time.perf_counter() - began) * 1000)
    cpu_ms = (cpu_s(pid) - before) / len(urls) * 1000
    return Latency(statistics.median(times), statistics.quantiles(times, n=100)[98], cpu_ms)


async def feedback_cost(http: aiohttp.ClientSession, at: Shim) -> float:
    """Take every stream, report on all of them, twice; return the shim's CPU seconds of the second report."""
    items: list[Json] = []
    while True:
        body = orjson.dumps({"filters": {}, "limit": 1000})
        async with http.post(f"{at.url}/2/streams/processing/queue", data=body, headers=JSON) as answer:
            taken = orjson.loads(await answer.read())["streams"]
        if not taken:
            break
        for stream in taken:
            item = {"stream_id": stream["stream_id"], "version": stream["version"], "status": "in_progress"}
            items.append(item | {"error": None, "video_info": None})
    used = 0.0
    for _ in range(2):
        before = cpu_s(at.pid)
        for start in range(0, len(items), 500):
            body = orjson.dumps({"streams": items[start : start + 500]})
            async with http.post(f"{at.url}/2/streams/processing/feedback", data=body, headers=JSON) as answer:
                assert not orjson.loads(await answer.read())["streams"]["modified"]
        used = cpu_s(at.pid) - before
    print(f"  feedback on {len(items)} streams without news: {used:.2f} s of CPU")
    return used


async def prepare(kubeconfig: Path) -> KubeClient:
    kube = KubeClient(await load_credentials(kubeconfig))
    await kube.__aenter__()
    await define_resources(kube)
    return kube


async def define_resources(kube: KubeClient) -> None:
    for path in (ROOT / "crds").glob("*.yaml"):
        body = yaml.safe_load(path.read_text())
        await kube.apply(CUSTOM_RESOURCE_DEFINITIONS.at(None, body["metadata"]["name"]), body)
    await asyncio.sleep(3)  # a real API server takes a moment to serve them


async def run(kubeconfig: Path, at: Shim, count: int) -> bool:
    kube = await prepare(kubeconfig)
    try:
        async with aiohttp.ClientSession() as http:
            await healthy(http, at.url)
            ratio = await compare_creates(kube, http, at, count)
            print(f"POST /2/streams: {ratio:.2f} of a bare client (target {CREATE_TARGET})")
            total = count // (2 * ROUNDS) * 2 * ROUNDS
            await settled(kube, total)
            good = ratio >= CREATE_TARGET
            for what, urls in queries(at.url, total).items():
                for state in ("first", "again"):
                    latency = await latencies(http, at.pid, urls)
                    print(f"{what}, {state}: {latency}")
                    good = good and latency.p99_ms < P99_TARGET_MS
            used = await feedback_cost(http, at)
            print(f"feedback for {total} streams every 5 s: {used / 5:.0%} of a core (target 30 %)")
            print(f"the shim holds {memory_mb(at.pid):.0f} MB")
            return good and used / 5 < 0.3
    finally:
        await kube.__aexit__(None, None, None)


def queries(url: str, total: int) -> dict[str, list[str]]:
    pages = range(1, total // 100 + 1)
    return {
        "GET page of 100": [f"{url}/2/streams?page_size=100&page={page}" for page in pages],
        "GET page of 100, statuses": [f"{url}/2/streams?page_size=100&page={n}&statuses=pending" for n in pages],
        "GET page of 100, v1, names": [f"{url}/1/streams?page_size=100&names=camera%20{n}" for n in range(100)],
        "GET count, two filters": [f"{url}/2/streams/count?account_id={ACCOUNT}&statuses=pending,pause"] * 200,
    }


async def healthy(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with http.get(f"{url}/healthcheck") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


async def settled(kube: KubeClient, total: int) -> None:
    """Wait until every stream has its first status."""
    async with asyncio.timeout(120):
        while True:
            items = (await kube.list(STREAMS.within("default"))).items
            assert len(items) == total
            if all("status" in item for item in items):
                return
            await asyncio.sleep(1)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=15160)
    parser.add_argument("--kubeconfig", type=Path, help="of an API server for tests: namespace default is filled")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        kubeconfig = arguments.kubeconfig
        if kubeconfig is None:
            kubeconfig = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "kubeconfig"
            stack.enter_context(process(["-c", SERVER, str(kubeconfig)]))
            while not kubeconfig.exists():
                time.sleep(0.05)
        settings = {"LUNA_SHIM_LOG_LEVEL": "error", "LUNA_SHIM_OBSOLETING_PERIOD": "3600"}
        where = ["--port", str(arguments.port), "--kubeconfig", str(kubeconfig)]
        shim = stack.enter_context(process(["-m", "luna_api_shim", *where], **settings))
        at = Shim(f"http://127.0.0.1:{arguments.port}", shim.pid)
        good = asyncio.run(run(kubeconfig, at, arguments.streams))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
