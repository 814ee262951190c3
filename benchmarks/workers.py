"""What stands around a worker that is measured: LUNA Streams, a LUNA PLATFORM, cameras, all in this process.

The worker runs as users start it, as a process of its own, so that nothing of this is in its figures. The cameras send
MPEG-TS over HTTP at the rate of a camera; the server knows no more than the protocol of workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from luna_local.demo import CLIP

Json = dict[str, Any]
ACCOUNT = "6d071cca-fda5-4a03-84d5-5bea65904480"
HANDLER = "ee4c42b6-23ae-410e-a2aa-a4220e64ba4b"
START_TIMEOUT_S = 60.0
_POLL_S = 0.05


@dataclass
class Stream:
    """A stream as the server keeps it."""

    stream_id: str
    body: Json
    status: str = "pending"
    version: int = 1
    report: Json = field(default_factory=dict)
    """What the worker said last."""


class Surroundings:
    """LUNA Streams, the platform and the cameras; `stream` may be called by any thread.

    Args:
        clip: what the cameras show, again and again.
    """

    def __init__(self, clip: Path | None = None) -> None:
        self.streams: dict[str, Stream] = {}
        self.event_count = 0
        self.origin = ""
        self.connection_count = 0
        """Connections to cameras so far."""
        self._clip = read_packets(clip) if clip else None
        self._last_delivery = ""

    @property
    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/{version}/streams/processing/queue", self._queue, methods=["POST"]),
                Route("/{version}/streams/processing/feedback", self._feedback, methods=["POST"]),
                Route("/6/handlers/{handler}/events", self._events, methods=["POST"]),
                Route("/camera/{fps:float}/{seconds:float}/{end}", self._camera),
            ]
        )

    def add(self, body: Json) -> Stream:
        """Create a stream; the worker takes it from the queue."""
        stream = Stream(str(uuid4()), body)
        self.streams[stream.stream_id] = stream
        return stream

    def camera(self, fps: float, seconds: float = 1e9, end: str = "cut") -> str:
        """Return the address of a camera; it ends each connection after so many seconds, `cut` or with `garbage`.

        One that is `refused` is none at all.
        """
        return f"{self.origin}/camera/{fps:g}/{seconds:f}/{end}"

    async def _queue(self, request: Request) -> Response:
        limit = (await request.json())["limit"]
        until = time.monotonic() + float(request.headers.get("prefer", "wait=0").removeprefix("wait="))
        while not (taken := [s for s in list(self.streams.values()) if s.status == "pending"][:limit]):
            if time.monotonic() > until or await request.is_disconnected():
                break
            await asyncio.sleep(_POLL_S)
        for stream in taken:
            stream.status = "in_progress"
        known: Json = {"last_error": None, "video_info": None, "groups": [], "create_time": "2024-01-01T00:00:00Z"}
        return JSONResponse(
            {
                "streams": [
                    {**s.body, **known, "stream_id": s.stream_id, "version": s.version, "status": s.status}
                    for s in taken
                ]
            }
        )

    async def _feedback(self, request: Request) -> Response:
        answer: dict[str, list[Json]] = {"modified": [], "unmodified": []}
        for item in (await request.json())["streams"]:
            stream = self.streams.get(item["stream_id"])
            if stream is None:
                answer["modified"].append({"stream_id": item["stream_id"], "status": "not_found", "version": 0})
                continue
            stream.report = item
            is_same = stream.status in ("in_progress", item["status"])
            if is_same:
                stream.status = item["status"]
            known = {"stream_id": stream.stream_id, "status": stream.status, "version": stream.version}
            answer["unmodified" if is_same else "modified"].append(known)
        return JSONResponse({"streams": answer})

    async def _events(self, request: Request) -> Response:
        await request.body()
        self.event_count += 1
        return JSONResponse({"events": []}, status_code=201)

    async def _camera(self, request: Request) -> Response:
        self.connection_count += 1
        parameters = request.path_params
        if parameters["end"] == "refused":
            return Response(status_code=503)
        body = self._pictures(parameters["fps"], parameters["seconds"], parameters["end"])
        return StreamingResponse(body, media_type="video/mp2t")

    async def _pictures(self, fps: float, seconds: float, end: str) -> AsyncIterator[bytes]:
        assert self._clip is not None, "there is no clip for cameras"
        began = time.monotonic()
        for number, chunk in enumerate(_transport_stream(self._clip, fps)):
            if number / fps >= seconds:
                break
            await asyncio.sleep(max(0.0, began + number / fps - time.monotonic()))
            yield chunk
        if end == "garbage":
            yield os.urandom(2000)


@dataclass(frozen=True)
class Packets:
    """An encoded clip in memory."""

    container: bytes
    packets: list[tuple[bytes, bool]]
    """In the order of decoding, and whether each is a keyframe."""


def read_packets(clip: Path) -> Packets:
    with av.open(str(clip)) as source:
        return Packets(
            clip.read_bytes(), [(bytes(p), p.is_keyframe) for p in source.demux(source.streams.video[0]) if p.size]
        )


def _transport_stream(clip: Packets, fps: float) -> Iterator[bytes]:
    """Yield one piece of MPEG-TS per frame, for ever; nothing is encoded anew."""
    target = io.BytesIO()
    with av.open(io.BytesIO(clip.container)) as source, av.open(target, "w", format="mpegts") as container:
        copy = container.add_stream_from_template(source.streams.video[0])
        number = 0
        while True:
            for data, is_keyframe in clip.packets:
                packet = av.Packet(data)
                packet.stream, packet.time_base = copy, Fraction(1, 90_000)
                packet.pts = packet.dts = round(number * 90_000 / fps)
                packet.is_keyframe = is_keyframe
                container.mux(packet)
                yield target.getvalue()
                target.seek(0)
                target.truncate()
                number += 1


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def surroundings(clip: Path | None = None) -> Iterator[Surroundings]:
    """Run them on a free port, in a thread."""
    around = Surroundings(clip)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        around.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            around.app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
        )
        server = _Server(config)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            yield around
        finally:
            server.should_exit = True
            thread.join(5)


class WorkerProcess:
    """A worker that runs; what it uses is read from the kernel."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_s(self) -> float:
        """Return the CPU seconds of all its threads so far, to the microsecond."""
        # The kernel's number for "CPU time of process PID", as clock_getcpuclockid(3) makes it.
        return time.clock_gettime(~self.pid << 3 | 2)

    def memory_mb(self) -> float:
        """Return its resident memory that is no file."""
        return int(self._status("RssAnon").split()[0]) / 1024

    def thread_count(self) -> int:
        """Return how many threads it has."""
        return int(self._status("Threads"))

    def file_count(self) -> int:
        """Return how many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _status(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/status").read_text().partition(f"{name}:")[2].partition("\n")[0]


@contextmanager
def worker(around: Surroundings, *arguments: str, capacity: int = 64) -> Iterator[WorkerProcess]:
    """Run a worker as a process, with a spool as the operator gives it one; it is ready, and has asked for streams."""
    where = ["--streams-origin", around.origin, "--platform-origin", around.origin, "--port", "0"]
    command = [sys.executable, "-m", "luna_processor", *where, "--capacity", str(capacity), "--log-level", "error"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LUNA_PROCESSOR_")}
    with (
        tempfile.TemporaryDirectory() as spool,
        subprocess.Popen([*command, "--spool-dir", spool, *arguments], env=clean) as child,
    ):
        try:
            # A stream that cannot run: the worker is through with its start when it has said so.
            first = around.add(a_stream("none", kind="videofile", name="first"))
            wait_until(lambda: first.status == "failure" or child.poll() is not None, START_TIMEOUT_S)
            assert child.poll() is None, "the worker did not start"
            yield WorkerProcess(child.pid)
        finally:
            child.terminate()
            child.wait()


def a_stream(reference: str, *, kind: str = "tcp", name: str = "camera", **data: object) -> Json:
    """Return a stream as POST /2/streams takes it, one analytics that looks for faces."""
    handler = {
        "type": "luna_handler",
        "handler_id": HANDLER,
        "frame_store": None,
        "authorization": {"account_id": ACCOUNT},
    }
    # What breaks often must not be given up.
    health = {"max_error_count": 2**31 - 1, "retry_delay": 0}
    analytics = [{"mode": 1, "event_handler": handler, "healthcheck": health}]
    return {
        "account_id": ACCOUNT,
        "name": name,
        "description": "",
        "data": {"type": kind, "reference": reference, "analytics": analytics, **data},
        "location": {},
        "autorestart": {"restart": 0},
    }


def metrics_of(stream: Stream) -> str:
    """Return what /metrics says of the worker that has the stream."""
    origin = stream.report["preview"]["live"]["url"].partition("/api/")[0]
    return httpx.get(f"{origin}/metrics").text


def metric(text: str, name: str) -> float:
    """Return the sum over all series of a metric."""
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return sum(float(value) for series, _, value in lines if series.partition("{")[0] == f"luna_processor_{name}")


def wait_until(is_so: Callable[[], bool], timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"not so within {timeout_s:g} s")
        time.sleep(0.01)


def make_clip(target: Path, size: tuple[int, int], frame_count: int) -> Path:
    """Write the first frames of the sample clip in another size, without frames that are decoded out of order."""
    with av.open(str(CLIP)) as source, av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "bf": "0", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            if number >= frame_count:
                break
            scaled = frame.reformat(width=size[0], height=size[1])
            scaled.pts = None
            container.mux(stream.encode(scaled))
        container.mux(stream.encode())
    return target


def a_size(text: str) -> tuple[int, int]:
    """Read a size like 1280x720."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def numbers(text: str) -> list[int]:
    """Read a list like 1,4,8."""
    return [int(part) for part in text.split(",")]


def machine() -> str:
    """Return on what it is measured, in a line."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "unknown")
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return f"{cores} cores, {model.partition(':')[2].strip()}, Python {sys.version.split()[0]}, load {load:.1f}"
