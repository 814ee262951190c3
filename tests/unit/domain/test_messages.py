"""Bodies that both versions of the API share."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from luna_streams.rest.messages import (
    FeedbackAnswer,
    FeedbackRequest,
    GroupPatch,
    GroupToBeCreated,
    LinkerRequest,
    QueueRequest,
    StreamPatch,
    StreamsDelete,
    group_response,
)
from luna_streams.v1alpha1 import VideoInfo
from support.builders import ACCOUNT, NOW, STREAM_ID, a_group

VIDEO = VideoInfo(width=1, height=2, frame_rate=3, bit_rate=4, gop_size=5, start_time=NOW)
ITEM = {"stream_id": STREAM_ID, "status": "done", "version": 1, "error": None, "video_info": None}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({}, "at least one field must have a value", id="nothing"),
        pytest.param({"status": None}, "none is not an allowed value", id="null"),
        pytest.param({"status": "done"}, "'pending', 'pause' or 'cancel'", id="not-a-wish"),
        pytest.param({"description": "x" * 129}, "at most 128", id="long-description"),
        pytest.param({"user_data": "x"}, "Extra inputs are not permitted", id="unknown-field"),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        StreamPatch.from_rest(json.dumps(body))


def test_a_patch_says_only_what_it_changes() -> None:
    patch = StreamPatch.from_rest('{"status": "pause"}')
    assert (patch.status, patch.description, patch.model_fields_set) == ("pause", None, {"status"})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"limit": 1}, id="no-filters"),
        pytest.param({"filters": {}}, id="no-limit"),
        pytest.param({"filters": {}, "limit": 0}, id="limit-0"),
        pytest.param({"filters": {"names": ["a"] * 1001}, "limit": 1}, id="too-many-names"),
        pytest.param({"filters": {"group_names": ["a b"]}, "limit": 1}, id="no-group-name"),
    ],
)
def test_a_queue_request_that_the_document_does_not_allow_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QueueRequest.from_rest(json.dumps(body))


def test_a_queue_request_may_ask_for_anything() -> None:
    assert QueueRequest.from_rest('{"filters": {}, "limit": 5}').filters.names == ()


@pytest.mark.parametrize("missing", ["stream_id", "status", "version", "error", "video_info"])
def test_feedback_needs_its_required_fields(missing: str) -> None:
    item = {name: value for name, value in ITEM.items() if name != missing}
    with pytest.raises(ValidationError, match=missing):
        FeedbackRequest.from_rest(json.dumps({"streams": [item]}))


@pytest.mark.parametrize(
    "change",
    [{"status": "pause"}, {"version": 0}, {"preview": {"live": {"url": "x" * 257}}}, {"video_info": {"width": 1}}],
    ids=["status", "version", "long-url", "half-a-video-info"],
)
def test_feedback_that_the_document_does_not_allow_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeedbackRequest.from_rest(json.dumps({"streams": [ITEM | change]}))


def test_an_answer_to_feedback_may_know_more_than_this_release() -> None:
    stream = {"stream_id": STREAM_ID, "status": "not_found", "version": 0, "new": 1}
    answer = FeedbackAnswer.from_peer({"streams": {"modified": [stream], "unmodified": []}, "newer": True})
    assert [(one.status, one.version) for one in answer.streams.modified] == [("not_found", 0)]


def test_streams_are_deleted_by_id_or_by_name() -> None:
    body = StreamsDelete.from_rest(json.dumps({"stream_ids": [STREAM_ID], "names": None}))
    assert (body.stream_ids, body.names) == ((STREAM_ID,), None)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_the_calendar_is_refused_and_breaks_nothing(time: str) -> None:
    item = ITEM | {"video_info": json.loads(VIDEO.model_dump_json(exclude_none=True)) | {"start_time": time}}
    with pytest.raises(ValidationError, match="outside of the years"):
        FeedbackRequest.from_rest(json.dumps({"streams": [item]}))


def test_a_group_is_shown_with_its_id() -> None:
    group = a_group("doors")
    assert group_response(group) == {
        "group_id": group.name,
        "group_name": "doors",
        "account_id": ACCOUNT,
        "description": "",
        "create_time": "2026-01-31T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (GroupToBeCreated, {"account_id": ACCOUNT, "group_name": "a b"}),
        (GroupToBeCreated, {"account_id": ACCOUNT, "group_name": "a", "description": "x" * 257}),
        (GroupPatch, {}),
        (LinkerRequest, {"action": "join", "stream_ids": [], "group_id": STREAM_ID}),
        (LinkerRequest, {"action": "attach", "stream_ids": [STREAM_ID] * 1001, "group_id": STREAM_ID}),
    ],
    ids=["name", "description", "nothing", "action", "too-many"],
)
def test_bodies_about_groups_are_bounded(
    model: type[GroupToBeCreated | GroupPatch | LinkerRequest], body: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        model.from_rest(json.dumps(body))
