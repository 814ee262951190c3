"""The processor and a real RTSP server, over TCP: played, killed, started again, frozen."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from luna_local.demo import CLIP
from support.cameras import needs_gstreamer, rtsp_server
from support.event_sink import EventSink
from support.media import demo_pictures, write_clip
from support.processors import processor
from support.streams_server import StreamRecord, StreamsServer, stream_v2
from support.waiting import eventually

SLOW_S = 150.0

pytestmark = pytest.mark.rtsp


@pytest.fixture(scope="module", autouse=True)
def _needs_gstreamer() -> None:
    needs_gstreamer()


@pytest.fixture(scope="module")
def camera_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds of a face, 640x360."""
    folder = tmp_path_factory.mktemp("camera")
    return write_clip(folder / "camera.mp4", demo_pictures(2, 10, (640, 360)), g="25", bf="0")


def camera(port: int, **changes: Any) -> dict[str, Any]:
    healthcheck = {"max_error_count": 100, "period": 3600, "retry_delay": 1, "timeout": 2000}
    body = stream_v2(f"rtsp://127.0.0.1:{port}/cam", kind="tcp", healthcheck=healthcheck)
    body["data"] |= changes
    return body


def options(sink: EventSink) -> tuple[str, ...]:
    return ("--platform-origin", sink.origin, "--feedback-period", "0.5", "--face-model", "centerface-int8")


async def plays(record: StreamRecord) -> None:
    await eventually(lambda: record.video_info and not record.last_error, "the camera plays", SLOW_S)


async def fails(record: StreamRecord, text: str) -> None:
    await eventually(lambda: text in (record.last_error or ""), f"the error is reported: {text}", SLOW_S)


async def face_is_followed(origin: str) -> None:
    async with asyncio.timeout(SLOW_S), httpx.AsyncClient() as client:
        while not re.search(r"live_tracks\{[^}]*\} [1-9]", (await client.get(f"{origin}/metrics")).text):
            await asyncio.sleep(0.1)


async def test_two_faces_through_rtsp_are_two_events(server: StreamsServer, sink: EventSink) -> None:
    with rtsp_server(CLIP) as (_, port):
        record = server.streams[server.add(camera(port, endless=False))]
        async with processor(server.origin, *options(sink)) as running:
            await eventually(lambda: record.status in ("done", "failure"), "the clip has been played", SLOW_S)
    assert (record.status, record.last_error) == ("done", None)
    assert record.video_info is not None
    assert (record.video_info["width"], record.video_info["height"]) == (1280, 720)
    assert "duration" not in record.video_info
    assert len(sink.events) == 2
    assert len({event.query["track_id"] for event in sink.events}) == 2
    assert running.faults() == []


async def test_a_server_that_is_killed_and_started_again_interrupts_the_stream_only(
    server: StreamsServer, sink: EventSink, camera_clip: Path
) -> None:
    with rtsp_server(camera_clip) as (process, port):
        record = server.streams[server.add(camera(port))]
        async with processor(server.origin, *options(sink)) as running:
            await plays(record)
            await face_is_followed(running.origin)
            process.kill()
            await fails(record, "Connection refused")
            assert record.status == "in_progress"
            await eventually(lambda: len(sink.events) == 1, "the face seen before is sent")
            with rtsp_server(camera_clip, port):
                await plays(record)
                await face_is_followed(running.origin)
                assert record.history == ["pending", "in_progress"]
                assert await running.stop() == 0
    assert len(sink.events) == 2, "the face seen afterwards is sent, too"
    assert len({event.query["track_id"] for event in sink.events}) == 2
    assert running.faults() == []


async def test_a_server_that_freezes_is_noticed_after_the_timeout_of_the_stream(
    server: StreamsServer, sink: EventSink, camera_clip: Path
) -> None:
    with rtsp_server(camera_clip) as (process, port):
        record = server.streams[server.add(camera(port))]
        async with processor(server.origin, *options(sink)):
            await plays(record)
            process.send_signal(signal.SIGSTOP)
            await fails(record, "no answer within 2 s")
            process.send_signal(signal.SIGCONT)
            await plays(record)
    assert record.history == ["pending", "in_progress"]
