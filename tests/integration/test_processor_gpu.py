"""A worker whose GPU is lost: each stream says why, none is ended by it, and the process ends for another to begin."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from luna_processor.delivery.outbox import Outbox
from luna_processor.delivery.spool import Spool
from luna_processor.engines.card import Card, Condition
from luna_processor.engines.failures import failure
from luna_processor.engines.port import Engine
from luna_processor.engines.preparation import NetworkInput
from luna_processor.engines.providers import Accelerator
from luna_processor.errors import DeviceLost, StartupError
from luna_processor.inference import load_engines
from luna_processor.process import EXIT_FAILED, Process
from luna_processor.settings import Settings
from luna_processor.sources.cuda import decoder_trouble
from luna_processor.vision.detections import FloatArray
from support.media import plain_pictures, write_clip
from support.nvml import FakeNvml
from support.processors import start_processor
from support.streams_server import StreamsServer, stream_v2, streams_server
from support.waiting import eventually

ILLEGAL = "CUDA failure 700: an illegal memory access was encountered ; GPU=0"
without_gpu = pytest.mark.skipif(decoder_trouble(0) is None, reason="there is a GPU here")
FULL = "CUDA failure 2: out of memory ; GPU=0"


@dataclass
class BreakingEngine:
    """A network that runs until somebody says what CUDA says."""

    engine: Engine
    condition: Condition
    said: list[str] = field(default_factory=list)

    def run(self, batch: Sequence[NetworkInput]) -> Sequence[FloatArray]:
        if not self.said:
            return self.engine.run(batch)
        found = failure("model centerface-int8 failed", self.said[0])
        if isinstance(found, DeviceLost):
            self.condition.lost(str(found))
        else:
            self.said.clear()
        raise found


@dataclass
class GpuWorld:
    """A server, and a worker that believes in its card."""

    server: StreamsServer
    process: Process
    engine: BreakingEngine
    origin: str

    def reports(self, stream_id: str) -> list[tuple[str, str | None]]:
        return [(item["status"], item["error"]) for item in self.server.streams[stream_id].feedback]

    def is_analysed(self, stream_id: str) -> bool:
        return self.server.streams[stream_id].video_info is not None


def a_world(server: StreamsServer, listener: socket.socket) -> GpuWorld:
    settings = Settings(
        streams_origin=server.origin,
        platform_origin="http://127.0.0.1:9",
        face_model="centerface-int8",
        inference_workers=1,
        spool_size=0,
        decoder="cpu",
        shutdown_grace=0,
    )
    condition = Condition()
    engines = load_engines(settings)
    engine = BreakingEngine(engines.faces.engine, condition)
    card = Card("pretended", Accelerator(0, "cuda", False, None, condition.lost), condition, FakeNvml())
    engines = replace(engines, faces=replace(engines.faces, engine=engine), card=card)
    process = Process(settings, engines, listener)
    return GpuWorld(server, process, engine, f"http://127.0.0.1:{listener.getsockname()[1]}")


def slow_stream(clip: Path, name: str) -> dict[str, object]:
    """Return a stream that goes on for a minute."""
    body = stream_v2(str(clip), name=name)
    body["data"]["real_time_mode_fps"] = 5
    return body


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", plain_pictures(300, 160, 96))


async def test_a_lost_card_is_each_streams_error_and_the_process_ends_in_order(clip: Path) -> None:
    async with streams_server() as server:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            world = a_world(server, listener)
            streams = [server.add(slow_stream(clip, name)) for name in ("one", "two")]
            running = asyncio.create_task(world.process.run(Outbox(Spool(None), 2**26)))
            await eventually(lambda: all(world.is_analysed(stream) for stream in streams), "both run")
            async with httpx.AsyncClient(base_url=world.origin) as http:
                assert "luna_processor_gpu_temperature_celsius" in (await http.get("/metrics")).text
            world.engine.said.append(ILLEGAL)
            assert await asyncio.wait_for(running, 60) == EXIT_FAILED
        for stream in streams:
            status, error = world.reports(stream)[-1]
            assert status == "in_progress", "it is no fault of the stream: another worker goes on with it"
            assert "the GPU is lost to this worker" in str(error)
            assert "CUDA failure 700" in str(error)
            assert server.streams[stream].status == "in_progress"


async def test_a_card_whose_memory_is_full_fails_the_stream_that_meets_it_and_nothing_else(clip: Path) -> None:
    async with streams_server() as server:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            world = a_world(server, listener)
            streams = [server.add(slow_stream(clip, name)) for name in ("one", "two")]
            running = asyncio.create_task(world.process.run(Outbox(Spool(None), 2**26)))
            await eventually(lambda: all(world.is_analysed(stream) for stream in streams), "both run")
            world.engine.said.append(FULL)
            await eventually(lambda: "failure" in [server.streams[stream].status for stream in streams], "one fails")
            [failed] = [stream for stream in streams if server.streams[stream].status == "failure"]
            assert "memory is full; fewer streams" in str(server.streams[failed].last_error)
            [other] = [stream for stream in streams if stream != failed]
            count = len(world.reports(other))
            await eventually(lambda: len(world.reports(other)) > count, "the other goes on")
            assert world.reports(other)[-1] == ("in_progress", None)
            assert not running.done()
            signal.raise_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running, 60) == 0


@without_gpu
async def test_a_gpu_that_is_asked_for_and_missing_ends_the_start_with_one_line() -> None:
    process = await start_processor("--streams-origin", "http://127.0.0.1:9", "--port", "0", "--device", "gpu")
    output, errors = await process.communicate()
    assert process.returncode == 2
    lines = [line for line in errors.decode().splitlines() if line.startswith("luna-streams processor:")]
    assert len(lines) == 1
    assert "--device cpu runs without a GPU" in lines[0]
    assert "Traceback" not in errors.decode() + output.decode()


@without_gpu
def test_a_gpu_is_never_replaced_by_the_cpu_without_a_word() -> None:
    with pytest.raises(StartupError, match="--device gpu"):
        load_engines(Settings(streams_origin="http://127.0.0.1:9", device="gpu"))
