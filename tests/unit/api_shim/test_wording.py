"""What is wrong with a body is said in pydantic v1's words, with paths that hold no name of a union member."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from luna_api_shim.errors import BadBody, BadJson
from luna_api_shim.http.bodies import parse
from luna_api_shim.http.wording import UNION_TAGS, first_problem
from luna_streams.model import Model
from luna_streams.rest.messages import FeedbackRequest, QueueRequest, StreamPatch, StreamsDelete
from luna_streams.rest.submission import RestAuthorization
from luna_streams.rest.v1 import SourceV1, StreamToBeCreatedV1
from luna_streams.rest.v2 import StreamToBeCreatedV2
from luna_streams.stream import EventHandlerType
from support.builders import HANDLER, v1_body, v2_body
from support.worker import VIDEO_INFO

ITEM = "data.analytics.0"


def with_data(**changes: Any) -> dict[str, Any]:
    body = v2_body()
    return body | {"data": body["data"] | changes}


def with_analytics(**changes: Any) -> dict[str, Any]:
    body = v2_body()
    return with_data(analytics=[body["data"]["analytics"][0] | changes])


def with_handler(handler: object) -> dict[str, Any]:
    return with_analytics(event_handler=handler)


def with_authorization(value: object) -> dict[str, Any]:
    return with_analytics(event_handler={"handler_id": HANDLER, "frame_store": None, "authorization": value})


def a_report(**changes: Any) -> dict[str, Any]:
    item = {"stream_id": HANDLER, "status": "done", "version": 1, "error": None, "video_info": None}
    return {"streams": [item | changes]}


CASES: list[tuple[type[Model], object, str, str]] = [
    (StreamToBeCreatedV2, {}, "account_id", "field required"),
    (StreamToBeCreatedV2, [], "", "value is not a valid dict"),
    (StreamToBeCreatedV2, v2_body(status="done"), "status", "unexpected value; permitted: 'pending', 'pause'"),
    (StreamToBeCreatedV2, v2_body(user_data=1), "user_data", "extra fields not permitted"),
    (StreamToBeCreatedV2, v2_body(name=None), "name", "none is not an allowed value"),
    (StreamToBeCreatedV2, v2_body(name=5), "name", "str type expected"),
    (StreamToBeCreatedV2, v2_body(name="x" * 129), "name", "ensure this value has at most 128 characters"),
    (StreamToBeCreatedV2, v2_body(account_id="x"), "account_id", "value is not a valid uuid"),
    (StreamToBeCreatedV2, v2_body(group_name="a b"), "group_name",
     'string does not match regex "^[a-zA-Z0-9_\\-]{1,128}$"'),
    (StreamToBeCreatedV2, with_data(roi=[1, 2, 3]), "data.roi", "ensure this value has at least 4 items"),
    (StreamToBeCreatedV2, with_data(roi=[1, 2, 3, 4, 5]), "data.roi", "ensure this value has at most 4 items"),
    (StreamToBeCreatedV2, with_data(roi=[1, 2, 3.5, 4]), "data.roi.2", "value is not a valid integer"),
    (StreamToBeCreatedV2, with_data(roi=[1, 2, 3, True]), "data.roi.3", "value is not a valid integer"),
    (StreamToBeCreatedV2, with_data(roi=[-1, 2, 3, 4]), "data.roi.0",
     "ensure this value is greater than or equal to 0"),
    (StreamToBeCreatedV2, with_analytics(droi=[0, 0, 0, 65537]), f"{ITEM}.droi.3",
     "ensure this value is less than or equal to 65536"),
    (StreamToBeCreatedV2, v2_body(autorestart={"restart": 2}), "autorestart.restart",
     "unexpected value; permitted: 0, 1"),
    (StreamToBeCreatedV2, v2_body(autorestart={"delay": 0}), "autorestart.delay",
     "ensure this value is greater than or equal to 1"),
    (StreamToBeCreatedV2, v2_body(autorestart={"delay": 10**400}), "autorestart.delay",
     "ensure this value is less than or equal to 2147483647"),
    (StreamToBeCreatedV2, v2_body(location={"geo_position": {"longitude": 181, "latitude": 0}}),
     "location.geo_position.longitude", "ensure this value is less than or equal to 180"),
    (StreamToBeCreatedV2, with_data(type="ftp"), "data",
     "No match for discriminator 'type' and value 'ftp' (allowed values: 'udp', 'tcp', 'videofile', 'images')"),
    (StreamToBeCreatedV2, v2_body(data={"reference": "x"}), "data", "Discriminator 'type' is missing in value"),
    (StreamToBeCreatedV2, v2_body(data=5), "data", "value is not a valid dict"),
    (StreamToBeCreatedV2, with_data(tcp=1), "data.tcp", "extra fields not permitted"),
    (StreamToBeCreatedV2, with_data(mask="%d.jpg"), "data.mask", "extra fields not permitted"),
    (StreamToBeCreatedV2, with_data(type="images"), "data.mask", "field required"),
    (StreamToBeCreatedV2, with_data(rotation=45), "data.rotation", "unexpected value; permitted: 0, 90, 180, 270"),
    (StreamToBeCreatedV2, with_data(rotation=True), "data.rotation", "value is not a valid integer"),
    (StreamToBeCreatedV2, with_data(roi={"x": 1}), "data.roi.y", "field required"),
    (StreamToBeCreatedV2, with_data(roi={"x": -1, "y": 0, "width": 0, "height": 0}), "data.roi.x",
     "ensure this value is greater than or equal to 0"),
    (StreamToBeCreatedV2, with_data(roi={"mode": "z"}), "data.roi.mode",
     "unexpected value; permitted: 'abs', 'percent'"),
    (StreamToBeCreatedV2, with_data(analytics=[]), "data.analytics", "ensure this value has at least 1 items"),
    (StreamToBeCreatedV2, with_data(analytics={}), "data.analytics", "value is not a valid list"),
    (StreamToBeCreatedV2, with_data(analytics=[5]), ITEM, "value is not a valid dict"),
    (StreamToBeCreatedV2, with_analytics(enabled="yes"), f"{ITEM}.enabled", "value could not be parsed to a boolean"),
    (StreamToBeCreatedV2, with_analytics(filtering={"min_score_face": "5"}), f"{ITEM}.filtering.min_score_face",
     "value is not a valid float"),
    (StreamToBeCreatedV2, with_analytics(liveness={"livenesses_weights": [1]}),
     f"{ITEM}.liveness.livenesses_weights", "ensure this value has at least 2 items"),
    (StreamToBeCreatedV2, with_analytics(liveness={"livenesses_weights": [1, 2, 3]}),
     f"{ITEM}.liveness.livenesses_weights", "ensure this value has at most 2 items"),
    (StreamToBeCreatedV2, with_authorization({}), f"{ITEM}.event_handler.authorization.token", "field required"),
    (StreamToBeCreatedV2, with_authorization({"token": 5}), f"{ITEM}.event_handler.authorization.token",
     "str type expected"),
    (StreamToBeCreatedV2, with_authorization({"account_id": "x"}), f"{ITEM}.event_handler.authorization.account_id",
     "value is not a valid uuid"),
    (StreamToBeCreatedV2, with_authorization(5), f"{ITEM}.event_handler.authorization", "value is not a valid dict"),
    (StreamToBeCreatedV1, v1_body(event_handler={}), "event_handler.origin", "field required"),
    (StreamToBeCreatedV1, v1_body(event_handler=5), "event_handler", "value is not a valid dict"),
    (StreamToBeCreatedV1, v1_body(event_handler={"type": "cloudevents"}), "event_handler.url", "field required"),
    (StreamToBeCreatedV2, with_handler({"type": "kafka"}), f"{ITEM}.event_handler.type",
     "unexpected value; permitted: 'luna_handler'"),
    (StreamToBeCreatedV2, with_handler({"type": "cloudevents", "url": "hook"}), f"{ITEM}.event_handler.url",
     'string does not match regex "^https?://[^\\s/?#]+[^\\s]*$"'),
    (StreamToBeCreatedV2, with_handler({"type": "cloudevents", "url": "http://u:p@hook"}), f"{ITEM}.event_handler.url",
     "must not contain user or password; use authorization"),
    (StreamToBeCreatedV2, with_handler({"type": "cloudevents", "url": "http://hook", "handler_id": HANDLER}),
     f"{ITEM}.event_handler.handler_id", "extra fields not permitted"),
    (StreamToBeCreatedV2, with_handler({"type": "cloudevents", "url": "http://hook",
                                        "authorization": {"account_id": HANDLER}}),
     f"{ITEM}.event_handler.authorization.token", "field required"),
    (StreamToBeCreatedV1, v1_body(policies={"healthcheck": {"timeout": -1}}), "policies.healthcheck.timeout",
     "ensure this value is greater than or equal to 0"),
    (StreamPatch, {}, "", "at least one field must have a value"),
    (StreamPatch, {"status": "done"}, "status", "unexpected value; permitted: 'pending', 'pause', 'cancel'"),
    (StreamPatch, {"status": None}, "status", "none is not an allowed value"),
    (StreamPatch, {"user_data": 1}, "user_data", "extra fields not permitted"),
    (StreamsDelete, {"faces": 1}, "", "Additional properties are not allowed ('faces' was unexpected)"),
    (StreamsDelete, {"names": ["x"] * 1001}, "names", "ensure this value has at most 1000 items"),
    (QueueRequest, {"limit": 1}, "filters", "field required"),
    (QueueRequest, {"filters": {}, "limit": 1.5}, "limit", "value is not a valid integer"),
    (QueueRequest, {"filters": {"stream_ids": [HANDLER, "x"]}, "limit": 1}, "filters.stream_ids.1",
     "value is not a valid uuid"),
    (FeedbackRequest, {}, "streams", "field required"),
    (FeedbackRequest, a_report(status="pending"), "streams.0.status",
     "unexpected value; permitted: 'in_progress', 'done', 'failure'"),
    (FeedbackRequest, a_report(video_info={"width": 1, "height": 1, "frame_rate": 1, "bit_rate": 1, "gop_size": 1,
                                           "start_time": "2024-13-01T00:00:00Z"}),
     "streams.0.video_info.start_time", "invalid datetime format"),
    (FeedbackRequest, a_report(video_info={"width": 1, "height": 1, "frame_rate": 1, "bit_rate": 1, "gop_size": 1,
                                           "start_time": "0001-01-01T00:00:00+14:00"}),
     "streams.0.video_info.start_time", "invalid datetime format"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "body", "path", "message"), CASES, ids=[f"{c[0].__name__}-{c[2]}" for c in CASES])
def test_the_first_problem_is_worded_as_documented(model: type[Model], body: object, path: str, message: str) -> None:
    with pytest.raises(BadBody) as refused:
        parse(json.dumps(body).encode(), model)
    assert str(refused.value) == f"Failed to validate input json. Path: '{path}', message: '{message}'"


def test_every_tag_of_a_union_is_known() -> None:
    authorizations = {member.__name__ for member in get_args(RestAuthorization)}
    sources = {
        tag for member in get_args(get_args(SourceV1)[0]) for tag in get_args(member.model_fields["type"].annotation)
    }
    assert UNION_TAGS["authorization"] == authorizations
    assert UNION_TAGS["data"] == sources
    assert UNION_TAGS["event_handler"] == set(get_args(EventHandlerType))


def test_a_long_name_of_a_field_is_cut() -> None:
    with pytest.raises(ValidationError) as refused:
        StreamPatch.from_rest(json.dumps({"x" * 10_000: 1}))
    path, _ = first_problem(refused.value, StreamPatch)
    assert len(path) == 256


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 10_000,
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"status": "\\udc00"}',
        b"\xff\xfe{\0}\0",
        b"{}{}",
        b"'a'",
    ],
)
def test_what_is_not_json_is_told_apart(body: bytes) -> None:
    with pytest.raises(BadJson, match=r"^Failed to validate input json\. Message: "):
        parse(body, StreamPatch)


def test_nul_is_refused_wherever_it_stands() -> None:
    body = v2_body(location={"city": "a\0b"})
    with pytest.raises(BadBody, match=r"Path: 'location\.city', message: 'null characters are not permitted'"):
        parse(json.dumps(body).encode(), StreamToBeCreatedV2)


def test_a_backslash_that_only_looks_like_nul_is_fine() -> None:
    assert parse(b'{"description": "\\\\u0000"}', StreamPatch).description == "\\u0000"


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_a_whole_number_may_be_written_with_a_fraction() -> None:
    body = with_data(rotation=90.0, roi=[1.0, 2, 3, 4], preferred_program_stream_frame_width=640.0)
    parsed = parse(json.dumps(body).encode(), StreamToBeCreatedV2)
    assert parsed.to_submission("secret").spec.data.model_dump(
        include={"rotation", "preferred_program_stream_frame_width"}
    ) == {
        "rotation": 90,
        "preferred_program_stream_frame_width": 640,
    }
    assert parsed.data.roi.to_rest() == {"x": 1, "y": 2, "width": 3, "height": 4, "mode": "abs"}


@pytest.mark.parametrize("value", [1.5, "1", True, None, -0.5])
def test_nothing_else_is_taken_for_a_whole_number(value: object) -> None:
    with pytest.raises(BadBody, match="Path: 'limit'"):
        parse(json.dumps({"filters": {}, "limit": value}).encode(), QueueRequest)


def test_a_worker_may_ask_for_as_many_streams_as_it_can_count() -> None:
    assert parse(b'{"filters": {}, "limit": 18446744073709551615}', QueueRequest).limit == 2**64 - 1


def test_figures_that_are_too_large_are_cut_and_the_report_counts() -> None:
    report = a_report(video_info=VIDEO_INFO | {"bit_rate": 2**40})
    info = parse(json.dumps(report).encode(), FeedbackRequest).streams[0].video_info
    assert info is not None
    assert info.bit_rate == 2**31 - 1
