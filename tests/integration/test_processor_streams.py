"""What becomes of streams at a processor that is a process: one for all tests here, which starts once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

from luna_processor.delivery.delivery import AUTHORIZATION_FAILED
from support.event_sink import EventSink, event_sink
from support.http_servers import serving
from support.media import audio_file, demo_pictures, package_clip, pictures_of, plain_pictures, write_clip
from support.processors import ProcessorProcess, processor
from support.streams_server import HANDLER, StreamsServer, stream_v2, streams_server
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW_S = 150.0
"""The machine of a test may be busy with others."""


@dataclass
class World:
    """A worker, and whom it talks to.

    Attributes:
        log_begins: how many lines it had logged before the test.
    """

    server: StreamsServer
    sink: EventSink
    worker: ProcessorProcess
    log_begins: int = 0

    def log(self) -> str:
        """Return what the worker has logged during this test."""
        return "\n".join(self.worker.log[self.log_begins :])

    async def get(self, path: str) -> httpx.Response:
        """Ask the worker."""
        return await get(f"{self.worker.origin}{path}")

    async def figure(self, name: str) -> float:
        """Return a figure of the worker; 0 before it is counted."""
        lines = (await self.get("/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"luna_processor_{name} "))

    async def clear(self) -> None:
        """Forget all streams and events, and wait until the worker has nothing to do either."""
        self.server.forget()
        self.sink.forget()
        async with asyncio.timeout(SLOW_S):
            while (await self.get("/api/1/streams")).json() or await self.figure("events_waiting"):
                await asyncio.sleep(0.05)
        self.sink.forget()  # with what still came
        self.log_begins = len(self.worker.log)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world() -> AsyncIterator[World]:
    """A worker with the smaller model that reports in quick succession."""
    async with streams_server() as server, event_sink() as sink:
        options = ("--feedback-period", "0.5", "--face-model", "centerface-int8", "--capacity", "16")
        async with processor(server.origin, "--platform-origin", sink.origin, *options) as worker:
            await eventually(lambda: worker.origin, "the worker listens", SLOW_S)
            yield World(server, sink, worker)


@pytest_asyncio.fixture(loop_scope="module")
async def world(shared_world: World) -> AsyncIterator[World]:
    """The worker without streams; at the end it has done nothing wrong."""
    await shared_world.clear()
    yield shared_world
    assert shared_world.worker.faults() == []


@pytest.fixture(scope="module")
def two_seconds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of one face: 2 s, 640x360."""
    return write_clip(tmp_path_factory.mktemp("clips") / "face.mp4", demo_pictures(4, 2, (640, 360)))


@pytest.fixture(scope="module")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real clip of a rider and of someone who walks, whose head is not in the picture: 3.4 s, 640x272."""
    pictures = islice(pictures_of(package_clip("bikes")), 85)
    return write_clip(tmp_path_factory.mktemp("people") / "people.mp4", pictures)


@pytest.fixture
def endless_clip(two_seconds: Path) -> dict[str, Any]:
    """A stream that goes on for a minute: frames at 1 per second."""
    body = stream_v2(str(two_seconds))
    body["data"]["real_time_mode_fps"] = 1
    return body


async def finished(server: StreamsServer, *stream_ids: str) -> None:
    await eventually(
        lambda: all(server.streams[stream_id].status in ("done", "failure") for stream_id in stream_ids),
        "streams are finished",
        SLOW_S,
    )


async def in_progress(server: StreamsServer, stream_id: str) -> None:
    await eventually(
        lambda: server.streams[stream_id].status == "in_progress" and server.streams[stream_id].video_info,
        "the stream is in progress",
        SLOW_S,
    )


async def get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.get(url)


# -- what there is to see ---------------------------------------------------------------------------------------------


async def test_a_clip_without_people_is_done_without_events(world: World, tmp_path: Path) -> None:
    server, sink = world.server, world.sink
    stream_id = server.add(stream_v2(str(write_clip(tmp_path / "plain.mp4", plain_pictures(50)))))
    await finished(server, stream_id)
    assert server.streams[stream_id].status == "done"
    assert sink.attempts == []


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
    world: World, tmp_path: Path, name: str, clip: dict[str, Any]
) -> None:
    server, sink = world.server, world.sink
    pictures = demo_pictures(4, 1, clip.pop("size", (640, 360)))
    stream_id = server.add(stream_v2(str(write_clip(tmp_path / name, pictures, **clip))))
    await finished(server, stream_id)
    assert server.streams[stream_id].history[-1] == "done"
    assert len(sink.events) == 1


@pytest.mark.parametrize(
    ("clip", "size", "count"),
    [
        pytest.param("carphone_pristine", (176, 144), 1, id="a real face, small"),
        pytest.param("carphone_pristine", (704, 576), 1, id="a real face, enlarged"),
        pytest.param("bigbuckbunny", (1280, 720), 0, id="an animal with a face"),
    ],
)
async def test_real_clips_give_as_many_events_as_they_have_people(
    world: World, tmp_path: Path, clip: str, size: tuple[int, int], count: int
) -> None:
    server, sink = world.server, world.sink
    path = write_clip(tmp_path / "clip.mp4", islice(pictures_of(package_clip(clip), size), 40))
    stream_id = server.add(stream_v2(str(path)))
    await finished(server, stream_id)
    assert server.streams[stream_id].history[-1] == "done"
    assert len(sink.events) == count


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        pytest.param(2, ["body", "body"], id="bodies: a rider, and someone who walks"),
        pytest.param(3, ["body", "human"], id="humans: of the one who walks, no head is in the picture"),
    ],
)
async def test_people_of_a_real_clip_are_sent_by_body_and_with_the_face_that_belongs_to_it(
    world: World, two_people: Path, mode: int, kinds: list[str]
) -> None:
    server, sink = world.server, world.sink
    body = stream_v2(str(two_people), mode=mode)
    store = f"{sink.origin}/1/buckets/frames/images"
    body["data"]["analytics"][0]["event_handler"]["frame_store"] = store
    stream_id = server.add(body)
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


# -- sources that are not what they should be -------------------------------------------------------------------------


async def test_each_broken_file_fails_with_its_cause_and_harms_no_other_stream(
    world: World, two_seconds: Path, tmp_path: Path
) -> None:
    server, sink = world.server, world.sink
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
    await finished(server, good, *broken)
    for stream_id, text in broken.items():
        record = server.streams[stream_id]
        assert record.status == "failure"
        assert text in str(record.last_error)
    assert server.streams[good].status == "done"
    assert len(sink.events) == 1


async def test_what_the_processor_cannot_do_fails_by_name(world: World) -> None:
    server = world.server
    liveness = server.add(stream_v2("/clip.mp4", liveness={"use_mask_liveness_filtration": True}))
    scheme = server.add(stream_v2("srt://127.0.0.1:5000", kind="udp"))
    await finished(server, liveness, scheme)
    assert "liveness model" in str(server.streams[liveness].last_error)
    assert "unknown scheme; permitted: rtsp, rtsps, http, https, udp" in str(server.streams[scheme].last_error)


async def test_a_live_source_that_ends_is_done_or_tried_again_as_the_stream_says(world: World, tmp_path: Path) -> None:
    server, sink = world.server, world.sink
    clip = write_clip(tmp_path / "face.ts", demo_pictures(4, 1, (640, 360)))
    async with serving(_file_app(clip)) as origin:
        ending, endless = (stream_v2(f"{origin}/face.ts", kind="tcp", name=name) for name in ("ending", "endless"))
        ending["data"]["endless"] = False
        healthcheck = {"max_error_count": 3, "period": 3600, "retry_delay": 0}
        endless["data"]["analytics"][0]["healthcheck"] = healthcheck
        ids = [server.add(ending), server.add(endless)]
        await finished(server, *ids)
    assert server.streams[ids[0]].history[-1] == "done"
    assert server.streams[ids[1]].history[-1] == "failure"
    assert str(server.streams[ids[1]].last_error).endswith("has ended; given up after 3 errors")
    assert "detect_ts" in sink.events[0].detection
    assert sink.events[0].detection["detect_ts"] is None


async def test_a_camera_that_cannot_be_reached_is_reported_while_it_is_tried_again(world: World) -> None:
    server = world.server
    body = stream_v2("rtsp://user:secret@127.0.0.1:9/cam", kind="tcp", healthcheck={"retry_delay": 60})
    stream_id = server.add(body)
    await eventually(lambda: server.streams[stream_id].last_error, "the error is reported", SLOW_S)
    assert server.streams[stream_id].status == "in_progress"
    assert server.streams[stream_id].last_error == "rtsp://127.0.0.1:9/cam cannot be opened: Connection refused"
    server.change(stream_id, "cancel")
    await eventually(lambda: "stopped" in world.log(), "a waiting stream stops at once")
    assert "secret" not in world.log()


# -- delivery ---------------------------------------------------------------------------------------------------------


async def test_an_event_is_repeated_under_its_id_and_the_file_is_done_only_then(
    world: World, two_seconds: Path
) -> None:
    server, sink = world.server, world.sink
    sink.status = 503
    stream_id = server.add(stream_v2(str(two_seconds)))
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
    world: World, two_seconds: Path
) -> None:
    server, sink = world.server, world.sink
    sink.status = 401
    stream_id = server.add(stream_v2(str(two_seconds)))
    await finished(server, stream_id)
    assert server.streams[stream_id].history[-1] == "failure"
    assert server.streams[stream_id].last_error == AUTHORIZATION_FAILED
    assert len(sink.attempts) == 1


async def test_a_rejected_event_is_dropped_and_the_stream_goes_on(world: World, two_seconds: Path) -> None:
    server, sink = world.server, world.sink
    sink.status = 404
    rejected_before = await world.figure('best_shots_total{outcome="rejected"}')
    stream_id = server.add(stream_v2(str(two_seconds)))
    await finished(server, stream_id)
    record = server.streams[stream_id]
    assert record.history[-1] == "done"
    assert record.last_error == f"1 event was not delivered; the last reason: {sink.origin} answered with status 404"
    assert len(sink.attempts) == 1
    assert await world.figure('best_shots_total{outcome="rejected"}') == rejected_before + 1


@pytest.mark.parametrize(("status", "stored"), [(201, True), (500, False)])
async def test_the_source_frame_goes_to_the_frame_store_and_its_loss_stops_nothing(
    world: World, two_seconds: Path, status: int, stored: bool
) -> None:
    server, sink = world.server, world.sink
    sink.frame_status = status
    body = stream_v2(str(two_seconds))
    store = f"{sink.origin}/1/buckets/frames/images"
    body["data"]["analytics"][0]["event_handler"]["frame_store"] = store
    stream_id = server.add(body)
    await finished(server, stream_id)
    [event] = sink.events
    assert len(sink.frames) == (1 if stored else 0)
    assert event.detection["image_origin"] == (f"{store}/1" if stored else None)


# -- the protocol with LUNA Streams -----------------------------------------------------------------------------------


async def test_a_stream_that_a_user_cancels_is_stopped(world: World, endless_clip: dict[str, Any]) -> None:
    server = world.server
    stream_id = server.add(endless_clip)
    await in_progress(server, stream_id)
    assert [s["stream_id"] for s in (await world.get("/api/1/streams")).json()] == [stream_id]
    server.change(stream_id, "cancel")
    await eventually(lambda: "the server says cancel" in world.log(), "it stops")
    assert (await world.get("/api/1/streams")).json() == []
    assert server.streams[stream_id].history[-1] == "cancel"


async def test_changed_data_bring_the_stream_back_under_its_new_version(
    world: World, endless_clip: dict[str, Any], two_seconds: Path
) -> None:
    server = world.server
    stream_id = server.add(endless_clip)
    await in_progress(server, stream_id)
    server.streams[stream_id].body = stream_v2(str(two_seconds))
    server.change(stream_id, "pending", raises_version=True)
    await finished(server, stream_id)
    assert server.streams[stream_id].feedback[-1]["version"] == 2
    assert server.streams[stream_id].history[-3:] == ["pending", "in_progress", "done"]


async def test_a_deleted_stream_is_stopped(world: World, endless_clip: dict[str, Any]) -> None:
    server = world.server
    stream_id = server.add(endless_clip)
    await in_progress(server, stream_id)
    del server.streams[stream_id]
    await eventually(lambda: "the server says not_found" in world.log(), "it stops")


async def test_a_final_report_is_repeated_until_it_is_heard(world: World, two_seconds: Path) -> None:
    server = world.server
    server.hears_reports = False
    stream_id = server.add(stream_v2(str(two_seconds)))
    await eventually(lambda: "done" in world.log(), "the file is done", SLOW_S)
    assert server.streams[stream_id].status == "in_progress"
    server.hears_reports = True
    await finished(server, stream_id)
    assert server.streams[stream_id].status == "done"


# -- its own interface ------------------------------------------------------------------------------------------------


async def test_pictures_figures_and_health(world: World, endless_clip: dict[str, Any]) -> None:
    server = world.server
    endless_clip["data"]["real_time_mode_fps"] = 10
    stream_id = server.add(endless_clip)
    await in_progress(server, stream_id)
    preview = server.streams[stream_id].preview
    assert preview is not None
    picture = await get(preview["last_frame"]["url"])
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")
    streams = await asyncio.gather(*(_parts(preview["live"]["url"], 3) for _ in range(2)))
    assert all(part.startswith(b"\xff\xd8") for parts in streams for part in parts)
    assert len(set(streams[0])) == 3
    metrics = (await world.get("/metrics")).text
    assert f'luna_processor_stream_frames_analysed_total{{name="cam",stream_id="{stream_id}"}}' in metrics
    assert (await world.get("/healthz")).status_code == 200
    assert (await world.get("/readyz")).status_code == 200
    assert (await world.get("/version")).json()["Version"]["api"] == 1
    one = (await world.get(f"/api/1/streams/{stream_id}")).json()
    assert one["data"]["reference"] == endless_clip["data"]["reference"]
    assert one["preview_url"] == preview["live"]["url"]
    for path in ("", "/last_frame"):
        assert (await world.get(f"/api/1/streams/{HANDLER}{path}")).status_code == 404
    assert (await world.get(f"/api/1/streams/preview/{HANDLER}")).status_code == 404
    server.change(stream_id, "cancel")
    await eventually(lambda: "the server says cancel" in world.log(), "it stops")
    assert stream_id not in (await world.get("/metrics")).text


async def _parts(url: str, count: int) -> list[bytes]:
    """Return the first pictures of a MotionJPEG."""
    async with httpx.AsyncClient(timeout=60) as client, client.stream("GET", url) as answer:
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
