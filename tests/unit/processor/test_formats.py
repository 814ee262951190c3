"""The two formats beside the classic one: msgpack for handlers, CloudEvents for webhooks."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import ormsgpack
import pytest

from luna_processor.delivery.events import EventFormat, ShotEvent
from luna_processor.delivery.formats.requests import request_of
from luna_streams.policies import GeoPosition, Location
from support.processor_builders import STREAM_ID, a_body, a_shot, a_target, an_event

LUNA_IMAGES = "http://luna:5000/6/images"
BUCKET = "http://store:5020/1/buckets/frames/images"
MOMENT = datetime(2024, 4, 5, 14, 28, 47, 740913, UTC)
REQUEST_ID = "1712327333,d880445b-6dde-4da8-bd1b-88d38cce7814"
BOX = {"x": 10, "y": 20, "width": 100, "height": 130}
PLACE = Location(city="Riga", geo_position=GeoPosition(longitude=24.1, latitude=56.9))


def packed(event: ShotEvent, *origins: str | None) -> dict[str, Any]:
    """Return the only event of a request."""
    request = request_of(event, origins or (None,) * len(event.shots))
    assert request.content is not None
    [only] = ormsgpack.unpackb(request.content)["events"]
    return dict(only)


def for_handlers(event_format: EventFormat = "stream_events", **changes: Any) -> ShotEvent:
    target = a_target(format=event_format, frame_store=changes.pop("frame_store", None))
    return an_event(target=target, **changes)


def test_several_shots_are_one_aggregated_event_that_says_once_whose_it_is() -> None:
    event = packed(for_handlers(shots=(a_shot(detected_at=MOMENT), a_shot()), location=PLACE))
    assert event["aggregate_attributes"] == 1
    assert event["source_data"] == {
        "source": "cam",
        "stream_id": STREAM_ID,
        "track_id": "6f1d5dbe-0b63-4c6d-9d5b-3a3c0f8f3b11",
        "event_time": "2024-04-05T14:28:47.740913Z",
        "location": {"city": "Riga", "geo_position": {"longitude": 24.1, "latitude": 56.9}},
    }
    assert [set(source) & {"source_data"} for source in event["sources"]] == [set(), set()]


def test_a_single_shot_is_not_aggregated_and_its_source_says_whose_it_is() -> None:
    event = packed(for_handlers())
    assert event["aggregate_attributes"] == 0
    assert event["sources"][0]["source_data"] == event["source_data"]
    assert "location" not in event["source_data"]


def test_a_source_has_the_face_and_the_body_of_its_frame() -> None:
    [source] = packed(for_handlers(shots=(a_shot(detected_at=MOMENT, pts_s=1.23456, body=a_body()),)), f"{BUCKET}/1")[
        "sources"
    ]
    assert {name: value for name, value in source.items() if name != "source_data"} == {
        "filename": "human_0.jpg",
        "source_type": 0,
        "body": b"\xff\xd8face",
        "detect_time": "2024-04-05T14:28:47.740913Z",
        "detect_ts": 1.235,
        "image_origin": f"{BUCKET}/1",
        "face_detection_data": [
            {"bounding_box": BOX, "score": 0.9, "angles": {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}},
        ],
        "body_detection_data": [{"bounding_box": {"x": 0, "y": 10, "width": 130, "height": 390}, "score": 0.8}],
    }


def test_what_is_not_known_is_left_out() -> None:
    [source] = packed(for_handlers())["sources"]
    assert {"detect_ts", "image_origin", "body_detection_data"}.isdisjoint(source)


def test_before_api_6_27_boxes_had_other_names_and_nothing_beside_them() -> None:
    [source] = packed(for_handlers("stream_events_6_18", shots=(a_shot(body=a_body()),)))["sources"]
    assert source["face_bounding_boxes"] == [BOX]
    assert source["body_bounding_boxes"] == [{"x": 0, "y": 10, "width": 130, "height": 390}]
    assert {"face_detection_data", "body_detection_data"}.isdisjoint(source)


@pytest.mark.parametrize(
    ("store", "frame", "body"),
    [
        pytest.param(LUNA_IMAGES, b"frame", b"frame", id="lunas-images"),
        pytest.param(f"{LUNA_IMAGES}/", b"frame", b"frame", id="lunas-images-with-a-slash"),
        pytest.param(LUNA_IMAGES, None, b"shot", id="no-frame-of-this-shot"),
        pytest.param(BUCKET, b"frame", b"shot", id="image-store"),
        pytest.param(None, None, b"shot", id="no-store"),
    ],
)
def test_a_frame_for_lunas_own_images_rides_in_the_request(store: str | None, frame: bytes | None, body: bytes) -> None:
    event = for_handlers(frame_store=store, shots=(a_shot(jpeg=b"shot", frame_jpeg=frame),))
    assert packed(event)["sources"][0]["body"] == body


def test_headers_are_those_of_the_classic_format_and_say_that_it_is_msgpack() -> None:
    same: dict[str, Any] = {"shots": (a_shot(detected_at=MOMENT),), "request_id": REQUEST_ID}
    classic = request_of(an_event(**same), (None,)).headers
    newer = request_of(for_handlers(**same), (None,)).headers
    assert newer == {"Content-Type": "application/msgpack", **classic}


# -- CloudEvents -------------------------------------------------------------------------------------------------------


def for_a_webhook(token: str | None = None, **changes: Any) -> ShotEvent:
    return an_event(target=a_target(format="cloudevents", url="https://hook/x", token=token), **changes)


def cloud_event(event: ShotEvent, *origins: str | None) -> dict[str, Any]:
    request = request_of(event, origins or (None,) * len(event.shots))
    assert request.content is not None
    return dict(json.loads(request.content))


def test_a_cloud_event_says_what_happened_when_and_to_whom() -> None:
    event = cloud_event(for_a_webhook(shots=(a_shot(detected_at=MOMENT), a_shot()), request_id=REQUEST_ID))
    event.pop("data")
    assert event == {
        "specversion": "1.0",
        "id": "d880445b-6dde-4da8-bd1b-88d38cce7814",
        "source": f"/streams/{STREAM_ID}",
        "type": "dev.lunastreams.bestshot.v1",
        "subject": "6f1d5dbe-0b63-4c6d-9d5b-3a3c0f8f3b11",
        "time": "2024-04-05T14:28:47.740913Z",
        "datacontenttype": "application/json",
        "streamid": STREAM_ID,
    }


def test_its_data_holds_the_pictures_and_what_is_seen_on_them() -> None:
    shot = a_shot(jpeg=b"\xff\xd8picture", detected_at=MOMENT, pts_s=2)
    data = cloud_event(for_a_webhook(source="Tür", location=PLACE, shots=(shot,)), f"{BUCKET}/1")["data"]
    assert (data["source"], data["location"]["city"], data["stream_id"]) == ("Tür", "Riga", STREAM_ID)
    [told] = data["shots"]
    assert base64.b64decode(told.pop("image_base64")) == b"\xff\xd8picture"
    assert told == {
        "filename": "face_0.jpg",
        "content_type": "image/jpeg",
        "detect_time": "2024-04-05T14:28:47.740913Z",
        "detect_ts": 2,
        "image_origin": f"{BUCKET}/1",
        "face_detection_data": [
            {"bounding_box": BOX, "score": 0.9, "angles": {"yaw": 1.0, "pitch": 2.0, "roll": 3.0}},
        ],
    }


@pytest.mark.parametrize("token", [None, "jwt"])
def test_a_webhook_is_shown_its_token_or_nothing(token: str | None) -> None:
    headers = request_of(for_a_webhook(token), (None,)).headers
    assert headers.get("Authorization") == (f"Bearer {token}" if token else None)
    assert headers["Content-Type"] == "application/cloudevents+json"
    assert "Luna-Account-Id" not in headers


@pytest.mark.parametrize("event_format", ["events", "stream_events", "stream_events_6_18", "cloudevents"])
def test_a_repetition_is_the_same_request(event_format: EventFormat) -> None:
    event = an_event(target=a_target(format=event_format))
    assert request_of(event, (None,)) == request_of(event, (None,))
