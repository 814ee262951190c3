"""A platform that is down while the worker is killed: every best shot arrives, each under one request id."""

from __future__ import annotations

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route

from support.event_sink import EventSink, SinkEvent
from support.http_servers import serving
from support.media import demo_pictures, write_clip
from support.processors import ProcessorProcess, processor, start_processor
from support.streams_server import StreamsServer, stream_v2
from support.waiting import eventually

SLOW_S = 150.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five seconds of a face, 320x180."""
    return write_clip(tmp_path_factory.mktemp("clips") / "face.mp4", demo_pictures(3, 5, (320, 180)))


def every_second(clip: Path, sink: EventSink, **data: Any) -> dict[str, Any]:
    """Return a stream that sends a best shot and its source frame every second."""
    body = stream_v2(str(clip), sending={"time_period_of_searching": 1, "silent_period": 0})
    body["data"] |= data
    body["data"]["analytics"][0]["event_handler"]["frame_store"] = f"{sink.origin}/1/buckets/frames/images"
    return body


def options(sink: EventSink, spool: Path) -> tuple[str, ...]:
    flags = {"platform-origin": sink.origin, "feedback-period": "0.5", "face-model": "centerface-int8"}
    return (*(part for name, value in flags.items() for part in (f"--{name}", value)), "--spool-dir", str(spool))


async def done(server: StreamsServer, stream_id: str) -> None:
    await eventually(lambda: server.streams[stream_id].status == "done", "the file is done", SLOW_S)
    assert server.streams[stream_id].last_error is None


async def figure(running: ProcessorProcess, name: str) -> float:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"{running.origin}/metrics")).text
    found = re.search(rf"^luna_processor_{name} (\S+)", text, re.MULTILINE)
    assert found, name
    return float(found[1])


def moments(events: list[SinkEvent]) -> list[float]:
    return sorted(event.detection["detect_ts"] for event in events)


def request_ids(events: list[SinkEvent]) -> list[str]:
    return [event.headers["luna-request-id"] for event in events]


async def test_a_file_whose_worker_is_killed_in_an_outage_loses_nothing_and_sends_nothing_twice(
    server: StreamsServer, sink: EventSink, clip: Path, tmp_path: Path
) -> None:
    undisturbed = server.add(every_second(clip, sink))
    async with processor(server.origin, *options(sink, tmp_path / "other")):
        await done(server, undisturbed)
    expected, shots_per_run = moments(sink.events), len(sink.events)
    assert shots_per_run >= 4
    sink.forget()

    stream_id = server.add(every_second(clip, sink, real_time_mode_fps=25))
    async with processor(server.origin, *options(sink, tmp_path / "spool")) as killed:
        sink.takes = 1
        await eventually(lambda: len({a["luna-request-id"] for a in sink.attempts}) >= 3, "two wait", SLOW_S)
        await killed.stop(signal.SIGKILL)
    waited = {attempt["luna-request-id"] for attempt in sink.attempts} - set(request_ids(sink.events))
    frames_before = len(sink.frames)
    server.change(stream_id, "pending")
    async with processor(server.origin, *options(sink, tmp_path / "spool")) as successor:
        await eventually(lambda: server.streams[stream_id].status == "in_progress", "it is taken again", SLOW_S)
        sink.takes = None
        await done(server, stream_id)
        assert await figure(successor, "best_shots_known_total") >= len(waited) + 1
        assert await figure(successor, "events_waiting") == 0
    assert Counter(request_ids(sink.events)).most_common(1)[0][1] == 1, "each exactly once"
    assert waited <= set(request_ids(sink.events)), "under the ids they were tried with before"
    assert moments(sink.events) == expected
    assert len(sink.frames) == shots_per_run, "no source frame was stored twice"
    assert frames_before >= 3
    assert successor.faults() == []

    # A user who starts it again wants it all again.
    server.change(stream_id, "pending")
    first_run = set(request_ids(sink.events))
    async with processor(server.origin, *options(sink, tmp_path / "spool")):
        await eventually(lambda: server.streams[stream_id].history.count("done") == 2, "it is done again", SLOW_S)
    assert len(sink.events) == 2 * shots_per_run
    assert not first_run & set(request_ids(sink.events[shots_per_run:]))


async def test_another_worker_without_the_spool_sends_under_the_same_ids(
    server: StreamsServer, sink: EventSink, clip: Path, tmp_path: Path
) -> None:
    stream_id = server.add(every_second(clip, sink, real_time_mode_fps=25))
    async with processor(server.origin, *options(sink, tmp_path / "lost")) as killed:
        await eventually(lambda: len(sink.events) >= 2, "two are delivered", SLOW_S)
        await killed.stop(signal.SIGKILL)
    delivered = request_ids(sink.events)
    server.change(stream_id, "pending")
    async with processor(server.origin, *options(sink, tmp_path / "another")):
        await done(server, stream_id)
    assert set(delivered) <= set(request_ids(sink.events[len(delivered) :]))
    ids_by_moment = {(event.detection["detect_ts"], event.headers["luna-request-id"]) for event in sink.events}
    assert len(ids_by_moment) == len(set(moments(sink.events))), "one id for each best shot"


async def test_what_a_live_stream_had_waiting_is_delivered_though_the_stream_is_not_here_any_more(
    server: StreamsServer, sink: EventSink, clip: Path, tmp_path: Path
) -> None:
    sink.status = 503
    app = Starlette(routes=[Route("/cam.mp4", lambda _request: FileResponse(clip))])
    async with serving(app) as origin:
        body = every_second(clip, sink, type="tcp", reference=f"{origin}/cam.mp4", endless=False)
        stream_id = server.add(body)
        async with processor(server.origin, *options(sink, tmp_path)) as killed:
            await eventually(lambda: sink.attempts, "one waits", SLOW_S)
            error = "best shots cannot be delivered to"
            await eventually(lambda: error in (server.streams[stream_id].last_error or ""), "it is said", SLOW_S)
            await killed.stop(signal.SIGKILL)
    waited = {attempt["luna-request-id"] for attempt in sink.attempts}
    server.change(stream_id, "pause")
    sink.status = 201
    async with processor(server.origin, *options(sink, tmp_path)) as successor:
        await eventually(lambda: waited <= set(request_ids(sink.events)), "what waited is delivered", SLOW_S)
        assert await figure(successor, "spool_bytes") == 0
    assert len(sink.events) == len(set(request_ids(sink.events)))
    assert any(re.search(r"events wait for delivery in .*, [1-9][0-9]* from before", line) for line in successor.log)


async def test_a_second_worker_with_the_same_spool_is_told_so_and_ends(
    server: StreamsServer, sink: EventSink, tmp_path: Path
) -> None:
    async with processor(server.origin, *options(sink, tmp_path)) as first:
        await eventually(lambda: first.origin, "it runs", SLOW_S)
        second = await start_processor(
            "--streams-origin", server.origin, "--port", "0", "--spool-dir", str(tmp_path), "--inference-workers", "1"
        )
        _, errors = await second.communicate()
        assert second.returncode == 2
        assert errors.decode().splitlines()[-1] == (
            f"luna-streams processor: the spool folder {tmp_path} is used by another processor; "
            "give each one a --spool-dir of its own"
        )
        assert "Traceback" not in errors.decode()
