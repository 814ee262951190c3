"""The request that carries best shots."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from luna_processor.delivery.events import EventRequest, luna_time, new_request_id
from luna_processor.delivery.formats.requests import request_of
from luna_streams.policies import GeoPosition, Location
from support.processor_builders import a_body, a_shot, a_target, an_event


def meta(request: EventRequest) -> list[dict[str, Any]]:
    return list(json.loads(request.data["meta"])["detections"])


def test_the_account_authorizes_unless_there_is_a_token() -> None:
    account = request_of(an_event(target=a_target(account_id="acc", token=None)), (None,)).headers
    token = request_of(an_event(target=a_target(account_id="acc", token="jwt")), (None,)).headers
    assert account["Luna-Account-Id"] == "acc"
    assert "Authorization" not in account
    assert token["Authorization"] == "Bearer jwt"
    assert "Luna-Account-Id" not in token


def test_the_time_is_that_of_the_best_shot_in_utc_with_microseconds() -> None:
    moment = datetime(2024, 4, 5, 14, 28, 47, 740913, UTC)
    request = request_of(an_event(shots=(a_shot(detected_at=moment), a_shot())), (None, None))
    assert request.headers["Luna-Event-Time"] == "2024-04-05T14:28:47.740913Z"
    assert luna_time(datetime(2024, 1, 1, tzinfo=UTC)) == "2024-01-01T00:00:00.000000Z"


def test_the_query_says_where_the_face_was_seen() -> None:
    place = Location(city="Omsk", street="Lenina", geo_position=GeoPosition(longitude=73.4, latitude=54.99))
    request = request_of(an_event(source="gate", location=place, track_id="t", stream_id="s"), (None,))
    assert request.params == {
        "image_type": "0",
        "aggregate_attributes": "0",
        "source": "gate",
        "track_id": "t",
        "stream_id": "s",
        "city": "Omsk",
        "street": "Lenina",
        "longitude": "73.4",
        "latitude": "54.99",
    }


def test_several_shots_are_one_event_of_several_pictures() -> None:
    request = request_of(an_event(shots=(a_shot(jpeg=b"1"), a_shot(jpeg=b"2"))), (None, "http://x/1"))
    assert request.params["aggregate_attributes"] == "1"
    assert [file[1][1] for file in request.files] == [b"1", b"2"]
    assert [detection["filename"] for detection in meta(request)] == [file[1][0] for file in request.files]
    assert [detection["image_origin"] for detection in meta(request)] == [None, "http://x/1"]


def test_the_box_is_given_as_luna_writes_rectangles() -> None:
    [detection] = meta(request_of(an_event(shots=(a_shot(box=(10.4, 20.6, 110, 170)),)), (None,)))
    [face] = detection["face_detection_data"]
    assert face["bounding_box"] == {"x": 10, "y": 21, "width": 100, "height": 149}
    assert set(face["angles"]) == {"yaw", "pitch", "roll"}


def test_a_body_is_told_beside_the_face_or_alone() -> None:
    alone, both = a_shot(face=None, body=a_body((1, 2, 11, 32), 0.75)), a_shot(body=a_body())
    request = request_of(an_event(shots=(both, alone, a_shot())), (None, None, None))
    together, body, face = meta(request)
    assert {"face_detection_data", "body_detection_data"} <= set(together)
    assert body["body_detection_data"] == [{"bounding_box": {"x": 1, "y": 2, "width": 10, "height": 30}, "score": 0.75}]
    assert "face_detection_data" not in body
    assert "body_detection_data" not in face
    assert [file[1][0] for file in request.files] == ["human_0.jpg", "body_1.jpg", "face_2.jpg"]


@pytest.mark.parametrize(("pts_s", "expected"), [(1.23456, 1.235), (None, None)])
def test_seconds_from_the_start_are_known_for_files_only(pts_s: Any, expected: Any) -> None:
    [detection] = meta(request_of(an_event(shots=(a_shot(pts_s=pts_s),)), (None,)))
    assert detection["detect_ts"] == expected


def test_request_ids_have_the_documented_form_and_differ() -> None:
    now = datetime(2024, 4, 5, tzinfo=UTC)
    first, second = new_request_id(now), new_request_id(now)
    assert re.fullmatch(r"1712275200,[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[a-f0-9]{4}-[a-f0-9]{12}", first)
    assert first != second


def test_no_secret_and_no_picture_shows_in_a_repr() -> None:
    event = an_event(target=a_target(token="very-secret"), shots=(a_shot(jpeg=b"pixels"),))
    assert "very-secret" not in repr(event)
    assert "pixels" not in repr(event)
