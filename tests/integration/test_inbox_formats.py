"""The inbox takes what the processor writes, in each of its formats, and refuses what is none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import ormsgpack
import pytest

from luna_processor.delivery.events import EventFormat, ShotEvent
from luna_processor.delivery.formats.requests import request_of
from luna_streams.policies import GeoPosition, Location
from support.images import a_jpeg
from support.inboxes import an_inbox
from support.processor_builders import HANDLER_ID, STREAM_ID, a_body, a_shot, a_target, an_event

PATHS: dict[EventFormat, str] = {
    "events": f"/6/handlers/{HANDLER_ID}/events",
    "stream_events": f"/6/handlers/{HANDLER_ID}/stream_events",
    "stream_events_6_18": f"/6/handlers/{HANDLER_ID}/stream_events",
    "cloudevents": "/webhooks/door",
}
STREAM_EVENTS, WEBHOOK = PATHS["stream_events"], PATHS["cloudevents"]
MSGPACK = {"Content-Type": "application/msgpack"}
CLOUD_EVENT = {"Content-Type": "application/cloudevents+json"}
ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/here", "type": "a.b"}


@pytest.fixture
async def inbox(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with an_inbox(tmp_path / "inbox") as client:
        yield client


def an_event_of(event_format: EventFormat) -> ShotEvent:
    return an_event(
        source="door \N{OCTOPUS}",
        location=Location(city="Riga", geo_position=GeoPosition(longitude=24.1, latitude=56.9)),
        target=a_target(format=event_format, url=f"http://inbox{PATHS[event_format]}"),
        shots=(a_shot(jpeg=a_jpeg(30, 40), body=a_body()), a_shot(jpeg=a_jpeg(50, 60))),
    )


async def send(inbox: httpx.AsyncClient, event: ShotEvent) -> httpx.Response:
    request = request_of(event, (None,) * len(event.shots))
    return await inbox.post(
        httpx.URL(request.url).path,
        params=request.params or None,
        headers=request.headers,
        content=request.content,
        files=request.files or None,
        data=request.data or None,
    )


@pytest.mark.parametrize("event_format", list(PATHS))
async def test_what_the_processor_delivers_is_kept_with_its_pictures(
    inbox: httpx.AsyncClient, event_format: EventFormat
) -> None:
    event = an_event_of(event_format)
    answer = await send(inbox, event)
    assert answer.status_code == 201, answer.text
    [kept] = (await inbox.get("/events", params={"stream_id": STREAM_ID})).json()
    assert (kept["track_id"], kept["request_id"]) == (event.track_id, event.request_id)
    assert kept["query"]["source"] == event.source
    assert kept["handler_id"] == (None if event_format == "cloudevents" else HANDLER_ID)
    assert [(image["name"], image["width"]) for image in kept["images"]] == [("human_0.jpg", 30), ("face_1.jpg", 50)]
    pictures = [(await inbox.get(image["url"])).content for image in kept["images"]]
    assert pictures == [shot.jpeg for shot in event.shots]
    page = (await inbox.get("/")).text
    assert "human_0.jpg" in page
    assert "\N{OCTOPUS}" in page


async def test_boxes_without_a_picture_are_kept(inbox: httpx.AsyncClient) -> None:
    box = {"bounding_box": {"x": 1, "y": 2, "width": 3, "height": 4}}
    content = ormsgpack.packb({"events": [{"sources": [{"face_detection_data": [box]}]}]})
    assert (await inbox.post(STREAM_EVENTS, content=content, headers=MSGPACK)).status_code == 201
    [kept] = (await inbox.get("/events")).json()
    assert kept["images"] == []
    assert kept["fields"]["sources"] == [{"face_detection_data": [box]}]


async def test_a_webhook_takes_cloud_events_of_others(inbox: httpx.AsyncClient) -> None:
    content = json.dumps(ATTRIBUTES | {"data": ["whatever"]})
    assert (await inbox.post(WEBHOOK, content=content, headers=CLOUD_EVENT)).status_code == 201
    [kept] = (await inbox.get("/events")).json()
    assert kept["fields"] == ATTRIBUTES | {"data": ["whatever"]}


def a_shot_of(image: str) -> str:
    return json.dumps(ATTRIBUTES | {"data": {"shots": [{"image_base64": image}]}})


@pytest.mark.parametrize(
    ("path", "content", "headers", "code"),
    [
        pytest.param(STREAM_EVENTS, b"\xc1", MSGPACK, 12046, id="no-msgpack"),
        pytest.param(STREAM_EVENTS, b"", MSGPACK, 12030, id="nothing"),
        pytest.param(STREAM_EVENTS, b"{}", {"Content-Type": "application/json"}, 12017, id="json"),
        pytest.param(STREAM_EVENTS, ormsgpack.packb([]), MSGPACK, 12022, id="a-list"),
        pytest.param(STREAM_EVENTS, ormsgpack.packb({"events": []}), MSGPACK, 12022, id="no-events"),
        pytest.param(STREAM_EVENTS, ormsgpack.packb({"events": [{"sources": 1}]}), MSGPACK, 12022, id="no-sources"),
        pytest.param(
            STREAM_EVENTS,
            ormsgpack.packb({"events": [{"sources": [{"body": b"GIF89a"}]}]}),
            MSGPACK,
            12025,
            id="no-picture",
        ),
        pytest.param(WEBHOOK, b"{", CLOUD_EVENT, 12022, id="no-json"),
        pytest.param(WEBHOOK, b"", CLOUD_EVENT, 12030, id="nothing-for-a-webhook"),
        pytest.param(WEBHOOK, json.dumps(ATTRIBUTES), {"Content-Type": "application/json"}, 12017, id="plain-json"),
        pytest.param(WEBHOOK, json.dumps(ATTRIBUTES | {"id": ""}), CLOUD_EVENT, 12022, id="no-id"),
        pytest.param(WEBHOOK, json.dumps(ATTRIBUTES | {"specversion": "0.3"}), CLOUD_EVENT, 12022, id="old"),
        pytest.param(WEBHOOK, a_shot_of("%"), CLOUD_EVENT, 12025, id="no-base64"),
        pytest.param(WEBHOOK, a_shot_of("AAAA"), CLOUD_EVENT, 12025, id="base64-of-no-picture"),
    ],
)
async def test_what_is_not_of_the_format_is_refused_and_not_kept(
    inbox: httpx.AsyncClient, path: str, content: Any, headers: dict[str, str], code: int
) -> None:
    answer = await inbox.post(path, content=content, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (400, code)
    assert (await inbox.get("/events")).json() == []


@pytest.mark.parametrize("event_format", ["stream_events", "cloudevents"])
async def test_faults_hit_every_format(inbox: httpx.AsyncClient, event_format: EventFormat) -> None:
    await inbox.put("/faults", json={"mode": "fail", "status": 503, "count": 1})
    assert (await send(inbox, an_event_of(event_format))).status_code == 503
    assert (await send(inbox, an_event_of(event_format))).status_code == 201
