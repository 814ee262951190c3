"""REST v1 and v2 to the resource and back: nothing is lost, no credential is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from pydantic import ValidationError

from luna_streams.credentials import Credentials, resolve, secret_lookup
from luna_streams.rest import v1, v2
from luna_streams.rest.submission import Submission
from luna_streams.v1alpha1 import Authorization, EventHandler, SecretKeyRef, Stream, StreamSpec
from support.builders import ACCOUNT, HANDLER, NOW, a_record, a_stream, an_analytics, some_data, v1_body, v2_body
from support.strategies import v1_bodies, v2_bodies

STREAM_ID = "0193e0d5-5f6a-7c3e-8a5b-2f6d0c1b4a39"
NOT_IN_ANSWERS = ("group_name", "group_id", "status")
"""Fields of a request that say where to go, not what the stream is."""
LOST_IN_V2 = ("origin", "api_version", "detection_handler_id")
"""Fields of a handler that REST v2 has no word for."""


@given(v1_bodies)
def test_v1_to_resource_to_v1_loses_nothing(body: dict[str, Any]) -> None:
    submission = v1.StreamToBeCreatedV1.from_rest(json.dumps(body)).to_submission("secret")
    answer = answer_v1(stored(submission), submission.credentials)
    assert_holds(answer, body)


@given(v2_bodies)
def test_v2_to_resource_to_v2_loses_nothing(body: dict[str, Any]) -> None:
    submission = v2.StreamToBeCreatedV2.from_rest(json.dumps(body)).to_submission("secret")
    answer = answer_v2(stored(submission), submission.credentials)
    assert_holds(answer, body)


@given(v1_bodies)
def test_a_worker_of_v1_reads_from_the_queue_what_the_client_submitted(body: dict[str, Any]) -> None:
    submission = v1.StreamToBeCreatedV1.from_rest(json.dumps(body)).to_submission("queue")
    answer = answer_v1(stored(submission), submission.credentials)
    queued = v1.queued_stream(json.loads(json.dumps(answer)))
    assert (queued.stream_id, queued.version) == (STREAM_ID, 1)
    assert as_queued(queued.submission) == as_queued(submission)
    assert queued.submission.reference == body["data"]["reference"]


@given(v2_bodies)
def test_a_worker_of_v2_reads_from_the_queue_what_the_client_submitted(body: dict[str, Any]) -> None:
    submission = v2.StreamToBeCreatedV2.from_rest(json.dumps(body)).to_submission("queue")
    answer = answer_v2(stored(submission), submission.credentials)
    queued = v2.queued_stream(json.loads(json.dumps(answer)))
    assert (queued.stream_id, queued.version) == (STREAM_ID, 1)
    assert as_queued(queued.submission) == as_queued(submission)
    assert queued.submission.reference == body["data"]["reference"]


@given(v1_bodies)
def test_a_v1_stream_read_through_v2_loses_only_what_v2_has_no_word_for(body: dict[str, Any]) -> None:
    submission = v1.StreamToBeCreatedV1.from_rest(json.dumps(body)).to_submission("queue")
    answer = answer_v2(stored(submission), submission.credentials)
    through_v2 = v2.queued_stream(json.loads(json.dumps(answer))).submission
    assert without(as_queued(through_v2), LOST_IN_V2) == without(as_queued(submission), LOST_IN_V2)


@given(v2_bodies)
def test_a_v2_stream_read_through_v1_shows_its_first_enabled_analytics(body: dict[str, Any]) -> None:
    submission = v2.StreamToBeCreatedV2.from_rest(json.dumps(body)).to_submission("secret")
    answer = answer_v1(stored(submission), submission.credentials)
    shown = next(
        (item for item in body["data"]["analytics"] if item.get("enabled", True)), body["data"]["analytics"][0]
    )
    assert_holds(answer, {"data": {name: body["data"][name] for name in ("type", "reference")}})
    handler = shown["event_handler"]
    assert answer["event_handler"].get("authorization") == handler.get("authorization")
    assert answer["event_handler"].get("bestshot_handler", {}).get("handler_id") == handler.get("handler_id")
    assert answer["event_handler"].get("url") == handler.get("url")
    assert_holds(answer["policies"]["healthcheck"], shown.get("healthcheck", {}))
    assert_holds(answer["policies"]["primary_track_policy"], shown.get("primary_track_policy", {}))


def test_v1_shows_the_thresholds_of_bodies_for_a_stream_that_looks_for_bodies() -> None:
    wanted = {"filtering": {"min_score_body": 0.75}, "sending": {"bestshot_settings": {"body_bestshots_to_send": 4}}}
    answer = answer_v1(a_stream(data=some_data(analytics=(an_analytics(mode=2, **wanted),))), Credentials())
    assert answer["policies"]["filtering"]["min_score"] == 0.75
    assert answer["policies"]["sending"]["number_of_bestshots_to_send"] == 4


def test_a_stream_that_was_declared_as_a_manifest_is_shown_through_v1_without_an_origin() -> None:
    answer = answer_v1(a_stream(), Credentials())
    assert answer["event_handler"] == {
        "bestshot_handler": {"handler_id": HANDLER},
        "detection_handler": None,
        "frame_store": None,
        "authorization": {"account_id": ACCOUNT},
    }


@pytest.mark.parametrize("token", [None, "jwt"], ids=["open", "by-token"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_webhook_that_was_declared_as_a_manifest_is_shown_as_what_it_is(version: int, token: str | None) -> None:
    reference = SecretKeyRef(name="hook", key="token")
    handler = EventHandler(
        type="cloudevents",
        url="https://hook/events",
        authorization=None if token is None else Authorization(token_from=reference),
    )
    stream = a_stream(data=some_data(analytics=(an_analytics(event_handler=handler),)))
    credentials = resolve(stream.spec.data, {reference: token}.get)
    if version == 1:
        shown = answer_v1(stream, credentials)["event_handler"]
    else:
        shown = answer_v2(stream, credentials)["data"]["analytics"][0]["event_handler"]
    assert shown == {
        "type": "cloudevents",
        "url": "https://hook/events",
        "frame_store": None,
        "authorization": None if token is None else {"token": token},
    }


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param({}, "handlerId is required for type luna_handler", id="nothing"),
        pytest.param({"handler_id": HANDLER, "url": "http://hook"}, "url is not permitted", id="url-of-a-handler"),
        pytest.param({"type": "cloudevents"}, "url is required for type cloudevents", id="webhook-without-url"),
        pytest.param(
            {"type": "cloudevents", "url": "http://hook", "handler_id": HANDLER}, "handlerId", id="handler-of-a-webhook"
        ),
        pytest.param({"type": "cloudevents", "url": "http://hook", "api_version": 6}, "apiVersion", id="api-version"),
        pytest.param(
            {"type": "cloudevents", "url": "http://hook", "authorization": {"accountId": ACCOUNT}},
            "a webhook is authorized by tokenFrom",
            id="account",
        ),
        pytest.param({"type": "cloudevents", "url": "ftp://hook"}, "should match", id="no-http"),
        pytest.param({"type": "cloudevents", "url": "http://a:b@hook"}, "must not contain user", id="password"),
    ],
)
def test_an_event_handler_has_the_fields_of_its_type(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        EventHandler(**fields)


def test_an_answer_fills_in_the_defaults_as_the_original_does() -> None:
    submission = v1.StreamToBeCreatedV1.from_rest(json.dumps(v1_body())).to_submission("secret")
    answer = answer_v1(stored(submission), submission.credentials)
    region = {"x": 0, "y": 0, "width": 0, "height": 0, "mode": "abs"}
    assert (answer["data"]["roi"], answer["data"]["droi"]) == (region, region)
    assert answer["location"] == dict.fromkeys(("city", "area", "district", "street", "house_number", "geo_position"))
    assert answer["event_handler"]["authorization"] == {"account_id": ACCOUNT}
    assert "timeout" not in answer["policies"]["healthcheck"]
    assert answer["policies"]["liveness"]["livenesses_weights"] == [0.0, 0.0, 0.0]
    assert (answer["groups"], answer["last_error"], answer["video_info"], answer["preview"]) == ([], None, None, None)
    assert answer["create_time"] == "2026-01-31T12:00:00Z"


@pytest.mark.parametrize(
    ("region", "shown"),
    [
        pytest.param([1, 2, 3, 4], {"x": 1, "y": 2, "width": 3, "height": 4, "mode": "abs"}, id="array-is-pixels"),
        pytest.param(
            {"x": 1, "y": 2, "width": 3, "height": 4},
            {"x": 1, "y": 2, "width": 3, "height": 4, "mode": "abs"},
            id="whole-numbers-without-mode-are-pixels",
        ),
        pytest.param(
            {"x": 0.5, "y": 2, "width": 3, "height": 4},
            {"x": 0.5, "y": 2.0, "width": 3.0, "height": 4.0, "mode": "percent"},
            id="fractions-without-mode-are-percent",
        ),
        pytest.param(
            {"x": 1, "y": 2, "width": 3, "height": 4, "mode": "percent"},
            {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "mode": "percent"},
            id="percent-may-be-whole",
        ),
    ],
)
def test_every_form_of_a_region_is_understood(region: object, shown: dict[str, Any]) -> None:
    body = v1_body(data={"type": "tcp", "reference": "rtsp://x", "roi": region, "droi": region})
    submission = v1.StreamToBeCreatedV1.from_rest(json.dumps(body)).to_submission("secret")
    answer = answer_v1(stored(submission), submission.credentials)
    assert (answer["data"]["roi"], answer["data"]["droi"]) == (shown, shown)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        pytest.param([1, 2, 3], "at least 4 items", id="three-numbers"),
        pytest.param([1, 2, 3, 4, 5], "at most 4 items", id="five-numbers"),
        pytest.param([1, 2, 3, 4.5], "valid integer", id="fraction-in-an-array"),
        pytest.param(7, "object", id="not-a-region"),
        pytest.param({"x": 0, "y": 0, "width": 1, "height": 1, "mode": "px"}, "'abs', 'percent'", id="unknown-mode"),
        pytest.param({"x": 0, "y": 0, "width": 1, "height": 1, "mode": 1}, "'abs', 'percent'", id="mode-not-a-text"),
        pytest.param({"x": 0, "y": 0, "width": 65537, "height": 1}, "65536", id="too-wide"),
        pytest.param({"x": 0, "y": 0, "width": 0, "height": 1, "mode": "percent"}, "0.00001", id="empty-percent"),
        pytest.param({"x": 0, "y": 0, "width": 101, "height": 1, "mode": "percent"}, "100", id="more-than-all"),
        pytest.param({"x": 0, "y": 0, "width": 5}, "required", id="incomplete"),
    ],
)
def test_a_region_that_makes_no_sense_is_refused(region: object, message: str) -> None:
    body = v2_body()
    body["data"]["roi"] = region
    with pytest.raises(ValidationError, match=message):
        v2.StreamToBeCreatedV2.from_rest(json.dumps(body))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"data": {"type": "images", "reference": "/x"}}, "mask", id="images-without-mask"),
        pytest.param({"data": {"type": "tcp", "reference": "rtsp://x", "mask": "a"}}, "mask", id="mask-for-tcp"),
        pytest.param({"data": {"type": "videofile", "reference": "x", "endless": True}}, "endless", id="endless-file"),
        pytest.param({"data": {"type": "tcp", "reference": "concat:a|b"}}, "unknown scheme", id="concat"),
        pytest.param({"data": {"type": "tcp"}}, "reference", id="no-reference"),
        pytest.param({"status": "cancel"}, "pending", id="created-as-cancelled"),
        pytest.param({"account_id": ACCOUNT.upper()}, "pattern", id="upper-case-uuid"),
        pytest.param({"autorestart": {"restart": True}}, "integer", id="boolean-for-a-number"),
        pytest.param({"autorestart": {"delay": "60"}}, "integer", id="text-for-a-number"),
        pytest.param({"user_data": 1}, "Extra", id="unknown-field"),
        pytest.param({"accountId": ACCOUNT}, "Extra", id="spelling-of-the-resource"),
    ],
)
def test_what_the_document_does_not_allow_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        v1.StreamToBeCreatedV1.from_rest(json.dumps(v1_body(**change)))


@pytest.mark.parametrize(
    ("authorization", "is_allowed"),
    [
        pytest.param({"token": "t"}, True, id="token"),
        pytest.param({"account_id": ACCOUNT}, True, id="account"),
        pytest.param({"token": "t", "account_id": ACCOUNT}, False, id="both"),
        pytest.param({}, False, id="none"),
    ],
)
def test_authorization_is_a_token_or_an_account(authorization: dict[str, str], is_allowed: bool) -> None:
    body = v2_body()
    body["data"]["analytics"][0]["event_handler"]["authorization"] = authorization
    if is_allowed:
        v2.StreamToBeCreatedV2.from_rest(json.dumps(body))
    else:
        with pytest.raises(ValidationError):
            v2.StreamToBeCreatedV2.from_rest(json.dumps(body))


def test_a_peer_may_send_fields_that_this_release_does_not_know() -> None:
    body = v2_body(stream_id=STREAM_ID, version=7, status="in_progress", new_field={"a": 1})
    body["data"]["analytics"][0]["brand_new"] = True
    queued = v2.queued_stream(body)
    assert (queued.stream_id, queued.version, queued.submission.spec.account_id) == (STREAM_ID, 7, ACCOUNT)


def test_a_name_is_the_same_in_both_versions_and_in_the_resource() -> None:
    submission = v2.StreamToBeCreatedV2.from_rest(json.dumps(v2_body(name="door", status="pause"))).to_submission("s")
    resource = submission.spec.to_resource()
    assert (resource["displayName"], resource["desiredStatus"]) == ("door", "pause")


def test_the_token_of_each_analytics_stays_with_it() -> None:
    refs = [SecretKeyRef(name="mine", key="a"), None, SecretKeyRef(name="mine", key="b")]
    analytics = tuple(
        an_analytics(
            event_handler=EventHandler(handler_id=HANDLER, authorization=ref and Authorization(token_from=ref))
        )
        for ref in refs
    )
    stream = a_stream(data=some_data(analytics=analytics))
    credentials = resolve(stream.spec.data, secret_lookup({"mine": {"a": "A", "b": "B"}}))
    shown = [item["event_handler"]["authorization"] for item in answer_v2(stream, credentials)["data"]["analytics"]]
    assert shown == [{"token": "A"}, {"account_id": ACCOUNT}, {"token": "B"}]


# --- steps of the round trip ----------------------------------------------------------------------------------------


def stored(submission: Submission) -> Stream:
    """Send a spec through the Kubernetes API: JSON there and back."""
    resource = json.loads(json.dumps(submission.spec.to_resource()))
    stream = a_stream(STREAM_ID).model_copy(update={"spec": StreamSpec.from_resource(resource)})
    assert stream.spec == submission.spec
    secret = submission.credentials.secret_data()
    assert resolve(stream.spec.data, secret_lookup({"secret": secret, "queue": secret})) == submission.credentials
    return stream


def answer_v1(stream: Stream, credentials: Credentials) -> dict[str, Any]:
    """Render a stream through version 1."""
    return v1.stream_response(stream, STREAM_ID, a_record(stream.spec, now=NOW), credentials)


def answer_v2(stream: Stream, credentials: Credentials) -> dict[str, Any]:
    """Render a stream through version 2."""
    return v2.stream_response(stream, STREAM_ID, a_record(stream.spec, now=NOW), credentials)


def assert_holds(answer: Any, body: Any, path: str = "") -> None:
    """Assert that everything a client sent stands in an answer, in the object form of regions."""
    if isinstance(body, dict):
        for name, value in body.items():
            if path or name not in NOT_IN_ANSWERS:
                assert name in answer or value is None, f"{path}.{name} is missing"
                assert_holds(answer.get(name), value, f"{path}.{name}")
    elif path.endswith("roi") and isinstance(body, list):
        assert answer == dict(zip(("x", "y", "width", "height"), body, strict=True), mode="abs"), path
    elif isinstance(body, list):
        assert len(answer) == len(body), path
        for index, value in enumerate(body):
            assert_holds(answer[index], value, f"{path}.{index}")
    else:
        assert answer == body, path
        assert type(answer) is type(body) or isinstance(answer, float), path


def as_queued(submission: Submission) -> dict[str, Any]:
    """Return what a worker acts upon, as plain values; an account that stands for itself is written out."""
    spec = submission.spec.to_resource()
    for analytics in spec["data"]["analytics"]:
        analytics["eventHandler"].setdefault("authorization", {"accountId": submission.spec.account_id})
    del spec["desiredStatus"]
    return {"spec": spec, "secret": submission.credentials.secret_data()}


def without(value: dict[str, Any], handler_fields: tuple[str, ...]) -> dict[str, Any]:
    """Leave out what v2 cannot say: fields of the handler and the deprecated liveness of shoulders."""
    aliases = {EventHandler.model_fields[name].alias for name in handler_fields}
    for analytics in value["spec"]["data"]["analytics"]:
        for alias in aliases:
            analytics["eventHandler"].pop(alias, None)
        analytics["liveness"] = {
            name: weight for name, weight in analytics["liveness"].items() if not name.lower().count("shoulders")
        }
    return value
