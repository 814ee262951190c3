"""Whatever a stream is called and wherever it stands: the requests that carry its events are what receivers ask for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import ormsgpack
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import ValidationError

from luna_processor.delivery.events import EventRequest, ShotEvent, new_request_id
from luna_processor.delivery.formats.requests import request_of
from luna_streams.policies import GeoPosition, Location
from support.event_schemas import (
    CLOUD_EVENT,
    HEADERS,
    META,
    QUERY,
    SHOT_DATA,
    STREAM_EVENTS,
    STREAM_EVENTS_6_18,
    check,
)
from support.processor_builders import a_body, a_shot, a_target, an_event

_times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
_words = st.none() | st.text(max_size=36)
_places = st.builds(
    Location,
    city=_words,
    area=_words,
    district=_words,
    street=_words,
    house_number=_words,
    geo_position=st.none() | st.builds(GeoPosition, longitude=st.floats(-180, 180), latitude=st.floats(-90, 90)),
)
_boxes = st.tuples(*[st.floats(-50, 4000)] * 2, *[st.floats(4000, 9000)] * 2)
_faces = st.builds(a_shot, box=_boxes, detected_at=_times, pts_s=st.none() | st.floats(0, 1e6))
_bodies = st.builds(lambda box, at: a_shot(face=None, body=a_body(box), detected_at=at), _boxes, _times)
_humans = st.builds(lambda box: a_shot(body=a_body(box)), _boxes)
_stores = st.none() | st.just("http://store:5020/1/buckets/frames/images/4f2c")


@st.composite
def events(draw: st.DrawFn, event_format: str) -> tuple[ShotEvent, tuple[str | None, ...]]:
    """Return an event, and where the frames of its shots were stored."""
    shots = draw(st.lists(_faces | _bodies | _humans, min_size=1, max_size=3))
    token = draw(st.none() | st.just("jwt"))
    event = an_event(
        source=draw(st.text(max_size=300)),
        location=draw(_places),
        shots=tuple(shots),
        target=a_target(format=event_format, url="http://receiver/path?key=1", token=token),
        request_id=new_request_id(datetime.now(UTC)),
    )
    return event, tuple(draw(st.lists(_stores, min_size=len(shots), max_size=len(shots))))


def sent(request: EventRequest) -> httpx.Request:
    """Return the request as a client sends it; it refuses what is not HTTP."""
    made = httpx.Request(
        "POST",
        request.url,
        params=request.params or None,
        headers=request.headers,
        content=request.content,
        files=request.files or None,
        data=request.data or None,
    )
    made.read()
    assert all(name.isascii() and value.isascii() and b"\n" not in value for name, value in made.headers.raw)
    return made


@given(events("events"))
@settings(max_examples=60)
def test_events_of_a_handler_are_as_luna_documents_them(made: tuple[ShotEvent, tuple[str | None, ...]]) -> None:
    event, origins = made
    request = request_of(event, origins)
    check(request.headers, HEADERS)
    check(request.params, QUERY)
    check(json.loads(request.data["meta"]), META)
    query = dict(parse_qsl(urlsplit(str(sent(request).url)).query, keep_blank_values=True))
    assert query == request.params
    assert query["source"] == event.source[:128]


@pytest.mark.parametrize("event_format", ["stream_events", "stream_events_6_18"])
@given(data=st.data())
@settings(max_examples=60)
def test_stream_events_are_as_luna_documents_them(event_format: str, data: st.DataObject) -> None:
    request = request_of(*data.draw(events(event_format)))
    check(request.headers, HEADERS)
    content = ormsgpack.unpackb(sent(request).content)
    check(content, STREAM_EVENTS if event_format == "stream_events" else STREAM_EVENTS_6_18)


@given(events("cloudevents"))
@settings(max_examples=60)
def test_cloudevents_are_as_their_specification_asks(made: tuple[ShotEvent, tuple[str | None, ...]]) -> None:
    event, origins = made
    message = sent(request_of(event, origins))
    assert str(message.url) == event.target.url
    body = json.loads(message.content)
    check(body, CLOUD_EVENT)
    check(body["data"], SHOT_DATA)
    read = from_http_event(HTTPMessage(dict(message.headers), message.content))
    assert read.get_id() == event.request_id.partition(",")[2]
    assert read.get_subject() == event.track_id
    assert read.get_time() == event.shots[0].detected_at
    assert read.get_extension("streamid") == event.stream_id
    assert read.get_data() == body["data"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param(CLOUD_EVENT, {"specversion": "1.0", "id": "", "source": "/", "type": "a"}, id="empty-id"),
        pytest.param(
            CLOUD_EVENT, {"specversion": "1.0", "id": "1", "source": "/", "type": "a", "streamId": ""}, id="capital"
        ),
        pytest.param(STREAM_EVENTS, {"events": [{"sources": []}]}, id="no-sources"),
        pytest.param(QUERY, {"source": "x" * 129}, id="long-source"),
    ],
)
def test_the_schemas_refuse_what_is_wrong(schema: dict[str, Any], value: object) -> None:
    with pytest.raises(ValidationError):
        check(value, schema)
