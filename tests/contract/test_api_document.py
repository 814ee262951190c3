"""What `luna_streams.rest` renders is what the API document says; `test_openapi_structure` compares what it reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from luna_streams.credentials import Credentials
from luna_streams.rest import v1, v2
from luna_streams.v1alpha1 import Preview, PreviewUrl, VideoInfo
from support.builders import a_record, a_stream
from support.documented_schemas import check, component, document
from support.strategies import documented_v1_bodies, documented_v2_bodies

LONGEST_READABLE_DESCRIPTION = 128
"""The document lets a description have 512 characters and forbids itself to show more than these."""


@given(documented_v1_bodies)
@settings(max_examples=30)
def test_an_answer_of_v1_is_one_that_is_documented(body: dict[str, Any]) -> None:
    request = v1.StreamToBeCreatedV1.from_rest(json.dumps(readable(body)))
    submission = request.to_submission("secret")
    stream = a_stream().model_copy(update={"spec": submission.spec})
    answer = v1.stream_response(stream, stream.name, a_record(stream.spec), submission.credentials)
    if answer["event_handler"]["detection_handler"] is None:
        del answer["event_handler"]["detection_handler"]  # null as captured; the document contradicts itself here
    check(answer, "stream_response")


@given(documented_v2_bodies)
@settings(max_examples=30)
def test_an_answer_of_v2_is_one_that_is_documented(body: dict[str, Any]) -> None:
    request = v2.StreamToBeCreatedV2.from_rest(json.dumps(readable(body)))
    submission = request.to_submission("secret")
    stream = a_stream().model_copy(update={"spec": submission.spec})
    check(v2.stream_response(stream, stream.name, a_record(stream.spec), submission.credentials), "stream_response_v2")


@pytest.mark.parametrize("status", ["pending", "in_progress", "done", "pause", "cancel", "failure"])
def test_an_answer_in_every_status_is_documented(status: str) -> None:
    info = VideoInfo(
        width=1, height=2, frame_rate=3, bit_rate=4, gop_size=5, start_time=a_record().status_time, progress=0.5
    )
    preview = Preview(live=PreviewUrl(url="http://h/live"))
    stream = a_stream()
    record = a_record(stream.spec, status=status, error="gone", video_info=info, preview=preview)
    submission = v2.queued_stream(v2.stream_response(stream, stream.name, record, Credentials())).submission
    check(v2.stream_response(stream, stream.name, record, submission.credentials), "stream_response_v2")


def readable(body: dict[str, Any]) -> dict[str, Any]:
    """Cut a description to what the document lets an answer show."""
    return body | {"description": body.get("description", "")[:LONGEST_READABLE_DESCRIPTION]}


def test_the_document_is_the_one_this_release_speaks() -> None:
    assert document()["info"]["version"] == "v.1.1.18"
    assert component("rotation")["enum"] == [0, 90, 180, 270]
