"""A processor process delivers a clip in each of its formats, to handlers and to webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.event_schemas import CLOUD_EVENT, SHOT_DATA, check
from support.event_sink import EventSink, SinkEvent
from support.media import FPS, demo_pictures, truth, write_clip
from support.processors import processor
from support.streams_server import ACCOUNT, HANDLER, StreamsServer, stream_v2
from support.waiting import eventually

SIZE = (640, 360)
BEGIN_S = 4
"""Where the clip begins in the demo clip, whose faces are known."""
SLOW_S = 150.0


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of one face: 2 s, 640x360."""
    return write_clip(tmp_path_factory.mktemp("clips") / "face.mp4", demo_pictures(BEGIN_S, 2, SIZE))


def a_stream(clip: Path, **handler: Any) -> dict[str, Any]:
    body = stream_v2(str(clip), name="door \N{OCTOPUS}\nback")
    known = body["data"]["analytics"][0]["event_handler"]
    body["data"]["analytics"][0]["event_handler"] = handler if "type" in handler else known | handler
    return body


async def delivered(server: StreamsServer, sink: EventSink, body: dict[str, Any], *flags: str) -> SinkEvent:
    """Run a stream to its end; return its only event."""
    stream_id = server.add(body)
    quick = ("--platform-origin", sink.origin, "--feedback-period", "0.5", "--face-model", "centerface-int8")
    async with processor(server.origin, *quick, *flags) as running:
        await eventually(
            lambda: server.streams[stream_id].status in ("done", "failure"), "the stream is finished", SLOW_S
        )
        assert server.streams[stream_id].last_error is None
        assert running.faults() == []
    [event] = sink.events
    assert (event.query["stream_id"], event.query["source"]) == (stream_id, "door \N{OCTOPUS}\nback")
    return event


def is_on_the_face(event: SinkEvent) -> bool:
    """Tell whether the middle of the box that is told lies on a face of the demo clip."""
    left, top, right, bottom = event.box_xyxy
    x, y = (left + right) / 2, (top + bottom) / 2
    scale = SIZE[0] / 1280
    boxes = truth(round((BEGIN_S + event.detection["detect_ts"]) * FPS)).values()
    return any(box[0] * scale <= x <= box[2] * scale and box[1] * scale <= y <= box[3] * scale for box in boxes)


@pytest.mark.parametrize("store", ["/6/images", "/1/buckets/frames/images"], ids=["lunas-images", "image-store"])
async def test_a_handler_gets_msgpack_where_the_setting_says_so(
    server: StreamsServer, sink: EventSink, clip: Path, store: str
) -> None:
    body = a_stream(clip, frame_store=f"{sink.origin}{store}")
    event = await delivered(server, sink, body, "--event-format", "stream_events")
    assert event.path == f"/6/handlers/{HANDLER}/stream_events"
    assert event.headers["content-type"] == "application/msgpack"
    assert event.headers["luna-account-id"] == ACCOUNT
    assert event.headers["luna-event-time"] == event.detection["detect_time"] == event.query["event_time"]
    assert is_on_the_face(event)
    if store == "/6/images":
        assert sink.frames == []
        assert event.image_size() == SIZE, "the frame rides in the request"
    else:
        assert len(sink.frames) == 1
        assert event.detection["image_origin"] == f"{sink.origin}{store}/1"
        assert event.image_size() < SIZE, "the face alone"


async def test_a_webhook_gets_a_cloud_event(server: StreamsServer, sink: EventSink, clip: Path) -> None:
    body = a_stream(
        clip,
        type="cloudevents",
        url=f"{sink.origin}/hook?key=1",
        frame_store=f"{sink.origin}/6/images",
        authorization={"token": "jwt"},
    )
    event = await delivered(server, sink, body, "--event-format", "stream_events")
    check(event.body, CLOUD_EVENT)
    check(event.body["data"] | {"shots": [event.detection | {"image_base64": ""}]}, SHOT_DATA)
    assert event.path == "/hook?key=1"
    assert event.headers["authorization"] == "Bearer jwt"
    assert event.headers["luna-request-id"].endswith(f",{event.body['id']}")
    assert event.body["subject"] == event.query["track_id"]
    assert event.body["data"]["account_id"] == ACCOUNT
    assert event.detection["image_origin"] == f"{sink.origin}/6/images/1"
    assert is_on_the_face(event)


async def test_a_stream_whose_token_no_header_can_hold_fails_and_says_so(
    server: StreamsServer, sink: EventSink, clip: Path
) -> None:
    body = a_stream(clip, type="cloudevents", url=f"{sink.origin}/hook", authorization={"token": "two\nlines"})
    stream_id = server.add(body)
    async with processor(server.origin, "--feedback-period", "0.5"):
        await eventually(lambda: server.streams[stream_id].status == "failure", "the stream fails", SLOW_S)
    assert "characters that no HTTP header can hold" in str(server.streams[stream_id].last_error)
    assert "lines" not in str(server.streams[stream_id].last_error)
