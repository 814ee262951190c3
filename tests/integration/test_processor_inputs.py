"""Streams of every type through the worker protocol: datagrams, folders of pictures, cameras that come and go."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import httpx
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from support.datagrams import datagrams, free_udp_port
from support.event_sink import EventSink
from support.media import demo_pictures, plain_pictures, write_clip
from support.media_server import content, media_server
from support.processors import ProcessorProcess, processor
from support.streams_server import StreamsServer, stream_v1, stream_v2
from support.waiting import eventually

SLOW_S = 150.0


def options(sink: EventSink) -> tuple[str, ...]:
    return ("--platform-origin", sink.origin, "--feedback-period", "0.2", "--face-model", "centerface-int8")


def detections(worker: ProcessorProcess) -> float:
    metrics = httpx.get(f"{worker.origin}/metrics").text
    samples = (sample for family in text_string_to_metric_families(metrics) for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name == "luna_processor_stream_detections_total")


async def test_a_face_in_datagrams_is_an_event_once_they_end(
    server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "face.ts", demo_pictures(4, 3, (640, 360)), g="25", bf="0").read_bytes()
    port = free_udp_port()
    healthcheck = {"max_error_count": 100, "period": 3600, "retry_delay": 1, "timeout": 2000}
    body = stream_v2(f"udp://127.0.0.1:{port}", kind="udp", healthcheck=healthcheck)
    record = server.streams[server.add(body)]
    async with processor(server.origin, *options(sink)) as running:
        with datagrams(clip, "127.0.0.1", port, duration_s=3.0):
            await eventually(lambda: record.video_info and not record.last_error, "the stream is read", SLOW_S)
            await eventually(lambda: detections(running) >= 10, "the face was looked at for a while", SLOW_S)
        await eventually(lambda: "no answer within 2 s" in (record.last_error or ""), "its end is noticed", SLOW_S)
        await eventually(lambda: sink.events, "the face that was seen is sent", SLOW_S)
        assert record.status == "in_progress"
    assert record.video_info is not None
    assert (record.video_info["width"], record.video_info["height"]) == (640, 360)
    assert running.faults() == []


@pytest.mark.parametrize("version", [1, 2])
async def test_a_folder_of_pictures_is_read_once_and_done(
    version: int, server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    for number, picture in enumerate(islice(demo_pictures(4, 2, (640, 360)), 0, None, 3)):
        Image.fromarray(picture).save(tmp_path / f"frame_{10 * number:04d}.jpg", quality=90)
    (tmp_path / "frame_0030.jpg").write_bytes(b"broken")
    folder = str(tmp_path)
    body = stream_v2(folder, kind="images") if version == 2 else stream_v1(folder, sink.origin, kind="images")
    body["data"]["mask"] = "frame_%04d.jpg"
    record = server.streams[server.add(body)]
    async with processor(server.origin, *options(sink), "--api-version", str(version)) as running:
        await eventually(lambda: record.status in ("done", "failure"), "all pictures were read", SLOW_S)
    assert record.status == "done"
    assert record.last_error == "1 of 17 pictures could not be decoded, 'frame_0030.jpg' was the first"
    assert len(sink.events) == 1
    assert sink.events[0].detection["detect_ts"] is None, "seconds are counted in files only"
    assert running.faults() == []


async def test_sources_that_cannot_be_read_fail_their_streams_with_the_reason(
    server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    unreadable = {
        f"folder '{tmp_path}/none' cannot be read": ("images", f"{tmp_path}/none", {"mask": "%d.jpg"}),
        "without a folder": ("images", str(tmp_path), {"mask": "../%d.jpg"}),
        "needs type tcp": ("udp", "http://127.0.0.1/x", {}),
        "needs type udp": ("tcp", "udp://127.0.0.1:5000", {}),
    }
    records = {}
    for error, (kind, reference, data) in unreadable.items():
        body = stream_v2(reference, kind=kind)
        body["data"] |= data
        records[error] = server.streams[server.add(body)]
    async with processor(server.origin, *options(sink)) as running:
        await eventually(lambda: all(record.status == "failure" for record in records.values()), "all fail", SLOW_S)
    assert [error for error, record in records.items() if error not in (record.last_error or "")] == []
    assert running.faults() == []


async def test_a_camera_that_breaks_off_all_the_time_costs_the_process_nothing(
    server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "short.ts", plain_pictures(3), g="3", bf="0").read_bytes()
    healthcheck = {"max_error_count": 10_000, "period": 3600, "retry_delay": 0, "timeout": 2000}
    with media_server({"/cam": content(clip, "video/mp2t")}) as camera:
        server.add(stream_v2(f"{camera.origin}/cam", kind="tcp", healthcheck=healthcheck))
        async with processor(server.origin, *options(sink)) as running:
            proc = Path(f"/proc/{running.process.pid}")
            await eventually(lambda: len(camera.paths) >= 10, "ten connections", SLOW_S)
            threads, handles, memory = _costs(proc)
            await eventually(lambda: len(camera.paths) >= 50, "fifty connections", SLOW_S)
            # A connection may be open at either moment, and a report on its way.
            await eventually(lambda: _costs(proc)[0] <= threads, "threads end")
            await eventually(lambda: _costs(proc)[1] <= handles, "handles are closed")
            assert _costs(proc)[2] < memory + 30 * 2**20
    assert running.faults() == []


def _costs(proc: Path) -> tuple[int, int, int]:
    """Return threads, handles and resident bytes of a process."""
    pages = int((proc / "statm").read_text().split()[1])
    return len(os.listdir(proc / "task")), len(os.listdir(proc / "fd")), pages * os.sysconf("SC_PAGESIZE")
