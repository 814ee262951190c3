"""The processor as a process, against a LUNA Streams server and a LUNA PLATFORM that speak real HTTP."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

from luna_local.demo import CLIP
from luna_processor.delivery.delivery import AUTHORIZATION_FAILED
from luna_processor.engines.models import default_folder
from luna_processor.vision.detections import iou_matrix
from support.event_sink import EventSink, SinkEvent
from support.http_servers import serving
from support.media import (
    FPS,
    audio_file,
    demo_pictures,
    package_clip,
    pictures_of,
    plain_pictures,
    truth,
    write_clip,
)
from support.networks import add_model, brightness_classifier
from support.processors import processor, start_processor
from support.relay import Relay
from support.streams_server import (
    ACCOUNT,
    HANDLER,
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


async def test_a_clip_without_people_is_done_without_events(
    server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    stream_id = server.add(stream_v2(str(write_clip(tmp_path / "plain.mp4", plain_pictures(50)))))
    async with processor(server.origin, *options(sink)):
        await finished(server, stream_id)
    assert server.streams[stream_id].status == "done"
    assert sink.attempts == []


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
    server: StreamsServer, sink: EventSink
) -> None:
    stream = stream_v1(str(package_clip("bikes")), sink.origin)
    stream["policies"] = {"sending": {"send_only_full_set": False}, "filtering": {"min_score": 0.5}}
    stream_id = server.add(stream)
    async with processor(server.origin, "--api-version", "1", "--v1-mode", "bodies"):
        await finished(server, stream_id)
    assert {event.detection["filename"].split("_")[0] for event in sink.events} == {"body"}


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        pytest.param("ten.mp4", {"pix_fmt": "yuv420p10le"}, id="10 bit"),
        pytest.param("jpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, id="full range MJPEG"),
        pytest.param("odd.mkv", {"pix_fmt": "yuv444p", "size": (637, 359)}, id="odd size"),
        pytest.param("small.mp4", {"size": (320, 180)}, id="low resolution"),
    ],
)
async def test_a_face_is_found_whatever_the_video_is_like(
    server: StreamsServer, sink: EventSink, tmp_path: Path, name: str, clip: dict[str, Any]
) -> None:
    pictures = demo_pictures(4, 1, clip.pop("size", (640, 360)))
    stream_id = server.add(stream_v2(str(write_clip(tmp_path / name, pictures, **clip))))
    async with processor(server.origin, *options(sink)):
        await finished(server, stream_id)
    assert server.streams[stream_id].history[-1] == "done"
    assert len(sink.events) == 1


@pytest.mark.parametrize(
    ("clip", "size", "count"),
    [
        pytest.param("carphone_pristine", None, 1, id="a real face, small"),
        pytest.param("carphone_pristine", (704, 576), 1, id="a real face, enlarged"),
        pytest.param("bigbuckbunny", None, 0, id="an animal with a face, and sound"),
    ],
)
async def test_real_clips_give_as_many_events_as_they_have_people(
    server: StreamsServer, sink: EventSink, tmp_path: Path, clip: str, size: tuple[int, int] | None, count: int
) -> None:
    path = package_clip(clip)
    if size:
        path = write_clip(tmp_path / "enlarged.mp4", pictures_of(path, size), fps=30)
    stream_id = server.add(stream_v2(str(path)))
    async with processor(server.origin, *options(sink, "--face-model", "centerface")):
        await finished(server, stream_id)
    assert server.streams[stream_id].history[-1] == "done"
    assert len(sink.events) == count


# -- bodies and humans ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        pytest.param(2, ["body", "body", "body"], id="bodies: a rider in a suit, one with a helmet, someone who walks"),
        pytest.param(3, ["body", "human", "human"], id="humans: of the one who walks, no head is in the picture"),
    ],
)
async def test_people_of_a_real_clip_are_sent_by_body_and_with_the_face_that_belongs_to_it(
    server: StreamsServer, sink: EventSink, mode: int, kinds: list[str]
) -> None:
    body = stream_v2(str(package_clip("bikes")), mode=mode)
    store = f"{sink.origin}/1/buckets/frames/images"
    body["data"]["analytics"][0]["event_handler"]["frame_store"] = store
    stream_id = server.add(body)
    async with processor(server.origin, *options(sink)) as running:
        await finished(server, stream_id)
    assert server.streams[stream_id].last_error is None
    assert sorted(event.detection["filename"].split("_")[0] for event in sink.events) == kinds
    assert len({event.query["track_id"] for event in sink.events}) == len(kinds)
    for event in sink.events:
        [detection] = event.meta["detections"]
        [found] = detection["body_detection_data"]
        person = found["bounding_box"]
        assert found["score"] >= 0.5
        assert person["height"] > 200
        assert len(event.images) == 1
        if mode == 3 and "face_detection_data" in detection:
            face = detection["face_detection_data"][0]["bounding_box"]
            assert person["x"] < face["x"] + face["width"] / 2 < person["x"] + person["width"]
            assert face["y"] < person["y"] + person["height"] / 2
    assert len(sink.frames) == len(sink.events)
    assert running.faults() == []


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


async def test_each_broken_file_fails_with_its_cause_and_harms_no_other_stream(
    server: StreamsServer, sink: EventSink, two_seconds: Path, tmp_path: Path
) -> None:
    garbage, empty, cut = tmp_path / "garbage.mp4", tmp_path / "empty.mp4", tmp_path / "cut.mkv"
    garbage.write_bytes(bytes(range(256)) * 100)
    empty.touch()
    whole = write_clip(tmp_path / "whole.mkv", plain_pictures(150), g="25")
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    change = tmp_path / "change.ts"
    parts = [write_clip(tmp_path / f"{size[0]}.ts", plain_pictures(30, *size)) for size in ((320, 180), (160, 90))]
    change.write_bytes(b"".join(part.read_bytes() for part in parts))
    playlist = tmp_path / "playlist.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{parts[0]}\n")
    causes = {
        str(tmp_path / "missing.mp4"): "No such file or directory",
        str(tmp_path): "is a directory",
        str(garbage): "cannot be opened: not a video",
        str(empty): "cannot be opened: not a video",
        str(playlist): "cannot be opened: not a video",
        str(audio_file(tmp_path / "sound.m4a")): "has no video stream",
        str(cut): "is truncated",
        str(change): "frame size is changed from 320x180 to 160x90",
        "http://127.0.0.1:9/clip.mp4": "reads a file by its path",
    }
    broken = {server.add(stream_v2(reference)): text for reference, text in causes.items()}
    good = server.add(stream_v2(str(two_seconds)))
    async with processor(server.origin, *options(sink, "--capacity", "16")) as running:
        await finished(server, good, *broken)
    for stream_id, text in broken.items():
        record = server.streams[stream_id]
        assert record.status == "failure"
        assert text in str(record.last_error)
    assert server.streams[good].status == "done"
    assert len(sink.events) == 1
    assert running.faults() == []


async def test_what_the_processor_cannot_do_fails_by_name(server: StreamsServer, sink: EventSink) -> None:
    liveness = server.add(stream_v2("/clip.mp4", liveness={"use_mask_liveness_filtration": True}))
    scheme = server.add(stream_v2("srt://127.0.0.1:5000", kind="udp"))
    async with processor(server.origin, *options(sink)):
        await finished(server, liveness, scheme)
    assert "liveness model" in str(server.streams[liveness].last_error)
    assert "type udp reads rtsp or udp" in str(server.streams[scheme].last_error)


async def test_a_live_source_that_ends_is_done_or_tried_again_as_the_stream_says(
    server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "face.ts", demo_pictures(4, 1, (640, 360)))
    async with serving(_file_app(clip)) as origin:
        ending, endless = (stream_v2(f"{origin}/face.ts", kind="tcp", name=name) for name in ("ending", "endless"))
        ending["data"]["endless"] = False
        healthcheck = {"max_error_count": 3, "period": 3600, "retry_delay": 0}
        endless["data"]["analytics"][0]["healthcheck"] = healthcheck
        ids = [server.add(ending), server.add(endless)]
        async with processor(server.origin, *options(sink)):
            await finished(server, *ids)
    assert server.streams[ids[0]].history[-1] == "done"
    assert server.streams[ids[1]].history[-1] == "failure"
    assert str(server.streams[ids[1]].last_error).endswith("has ended; given up after 3 errors")
    assert "detect_ts" in sink.events[0].detection
    assert sink.events[0].detection["detect_ts"] is None


async def test_a_camera_that_cannot_be_reached_is_reported_while_it_is_tried_again(
    server: StreamsServer, sink: EventSink
) -> None:
    body = stream_v2("rtsp://user:secret@127.0.0.1:9/cam", kind="tcp", healthcheck={"retry_delay": 60})
    stream_id = server.add(body)
    async with processor(server.origin, *options(sink)) as running:
        await eventually(lambda: server.streams[stream_id].last_error, "the error is reported", SLOW_S)
        assert server.streams[stream_id].status == "in_progress"
        assert server.streams[stream_id].last_error == "rtsp://127.0.0.1:9/cam cannot be opened: Connection refused"
        server.change(stream_id, "cancel")
        await eventually(lambda: "stopped" in "".join(running.log), "a waiting stream stops at once")
    assert "secret" not in "".join(running.log)


# -- delivery ---------------------------------------------------------------------------------------------------------


async def test_an_event_is_repeated_under_its_id_and_the_file_is_done_only_then(
    server: StreamsServer, sink: EventSink, two_seconds: Path
) -> None:
    sink.status = 503
    stream_id = server.add(stream_v2(str(two_seconds)))
    async with processor(server.origin, *options(sink)):
        await eventually(lambda: len(sink.attempts) >= 2, "the event is repeated", SLOW_S)
        await eventually(lambda: server.streams[stream_id].last_error, "the trouble is reported")
        assert "status 503" in str(server.streams[stream_id].last_error)
        assert server.streams[stream_id].status == "in_progress"
        sink.status = 201
        await finished(server, stream_id)
    assert len({attempt["luna-request-id"] for attempt in sink.attempts}) == 1
    assert len(sink.events) == 1
    assert server.streams[stream_id].last_error is None


async def test_a_refused_authorization_ends_the_stream_with_the_documented_text(
    server: StreamsServer, sink: EventSink, two_seconds: Path
) -> None:
    sink.status = 401
    stream_id = server.add(stream_v2(str(two_seconds)))
    async with processor(server.origin, *options(sink)):
        await finished(server, stream_id)
    assert server.streams[stream_id].history[-1] == "failure"
    assert server.streams[stream_id].last_error == AUTHORIZATION_FAILED
    assert len(sink.attempts) == 1


async def test_a_rejected_event_is_dropped_and_the_stream_goes_on(
    server: StreamsServer, sink: EventSink, two_seconds: Path
) -> None:
    sink.status = 404
    stream_id = server.add(stream_v2(str(two_seconds)))
    async with processor(server.origin, *options(sink)) as running:
        await finished(server, stream_id)
        metrics = (await _get(f"{running.origin}/metrics")).text
    record = server.streams[stream_id]
    assert record.history[-1] == "done"
    assert record.last_error == f"1 event was not delivered; the last reason: {sink.origin} answered with status 404"
    assert len(sink.attempts) == 1
    assert 'luna_processor_best_shots_total{outcome="rejected"} 1.0' in metrics


@pytest.mark.parametrize(("status", "stored"), [(201, True), (500, False)])
async def test_the_source_frame_goes_to_the_frame_store_and_its_loss_stops_nothing(
    server: StreamsServer, sink: EventSink, two_seconds: Path, status: int, stored: bool
) -> None:
    sink.frame_status = status
    body = stream_v2(str(two_seconds))
    store = f"{sink.origin}/1/buckets/frames/images"
    body["data"]["analytics"][0]["event_handler"]["frame_store"] = store
    stream_id = server.add(body)
    async with processor(server.origin, *options(sink)):
        await finished(server, stream_id)
    [event] = sink.events
    assert len(sink.frames) == (1 if stored else 0)
    assert event.detection["image_origin"] == (f"{store}/1" if stored else None)


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


async def test_a_stream_that_a_user_cancels_is_stopped(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any]
) -> None:
    stream_id = server.add(endless_clip)
    async with processor(server.origin, *options(sink)) as running:
        await in_progress(server, stream_id)
        assert [s["stream_id"] for s in (await _get(f"{running.origin}/api/1/streams")).json()] == [stream_id]
        server.change(stream_id, "cancel")
        await eventually(lambda: "the server says cancel" in "".join(running.log), "it stops")
        assert (await _get(f"{running.origin}/api/1/streams")).json() == []
    assert server.streams[stream_id].history[-1] == "cancel"


async def test_changed_data_bring_the_stream_back_under_its_new_version(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any], two_seconds: Path
) -> None:
    stream_id = server.add(endless_clip)
    async with processor(server.origin, *options(sink)):
        await in_progress(server, stream_id)
        server.streams[stream_id].body = stream_v2(str(two_seconds))
        server.change(stream_id, "pending", raises_version=True)
        await finished(server, stream_id)
    assert server.streams[stream_id].feedback[-1]["version"] == 2
    assert server.streams[stream_id].history[-3:] == ["pending", "in_progress", "done"]


async def test_a_deleted_stream_is_stopped(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any]
) -> None:
    stream_id = server.add(endless_clip)
    async with processor(server.origin, *options(sink)) as running:
        await in_progress(server, stream_id)
        del server.streams[stream_id]
        await eventually(lambda: "the server says not_found" in "".join(running.log), "it stops")


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


async def test_a_final_report_is_repeated_until_it_is_heard(
    server: StreamsServer, sink: EventSink, two_seconds: Path
) -> None:
    stream_id = server.add(stream_v2(str(two_seconds)))
    async with processor(server.origin, *options(sink)) as running:
        await eventually(lambda: server.streams[stream_id].status == "in_progress", "taken", SLOW_S)
        server.fails = True
        await eventually(lambda: "done" in "".join(running.log), "the file is done", SLOW_S)
        assert server.streams[stream_id].status == "in_progress"
        server.fails = False
        await finished(server, stream_id)
    assert server.streams[stream_id].status == "done"


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
        await eventually(lambda: server.queue_requests, "the first request", SLOW_S)
        began = time.monotonic()
        await eventually(lambda: len(server.queue_requests) >= 3, "further requests")
        assert time.monotonic() - began > 1.5


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


async def test_pictures_figures_and_health(
    server: StreamsServer, sink: EventSink, endless_clip: dict[str, Any]
) -> None:
    endless_clip["data"]["real_time_mode_fps"] = 10
    stream_id = server.add(endless_clip)
    async with processor(server.origin, *options(sink)) as running:
        await in_progress(server, stream_id)
        preview = server.streams[stream_id].preview
        assert preview is not None
        picture = await _get(preview["last_frame"]["url"])
        assert picture.headers["content-type"] == "image/jpeg"
        assert picture.content.startswith(b"\xff\xd8")
        streams = await asyncio.gather(*(_parts(preview["live"]["url"], 3) for _ in range(2)))
        assert all(part.startswith(b"\xff\xd8") for parts in streams for part in parts)
        assert len(set(streams[0])) == 3
        metrics = (await _get(f"{running.origin}/metrics")).text
        assert f'luna_processor_stream_frames_analysed_total{{name="cam",stream_id="{stream_id}"}}' in metrics
        assert (await _get(f"{running.origin}/healthz")).status_code == 200
        assert (await _get(f"{running.origin}/readyz")).status_code == 200
        assert (await _get(f"{running.origin}/version")).json()["Version"]["api"] == 1
        one = (await _get(f"{running.origin}/api/1/streams/{stream_id}")).json()
        assert one["data"]["reference"] == endless_clip["data"]["reference"]
        assert one["preview_url"] == preview["live"]["url"]
        for path in ("", "/last_frame"):
            assert (await _get(f"{running.origin}/api/1/streams/{HANDLER}{path}")).status_code == 404
        assert (await _get(f"{running.origin}/api/1/streams/preview/{HANDLER}")).status_code == 404
        server.change(stream_id, "cancel")
        await eventually(lambda: "the server says cancel" in "".join(running.log), "it stops")
        assert stream_id not in (await _get(f"{running.origin}/metrics")).text


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
    for arguments, text in (
        ((), "--streams-origin (or LUNA_PROCESSOR_STREAMS_ORIGIN) is required"),
        ((*origin, "--models-dir", str(tmp_path)), "no models:"),
        ((*origin, "--models-dir", str(altered)), "is not the one its manifest describes"),
        ((*origin, "--port", taken), f"cannot listen on 127.0.0.1:{taken}: Address already in use"),
        ((*origin, "--stream-ids", "x"), "--stream-ids"),
    ):
        status, said = await refusal(*arguments)
        assert status == 2
        assert said.startswith("luna-streams processor: ")
        assert text in said
        assert said.count("\n") == 1
    status, said = await refusal(*origin, LUNA_PROCESSOR_SPEED="11")
    assert (status, "unknown variable LUNA_PROCESSOR_SPEED" in said) == (2, True)


async def _get(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)


async def _parts(url: str, count: int) -> list[bytes]:
    """Return the first pictures of a MotionJPEG."""
    async with httpx.AsyncClient(timeout=20) as client, client.stream("GET", url) as answer:
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        received = b""
        async for chunk in answer.aiter_bytes():
            received += chunk
            pieces = received.split(b"--frame\r\n")
            if len(pieces) > count + 1:
                return [piece.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for piece in pieces[1 : count + 1]]
    raise AssertionError("the stream ended early")


def _file_app(path: Path) -> Starlette:
    return Starlette(routes=[Route("/{name}", lambda _request: FileResponse(path))])
