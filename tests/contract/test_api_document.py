"""The REST models against the API document: every field of every body, with its bounds, choices and default.

Where this project differs on purpose, the difference is named in `OURS`, with the reason.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from luna_streams.credentials import Credentials
from luna_streams.model import INT32_MAX, Model
from luna_streams.rest import v1, v2
from luna_streams.rest.messages import FeedbackRequest, QueueRequest, StreamPatch, StreamsDelete, log_response
from luna_streams.v1alpha1 import LogEntry, Preview, PreviewUrl, StreamGroupSpec, StreamState, VideoInfo
from support.builders import a_record, a_stream
from support.documented_schemas import Schema, component, document, flat, flat_model, json_schema, leaves
from support.strategies import v1_bodies, v2_bodies

BODIES: dict[str, type[Model]] = {
    "stream_to_be_created": v1.StreamToBeCreatedV1,
    "stream_to_be_created_v2": v2.StreamToBeCreatedV2,
    "stream_to_be_patched": StreamPatch,
    "streams_to_be_deleted": StreamsDelete,
    "post_streams_processing_queue_request": QueueRequest,
    "post_streams_processing_feedback_request": FeedbackRequest,
    "create_group": StreamGroupSpec,
}
WORDS = ("type", "enum", "minimum", "maximum", "minLength", "maxLength", "pattern", "minItems", "maxItems", "default")

OURS: dict[tuple[str, str], str] = {
    ("data.analytics", "minItems"): "the document says min_items, which is no keyword, and means this",
    ("data.analytics", "maxItems"): "16 keep a resource small",
    ("data.roi", "default"): "the document says it in words",
    ("data.droi", "default"): "the document says it in words",
    ("data.analytics[].droi", "default"): "the document says it in words",
    ("description", "default"): "in a PATCH: what is not given is not changed",
    ("names[]", "default"): "an item of a list has no default",
    ("filters.names[]", "default"): "an item of a list has no default",
    ("data.mask", "minLength"): "0, as without it",
    ("event_handler.origin", "maxLength"): "1024 keep a resource small",
    ("event_handler.frame_store", "maxLength"): "1024 keep a resource small",
    ("data.analytics[].event_handler.frame_store", "maxLength"): "1024 keep a resource small",
    ("policies.healthcheck.timeout", "nullable"): "null is taken for: not given",
    ("data.analytics[].healthcheck.timeout", "nullable"): "null is taken for: not given",
    ("description", "nullable"): "null is refused by a rule of its own, with the documented words",
    ("status", "nullable"): "null is refused by a rule of its own, with the documented words",
    ("streams[].preview", "nullable"): "null is taken for: not given",
    ("streams[].preview.live", "nullable"): "null is taken for: not given",
    ("streams[].preview.last_frame", "nullable"): "null is taken for: not given",
    ("streams[].preview.live.url", "nullable"): "null is taken for: not given",
    ("streams[].preview.last_frame.url", "nullable"): "null is taken for: not given",
    ("streams[].video_info.duration", "nullable"): "null is taken for: not given",
    ("streams[].video_info.progress", "nullable"): "null is taken for: not given",
    ("group_name", "nullable"): "null is taken for: not given",
    ("group_id", "nullable"): "null is taken for: not given",
    ("event_handler.authorization", "nullable"): "null is taken for: not given",
}
"""Where a body of ours says something else than the document, and why."""


def cases() -> list[object]:
    """Return one case per body."""
    return [pytest.param(name, model, id=name) for name, model in BODIES.items()]


@pytest.mark.parametrize(("name", "model"), cases())
def test_every_documented_field_exists_and_no_other(name: str, model: type[Model]) -> None:
    assert set(leaves(of(model))) == set(leaves(flat(name)))


@pytest.mark.parametrize(("name", "model"), cases())
def test_every_field_is_bounded_as_documented(name: str, model: type[Model]) -> None:
    mine = leaves(of(model))
    differences = [
        f"{path} {word}: documented {told(theirs, word)!r}, ours {told(mine[path], word)!r}"
        for path, theirs in leaves(flat(name)).items()
        for word in (*WORDS, "nullable", "is_required")
        if not is_same(path, word, told(theirs, word), told(mine[path], word))
    ]
    assert differences == []


def test_every_difference_that_is_named_exists() -> None:
    found = set()
    for name, model in BODIES.items():
        mine = leaves(of(model))
        for path, theirs in leaves(flat(name)).items():
            words = (*WORDS, "nullable", "is_required")
            found |= {(path, word) for word in words if told(theirs, word) != told(mine[path], word)}
    assert set(OURS) <= found


def of(model: type[Model]) -> Schema:
    """Return what a model says of the API's spelling."""
    return flat_model(model.model_json_schema(by_alias=False))


def told(schema: Schema, word: str) -> Any:
    """Return what a schema says, in the same words on both sides."""
    if word == "nullable":
        return bool(schema.get("nullable"))
    if word == "enum" and str(schema.get("pattern", "")).startswith("^(pending"):
        return sorted(schema["pattern"][2:-2].split("|"))
    if word == "pattern" and str(schema.get("pattern", "")).startswith("^(pending"):
        return None
    value = schema.get(word)
    if word == "default" and (isinstance(value, dict) or value is None or value == []):
        return value if isinstance(value, dict) and "mode" in value else None
    return sorted(value, key=str) if word == "enum" and value is not None else value


def is_same(path: str, word: str, theirs: Any, ours: Any) -> bool:
    """Tell whether both say the same, or differ as `OURS` says; an integer without bounds has those of 32 bits."""
    if theirs is None and ours in (INT32_MAX, -INT32_MAX - 1):
        return True
    return theirs == ours or (path, word) in OURS


# --- answers --------------------------------------------------------------------------------------------------------

LONGEST_READABLE_DESCRIPTION = 128
"""The document lets a description have 512 characters and forbids itself to show more than these."""


@given(v1_bodies)
@settings(max_examples=30)
def test_an_answer_of_v1_is_one_that_is_documented(body: dict[str, Any]) -> None:
    request = v1.StreamToBeCreatedV1.from_rest(json.dumps(readable(body)))
    submission = request.to_submission("secret")
    stream = a_stream().model_copy(update={"spec": submission.spec})
    answer = v1.stream_response(stream, stream.name, a_record(stream.spec), submission.credentials)
    if answer["event_handler"]["detection_handler"] is None:
        del answer["event_handler"]["detection_handler"]  # null as captured; the document contradicts itself here
    check(answer, "stream_response")


@given(v2_bodies)
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
    entry = LogEntry(
        seq=1, status=StreamState.FAILURE, version=1, log_time=record.status_time, video_info=info, preview=preview
    )
    check({"logs": [log_response(stream.name, one) for one in (entry, *record.history)]}, "streams_logs")


def readable(body: dict[str, Any]) -> dict[str, Any]:
    """Cut a description to what the document lets an answer show."""
    return body | {"description": body.get("description", "")[:LONGEST_READABLE_DESCRIPTION]}


def check(answer: dict[str, Any], name: str) -> None:
    """Validate a body against the document; also, it has no field that is not documented."""
    sent = json.loads(json.dumps(answer))
    schema = json_schema(name)
    jsonschema.Draft202012Validator(schema).validate(sent)
    documented = leaves(flat(name))
    assert [path for path in paths(sent) if path not in documented and not is_free(path)] == []


def paths(value: Any, path: str = "") -> set[str]:
    """Return the path of every field of a body."""
    if isinstance(value, dict):
        here = {f"{path}.{name}" if path else name for name in value}
        return here | {
            deep for name, child in value.items() for deep in paths(child, f"{path}.{name}" if path else name)
        }
    if isinstance(value, list):
        return {deep for child in value for deep in paths(child, f"{path}[]")}
    return set()


def is_free(path: str) -> bool:
    """Tell whether a path ends in a form that the united schema does not list."""
    return path.endswith("[]")


def test_the_document_is_the_one_this_release_speaks() -> None:
    assert document()["info"]["version"] == "v.1.1.18"
    assert component("rotation")["enum"] == [0, 90, 180, 270]
