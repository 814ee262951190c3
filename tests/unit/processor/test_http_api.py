"""The processor's own interface, without a process: what is told about streams, pictures for many, errors."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from luna_processor import __main__ as processor
from luna_processor.interface.http_api import Interface, create_app
from luna_processor.interface.metrics import Metrics, StreamCollector, StreamFigures
from luna_processor.interface.preview import Previews
from luna_processor.streams.plan import Platform, StreamPlan, make_plan
from luna_processor.streams.run import RunReport
from luna_processor.streams.stats import StreamStats
from luna_streams.rest import v1, v2
from support.frames import ArrayFrame
from support.http_servers import serving
from support.processor_builders import STREAM_ID
from support.streams_server import stream_v1, stream_v2
from support.waiting import eventually

PATH = "/api/1/streams"
IN_TROUBLE = RunReport("in_progress", "a camera in trouble")


@dataclass(eq=False)
class FilmedRun:
    """A stream that shows what a test gives it."""

    plan: StreamPlan
    report: RunReport = IN_TROUBLE
    latest_frame: ArrayFrame | None = None
    stats: StreamStats = field(default_factory=StreamStats)
    number: int = 0

    def film(self, width: int = 320, height: int = 240) -> None:
        """Show the next frame."""
        self.number += 1
        self.latest_frame = ArrayFrame(np.full((height, width, 3), self.number % 256, np.uint8), self.number)


def a_run(api_version: Literal["1", "2"] = "2", **body: Any) -> FilmedRun:
    stream = stream_v1("rtsp://u:secret@cam/1", "http://lp", kind="tcp") if api_version == "1" else None
    read = v1.queued_stream if stream else v2.queued_stream
    wanted = (stream or stream_v2("rtsp://u:secret@cam/1", kind="tcp")) | body
    return FilmedRun(make_plan(read({**wanted, "stream_id": STREAM_ID, "version": 3}), Platform("http://platform", 6)))


def an_interface(*runs: FilmedRun, api_version: Literal["1", "2"] = "2", **changes: Any) -> Interface:
    by_id = {run.plan.stream_id: run for run in runs}
    parts: dict[str, Any] = {
        "runs": lambda: runs,
        "find": by_id.get,
        "previews": Previews(by_id.get),
        "metrics": Metrics(),
        "origin": "http://worker:34569",
        "api_version": api_version,
        "ailments": list,
        "obstacles": list,
    }
    return Interface(**parts | changes)


@asynccontextmanager
async def client_of(interface: Interface) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(interface))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        yield client


async def get(path: str, *runs: FilmedRun, api_version: Literal["1", "2"] = "2") -> httpx.Response:
    async with client_of(an_interface(*runs, api_version=api_version)) as client:
        return await client.get(path)


# -- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [PATH, f"{PATH}/{STREAM_ID}"])
async def test_a_stream_is_told_in_the_form_of_version_2(path: str) -> None:
    told = (await get(path, a_run(description="west gate"))).json()
    info = told[0] if isinstance(told, list) else told
    assert (info["stream_id"], info["version"], info["status"]) == (STREAM_ID, 3, "in_progress")
    assert (info["name"], info["description"]) == ("cam", "west gate")
    assert info["error"] == "a camera in trouble"
    assert info["preview_url"] == f"http://worker:34569{PATH}/preview/{STREAM_ID}"
    assert info["data"]["reference"] == "rtsp://cam/1"
    [analytics] = info["data"]["analytics"]
    assert analytics["sending"]["time_period_of_searching"] == -1
    assert "policies" not in info


async def test_a_stream_is_told_in_the_form_of_version_1() -> None:
    info = (await get(f"{PATH}/{STREAM_ID}", a_run("1"), api_version="1")).json()
    assert info["data"]["droi"] == {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"}
    assert info["policies"]["filtering"]["min_score"] == 0.5187
    assert info["event_handler"]["origin"] == "http://lp"
    assert "analytics" not in info["data"]


async def test_nobody_is_told_passwords_and_tokens() -> None:
    run = a_run()
    body = stream_v2("rtsp://u:secret@cam/1", kind="tcp")
    body["data"]["analytics"][0]["event_handler"]["authorization"] = {"token": "jwt-secret"}
    run = a_run(data=body["data"])
    answer = await get(PATH, run)
    assert "secret" not in answer.text
    [info] = answer.json()
    assert info["data"]["analytics"][0]["event_handler"]["authorization"] == {"token": "********"}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        pytest.param("GET", f"{PATH}/none", 404, 39001, id="no such stream"),
        pytest.param("GET", f"{PATH}/none/last_frame", 404, 39001, id="no picture of it"),
        pytest.param("GET", f"{PATH}/preview/none", 404, 39001, id="no preview of it"),
        pytest.param("GET", f"{PATH}/{STREAM_ID}/last_frame", 404, 39009, id="no frame yet"),
        pytest.param("GET", "/nowhere", 404, 12013, id="no such page"),
        pytest.param("POST", PATH, 405, 12021, id="FaceStream took streams here before 5.1"),
        pytest.param("DELETE", f"{PATH}/{STREAM_ID}", 405, 12021, id="nor does it let go of them"),
    ],
)
async def test_errors_have_the_form_of_lunas_services(method: str, path: str, status: int, code: int) -> None:
    async with client_of(an_interface(a_run())) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    body = answer.json()
    assert set(body) == {"error_code", "desc", "detail", "link"}
    assert body["error_code"] == code
    assert body["link"].endswith(f"/code-{code}")
    assert ("allow" in answer.headers) is (status == 405)


# -- figures ----------------------------------------------------------------------------------------------------------


async def test_each_stream_has_its_figures() -> None:
    run = a_run()
    run.stats.frames_dropped, run.stats.detection_count = 3, 2
    for latency_s in (0.001, 0.04, 7.0):
        run.stats.analysed(1.0, latency_s)
    interface = an_interface(run)
    interface.metrics.registry.register(StreamCollector(lambda: [StreamFigures(STREAM_ID, "cam", run.stats)]))
    async with client_of(interface) as client:
        text = (await client.get("/metrics")).text
    labels = f'name="cam",stream_id="{STREAM_ID}"'
    for line in (
        f"luna_processor_stream_frames_dropped_total{{{labels}}} 3.0",
        f"luna_processor_stream_detections_in_frame{{{labels}}} 2.0",
        f'luna_processor_stream_latency_seconds_bucket{{le="0.005",{labels}}} 1.0',
        f'luna_processor_stream_latency_seconds_bucket{{le="2.0",{labels}}} 2.0',
        f'luna_processor_stream_latency_seconds_bucket{{le="+Inf",{labels}}} 3.0',
        f"luna_processor_stream_latency_seconds_count{{{labels}}} 3.0",
        f"luna_processor_stream_latency_seconds_sum{{{labels}}} 7.041",
    ):
        assert line in text
    assert f"luna_processor_stream_fps{{{labels}}}" in text


# -- pictures ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def stuck_viewers(origin: str, count: int) -> AsyncIterator[None]:
    """Open live previews and read nothing but the headers."""
    host, port = origin.removeprefix("http://").split(":")
    async with AsyncExitStack() as stack:
        for _ in range(count):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            stack.callback(sock.close)
            await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
            request = f"GET {PATH}/preview/{STREAM_ID} HTTP/1.1\r\nHost: worker\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(sock, request.encode())
        yield


def looking_at(interface: Interface) -> float | None:
    return interface.metrics.registry.get_sample_value("luna_processor_preview_viewers")


def _noise(run: FilmedRun) -> weakref.ref[ArrayFrame]:
    run.number += 1
    picture = np.random.default_rng(run.number).integers(0, 255, (480, 640, 3), np.uint8)
    run.latest_frame = frame = ArrayFrame(picture, run.number)
    return weakref.ref(frame)


async def test_viewers_who_read_nothing_hold_up_nobody_and_hold_no_frames() -> None:
    run = a_run()
    frames = [_noise(run)]
    interface = an_interface(run)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)  # or the kernel takes megabytes for a viewer
    async with (
        serving(create_app(interface), listener=listener) as origin,
        httpx.AsyncClient(base_url=origin, timeout=10) as client,
    ):
        async with AsyncExitStack() as viewers:
            for _ in range(12):  # each is stuck at another picture
                await viewers.enter_async_context(stuck_viewers(origin, 3))
                await asyncio.sleep(0.1)
                frames.append(_noise(run))
                assert (await client.get(f"{PATH}/{STREAM_ID}/last_frame")).status_code == 200
            assert looking_at(interface) == 36
            gc.collect()
            assert sum(frame() is not None for frame in frames) <= 3
        await eventually(lambda: looking_at(interface) == 0, "all have gone")


async def test_a_viewer_who_has_gone_without_a_word_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "VIEWER_PATIENCE_MS", 500)
    run = a_run()
    _noise(run)
    interface = an_interface(run)
    with processor._listen("127.0.0.1", 0) as listener:
        async with serving(create_app(interface), listener=listener) as origin, stuck_viewers(origin, 3):
            await eventually(lambda: looking_at(interface) == 3, "all look")

            def are_gone() -> bool:
                _noise(run)
                return looking_at(interface) == 0

            await eventually(are_gone, "they are let go")


async def test_a_stream_that_ends_ends_its_previews() -> None:
    run = a_run()
    run.film()
    streams = {STREAM_ID: run}
    previews = Previews(streams.get)
    parts = [await anext(live := previews.live(STREAM_ID))]
    streams.clear()
    parts += [part async for part in live]
    assert len(parts) == 1
    assert b"Content-Type: image/jpeg" in parts[0]


async def test_previews_of_many_streams_keep_no_other_work_waiting() -> None:
    may_go_on = threading.Event()

    class SlowFrame(ArrayFrame):
        """A frame that takes long to scale."""

        def scaled_rgb(self, width: int, height: int) -> npt.NDArray[np.uint8]:
            may_go_on.wait()
            return super().scaled_rgb(width, height)

    run = a_run()
    run.latest_frame = SlowFrame(np.zeros((24, 32, 3), np.uint8))
    previews = Previews({STREAM_ID: run}.get)
    looks = [asyncio.create_task(previews.last_frame(STREAM_ID)) for _ in range(64)]
    try:
        await asyncio.sleep(0)
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "delivered"), 60) == "delivered"
    finally:
        may_go_on.set()
    assert all(await asyncio.gather(*looks))
