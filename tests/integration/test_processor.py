"""The processor as a process, against a LUNA Streams server and a LUNA PLATFORM that speak real HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from luna_local.demo import CLIP
from luna_processor.engines.models import default_folder
from luna_processor.vision.detections import iou_matrix
from support.event_sink import EventSink, SinkEvent
from support.media import (
    FPS,
    demo_pictures,
    package_clip,
    pictures_of,
    truth,
    write_clip,
)
from support.networks import add_model, brightness_classifier
from support.processors import processor, start_processor
from support.relay import Relay
from support.streams_server import (
    ACCOUNT,
    StreamsServer,
    genuine_stream_v1,
    stream_v1,
    stream_v2,
)
from support.waiting import PATIENCE_S, eventually

SLOW_S = 150.0
"""The machine of a test may be busy with others."""


@pytest.fixture(scope="module")
def two_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of one face: 2 s, 640x360."""
    folder = tmp_path_factory.mktemp("clips")
    return write_clip(folder / "face.mp4", demo_pictures(4, 2, (640, 360)))


async def finished(server: StreamsServer, *stream_ids: str) -> None:
    await eventually(
        lambda: all(server.streams[stream_id].status in ("done", "failure") for stream_id in stream_ids),
        "streams are finished",
        SLOW_S,
    )


def options(sink: EventSink, *more: str) -> tuple[str, ...]:
    """Return flags for quick tests: the smaller model, and reports in quick succession."""
    return ("--platform-origin", sink.origin, "--feedback-period", "0.5", "--face-model", "centerface-int8", *more)


def face_of(event: SinkEvent) -> tuple[int, float]:
    """Return which face of the demo clip an event shows, and how well its box lies on it."""
    boxes = truth(round(event.detection["detect_ts"] * FPS))
    overlaps = iou_matrix(np.array([event.box_xyxy], np.float32), np.array(list(boxes.values()), np.float32))[0]
    best = int(overlaps.argmax())
    return list(boxes)[best], float(overlaps[best])


# -- the main job -----------------------------------------------------------------------------------------------------


async def test_two_faces_that_cross_are_two_events_on_the_two_faces(server: StreamsServer, sink: EventSink) -> None:
    stream_id = server.add(stream_v2(str(CLIP), name="gate") | {"location": {"city": "Omsk"}})
    async with processor(server.origin, *options(sink, "--face-model", "centerface")) as running:
        await finished(server, stream_id)
    record = server.streams[stream_id]
    assert record.history == ["pending", "in_progress", "done"]
    assert record.last_error is None
    assert record.video_info is not None
    assert (record.video_info["width"], record.video_info["height"], record.video_info["frame_rate"]) == (1280, 720, 25)
    assert record.video_info["progress"] == 1
    assert record.video_info["duration"] == pytest.approx(12)
    faces = [face_of(event) for event in sink.events]
    assert sorted(face for face, _ in faces) == [0, 1]
    assert all(overlap >= 0.5 for _, overlap in faces)
    assert len({event.query["track_id"] for event in sink.events}) == 2
    for event in sink.events:
        assert (event.query["source"], event.query["stream_id"], event.query["city"]) == ("gate", stream_id, "Omsk")
        assert event.headers["luna-account-id"] == ACCOUNT
        width, height = event.image_size()
        assert event.box_xyxy[2] - event.box_xyxy[0] < width < 300
        assert height < 300
    assert running.faults() == []


async def test_a_stream_of_a_genuine_server_of_version_1_is_delivered_where_it_says(
    server: StreamsServer, sink: EventSink, two_seconds: Path
) -> None:
    stream_id = server.add(genuine_stream_v1(str(two_seconds), sink.origin))
    async with processor(f"{server.origin}/", "--api-version", "1") as running:
        await finished(server, stream_id)
    assert server.streams[stream_id].history == ["pending", "in_progress", "done"]
    [event] = sink.events
    assert event.detection["image_origin"] == f"{sink.origin}/6/images/1"
    assert event.query["source"] == "Entrance"
    assert not event.query.keys() & {"city", "longitude"}
    assert running.faults() == []


async def test_a_worker_alone_looks_for_bodies_in_streams_of_version_1_if_it_is_told_to(
    server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "rider.mp4", islice(pictures_of(package_clip("bikes")), 50))
    stream = stream_v1(str(clip), sink.origin)
    stream["policies"] = {"sending": {"send_only_full_set": False}, "filtering": {"min_score": 0.5}}
    stream_id = server.add(stream)
    async with processor(server.origin, "--api-version", "1", "--v1-mode", "bodies"):
        await finished(server, stream_id)
    assert {event.detection["filename"].split("_")[0] for event in sink.events} == {"body"}


# -- bodies and humans ------------------------------------------------------------------------------------------------


async def test_liveness_with_a_model_of_the_user_tells_people_from_photos(
    server: StreamsServer, sink: EventSink, two_seconds: Path, tmp_path: Path
) -> None:
    add_model(
        tmp_path / "mine",
        brightness_classifier(32),
        name="bright",
        task="liveness_flying_faces",
        decoder="classifier",
        input={"name": "image", "shape": [1, 3, 32, 32]},
        outputs=[{"name": "probabilities", "shape": [1, 2]}],
        picture={"deviation": [255, 255, 255]},
    )
    checks = {"use_flying_faces_liveness_filtration": True, "livenesses_weights": [0, 1], "liveness_mode": 2}
    person = server.add(stream_v2(str(two_seconds), name="person", liveness=checks | {"liveness_threshold": 0.1}))
    photo = server.add(stream_v2(str(two_seconds), name="photo", liveness=checks | {"liveness_threshold": 0.99}))
    other = server.add(stream_v2(str(two_seconds), name="other", liveness={"use_mask_liveness_filtration": True}))
    async with processor(server.origin, *options(sink, "--extra-models-dir", str(tmp_path / "mine"))):
        await finished(server, person, photo, other)
    assert [event.query["source"] for event in sink.events] == ["person"]
    assert server.streams[photo].status == "done"
    assert "task liveness_mask" in str(server.streams[other].last_error)


async def test_a_model_of_the_user_that_is_not_what_it_should_be_ends_the_start_in_one_line(tmp_path: Path) -> None:
    add_model(
        tmp_path / "mine",
        brightness_classifier(32),
        name="wide",
        task="liveness_mask",
        decoder="classifier",
        input={"name": "image", "shape": [1, 3, 64, 64]},
        outputs=[{"name": "probabilities", "shape": [1, 2]}],
    )
    process = await start_processor("--streams-origin", "http://127.0.0.1:9", "--extra-models-dir", f"{tmp_path}/mine")
    _, errors = await process.communicate()
    assert process.returncode == 2
    [line] = errors.decode().splitlines()
    assert "input 'image' of model wide has shape [1, 3, 32, 32], its manifest says [1, 3, 64, 64]" in line


# -- sources that are not what they should be -------------------------------------------------------------------------


# -- delivery ---------------------------------------------------------------------------------------------------------


# -- the protocol with LUNA Streams -----------------------------------------------------------------------------------


@pytest.fixture
def endless_clip(tmp_path: Path, two_seconds: Path) -> dict[str, Any]:
    """A stream that goes on for a minute: frames at 1 per second."""
    body = stream_v2(str(two_seconds))
    body["data"]["real_time_mode_fps"] = 1
    return body


async def in_progress(server: StreamsServer, stream_id: str) -> None:
    await eventually(
        lambda: server.streams[stream_id].status == "in_progress" and server.streams[stream_id].video_info,
        "the stream is in progress",
        SLOW_S,
    )


async def test_streams_are_stopped_before_the_server_gives_them_to_others(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any]
) -> None:
    stream_id = server.add(endless_clip)
    async with processor(server.origin, *options(sink, "--max-feedback-delay", "2")) as running:
        await in_progress(server, stream_id)
        server.fails = True
        await eventually(lambda: "stopped, no report was answered" in "".join(running.log), "they are stopped")
        assert (await _get(f"{running.origin}/api/1/streams")).json() == []
        server.fails = False
        server.change(stream_id, "pending")
        await in_progress(server, stream_id)


async def test_capacity_and_filters_are_kept(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any]
) -> None:
    wanted = [server.add({**endless_clip, "name": "mine"}) for _ in range(3)]
    other = server.add({**endless_clip, "name": "theirs"})
    async with processor(server.origin, *options(sink, "--capacity", "2", "--names", "mine")):
        await in_progress(server, wanted[0])
        await in_progress(server, wanted[1])
        assert server.streams[wanted[2]].status == "pending"
        server.change(wanted[0], "cancel")
        await in_progress(server, wanted[2])
    assert server.streams[other].status == "pending"
    headers, body = server.queue_requests[0]
    assert body == {"filters": {"names": ["mine"]}, "limit": 2}
    assert "prefer" not in headers, "the first answer says that the server is there"
    assert server.queue_requests[-1][0]["prefer"] == "wait=15"
    assert len(headers["luna-worker-id"]) == 36


async def test_a_server_that_does_not_keep_requests_open_is_not_overrun(server: StreamsServer, sink: EventSink) -> None:
    server.understands_prefer = False
    async with processor(server.origin, *options(sink)):
        await eventually(lambda: len(server.queue_requests) >= 4, "four requests", SLOW_S)
        assert server.queue_moments_s[3] - server.queue_moments_s[0] > 1.5


async def test_sigterm_ends_in_order_and_says_so_by_its_status(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any]
) -> None:
    stream_id = server.add(endless_clip)
    async with processor(server.origin, *options(sink)) as running:
        await in_progress(server, stream_id)
        assert await running.stop(signal.SIGTERM) == 0
    assert server.streams[stream_id].status == "in_progress", "it goes back by our silence"
    assert running.faults() == []


async def test_what_was_found_before_sigterm_is_still_delivered(
    server: StreamsServer, sink: EventSink, two_seconds: Path
) -> None:
    sink.status = 503
    stream_id = server.add(stream_v2(str(two_seconds)))
    async with processor(server.origin, *options(sink)) as running:
        await eventually(lambda: sink.attempts, "the event is tried", SLOW_S)
        stopping = asyncio.create_task(running.stop())
        await eventually(lambda: "ending" in "".join(running.log), "it is ending")
        sink.status = 201
        assert await stopping == 0
    assert len(sink.events) == 1
    assert server.streams[stream_id].status == "in_progress"


# -- its own interface ------------------------------------------------------------------------------------------------


async def test_a_processor_is_not_ready_before_the_server_has_answered(sink: EventSink) -> None:
    async with processor("http://127.0.0.1:9", *options(sink)) as running:
        await eventually(lambda: running.origin, "it listens", SLOW_S)
        assert (await _get(f"{running.origin}/healthz")).status_code == 200
        ready = await _get(f"{running.origin}/readyz")
        assert ready.status_code == 503
        assert ready.json()["problems"] == ["LUNA Streams has not answered yet"]
        assert await running.stop() == 0


async def test_a_processor_whose_requests_do_not_get_through_is_not_ready_until_they_do(
    server: StreamsServer, sink: EventSink
) -> None:
    """Kubernetes says that it is ready for ever otherwise, and streams would wait for it."""

    async def readiness() -> int:
        return (await _get(f"{running.origin}/readyz")).status_code

    async with (
        Relay(server.origin).running() as wire,
        processor(wire.url, *options(sink, "--queue-wait", "1")) as running,
    ):
        await eventually(lambda: running.origin, "it listens", SLOW_S)
        async with asyncio.timeout(SLOW_S):
            while await readiness() != 200:
                await asyncio.sleep(0.1)
        wire.cut()
        async with asyncio.timeout(60):
            while await readiness() != 503:
                await asyncio.sleep(0.1)
        wire.mend()
        async with asyncio.timeout(PATIENCE_S):
            while await readiness() != 200:
                await asyncio.sleep(0.1)


async def test_the_advertised_host_stands_in_the_previews(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any]
) -> None:
    stream_id = server.add(endless_clip)
    async with processor(server.origin, *options(sink, "--advertised-host", "worker.example")) as running:
        await in_progress(server, stream_id)
        preview = server.streams[stream_id].preview
    assert preview is not None
    assert preview["live"]["url"].startswith("http://worker.example:")
    assert running.faults() == []


# -- starting ---------------------------------------------------------------------------------------------------------


STARTS = """
import json, sys
from luna_processor.__main__ import main
for arguments in json.loads(sys.argv[1]):
    print(main(arguments), file=sys.stderr)
"""
"""One process after the other takes five times as long."""


async def refusal(*arguments: str, **environment: str) -> tuple[int, str]:
    """Return status and text of a processor that does not start."""
    process = await start_processor(*arguments, **environment)
    async with asyncio.timeout(SLOW_S):
        _, text = await process.communicate()
    assert process.returncode is not None
    return process.returncode, text.decode()


async def test_each_reason_not_to_start_is_one_line_and_a_status(tmp_path: Path, sink: EventSink) -> None:
    altered = tmp_path / "models"
    shutil.copytree(default_folder(), altered)
    model = altered / "centerface.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    origin = ("--streams-origin", "http://127.0.0.1:9")
    taken = sink.origin.rsplit(":", 1)[1]
    cases = (
        ((), "--streams-origin (or LUNA_PROCESSOR_STREAMS_ORIGIN) is required"),
        ((*origin, "--models-dir", str(tmp_path)), "no models:"),
        ((*origin, "--models-dir", str(altered)), "is not the one its manifest describes"),
        ((*origin, "--port", taken), f"cannot listen on 127.0.0.1:{taken}: Address already in use"),
        ((*origin, "--stream-ids", "x"), "--stream-ids"),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STARTS, json.dumps([arguments for arguments, _ in cases]), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    lines = errors.decode().splitlines()
    for line, returned, (_, text) in zip(lines[::2], lines[1::2], cases, strict=True):
        assert returned == "2"
        assert line.startswith("luna-streams processor: ")
        assert text in line
    status, said = await refusal(*origin, LUNA_PROCESSOR_SPEED="11")
    assert (status, "unknown variable LUNA_PROCESSOR_SPEED" in said) == (2, True)


async def _get(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)
