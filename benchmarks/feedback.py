"""What feedback on many streams costs the shim, and that it writes nothing when nothing changed.

    .venv/bin/python benchmarks/feedback.py [--streams 10000] [--kubeconfig FILE]

Workers report on all streams at the same time, 500 in a request, with video information and previews, as genuine
FaceStreams do every 5 s. The shim's CPU time for one such round is compared with what it takes to parse and check the
same bodies and nothing else, measured in turns, and with 5 s of one core. API server (the embedded one, unless a
kubeconfig names another), shim and load each run in a process of their own. Needs no network; ends within minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import orjson
from shim import JSON, SERVER, Shim, a_body, cpu_s, healthy, in_parallel, prepare, process

from luna_kube import STREAMS, Json, KubeClient
from luna_streams import naming
from luna_streams.rest.messages import FeedbackRequest
from luna_streams.rest.v2 import StreamToBeCreatedV2

ROUNDS = 6
IN_A_REQUEST = 500
PERIOD_S = 5.0
TARGET = 0.3
VIDEO_INFO = {
    "width": 1920,
    "height": 1080,
    "frame_rate": 25,
    "bit_rate": 4_000_000,
    "gop_size": 50,
    "start_time": "2024-05-01T12:00:00.123456+00:00",
}


async def create_all(kube: KubeClient, count: int) -> None:
    new_name = naming.UuidV7Factory()

    async def create(number: int) -> None:
        spec = StreamToBeCreatedV2.from_peer(a_body(number)).to_submission("none").spec.to_resource()
        header = {"apiVersion": STREAMS.api_version, "kind": "Stream", "metadata": {"name": new_name()}}
        await kube.create(STREAMS.within("default"), {**header, "spec": spec})

    await in_parallel(create, range(count))


async def take_all(http: aiohttp.ClientSession, at: Shim, count: int) -> list[Json]:
    """Take every stream; return what is reported on each."""
    items: list[Json] = []
    while len(items) < count:
        body = orjson.dumps({"filters": {}, "limit": 1000})
        async with http.post(f"{at.url}/2/streams/processing/queue", data=body, headers=JSON) as answer:
            taken = orjson.loads(await answer.read())["streams"]
        for stream in taken:
            url = f"http://127.0.0.1:34569/api/1/streams/preview/{stream['stream_id']}"
            item = {"stream_id": stream["stream_id"], "version": stream["version"], "status": "in_progress"}
            preview = {"live": {"url": url}, "last_frame": {"url": f"{url}/frame"}}
            items.append(item | {"error": None, "video_info": VIDEO_INFO, "preview": preview})
    return items


async def report(http: aiohttp.ClientSession, at: Shim, bodies: list[bytes]) -> tuple[float, float]:
    """Let every worker report; return CPU seconds of the shim, and seconds."""

    async def one(body: bytes) -> None:
        async with http.post(f"{at.url}/2/streams/processing/feedback", data=body, headers=JSON) as answer:
            assert answer.status == 200, await answer.text()
            assert not orjson.loads(await answer.read())["streams"]["modified"]

    before, began = cpu_s(at.pid), time.perf_counter()
    await asyncio.gather(*map(one, bodies))
    return cpu_s(at.pid) - before, time.perf_counter() - began


def parse(bodies: list[bytes]) -> float:
    """Parse and check the bodies; return CPU seconds."""
    began = time.process_time()
    for body in bodies:
        FeedbackRequest.from_rest(body)
    return time.process_time() - began


async def versions(kube: KubeClient) -> set[str]:
    return {item["metadata"]["resourceVersion"] for item in (await kube.list(STREAMS.within("default"))).items}


async def run(kubeconfig: Path, at: Shim, count: int) -> bool:
    kube = await prepare(kubeconfig)
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as http:
            await healthy(http, at.url)
            await create_all(kube, count)
            items = await take_all(http, at, count)
            parts = [items[n : n + IN_A_REQUEST] for n in range(0, count, IN_A_REQUEST)]
            bodies = [orjson.dumps({"streams": part}) for part in parts]
            await report(http, at, bodies)  # the first one is news
            await asyncio.sleep(3)  # the shim hears of its own writes
            before = await versions(kube)
            rounds = [(parse(bodies), *await report(http, at, bodies)) for _ in range(ROUNDS)]
            written = len(await versions(kube) - before)
    finally:
        await kube.__aexit__(None, None, None)
    parsed, used, took = (statistics.median(column) for column in zip(*rounds, strict=True))
    share = used / PERIOD_S
    print(f"{len(bodies)} requests on {count} streams, {ROUNDS} rounds")
    print(f"  the shim's CPU time: {' '.join(f'{one:.2f}' for _, one, _ in rounds)} s; {count / took:.0f} reports/s")
    print(f"  parsing and checking alone: {' '.join(f'{one:.2f}' for one, _, _ in rounds)} s")
    print(f"feedback: {used / parsed:.2f} of parsing and checking alone")
    print(f"feedback on {count} streams every {PERIOD_S:g} s: {share:.0%} of a core (target {TARGET:.0%})")
    print(f"objects written without a change: {written} (target 0)")
    return share < TARGET and written == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--port", type=int, default=15161)
    parser.add_argument("--kubeconfig", type=Path, help="of an API server for tests: namespace default is filled")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kubeconfig = arguments.kubeconfig
        if kubeconfig is None:
            kubeconfig = folder / "kubeconfig"
            stack.enter_context(process(["-c", SERVER, str(kubeconfig)]))
            while not kubeconfig.exists():
                time.sleep(0.05)
        settings = {"LUNA_SHIM_LOG_LEVEL": "error", "LUNA_SHIM_OBSOLETING_PERIOD": "3600"}
        settings["LUNA_SHIM_DATA_FOLDER"] = str(folder)
        where = ["--port", str(arguments.port), "--kubeconfig", str(kubeconfig)]
        shim = stack.enter_context(process(["-m", "luna_api_shim", *where], **settings))
        good = asyncio.run(run(kubeconfig, Shim(f"http://127.0.0.1:{arguments.port}", shim.pid), arguments.streams))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
