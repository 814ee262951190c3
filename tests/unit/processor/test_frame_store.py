"""What is posted to a frame store, who is shown the token, and where a frame is then."""

from __future__ import annotations

from typing import Any

import pytest

from luna_processor.delivery.events import EventFormat
from luna_processor.delivery.frame_store import frame_request, image_origin
from support.processor_builders import a_target, an_event

LUNA_IMAGES = "http://luna:5000/6/images"
BUCKET = "http://store:5020/1/buckets/frames/images"
ACCOUNT = {"Luna-Account-Id": "acc"}
TOKEN = {"Authorization": "Bearer jwt"}


@pytest.mark.parametrize(
    ("event_format", "store", "token", "shown"),
    [
        pytest.param("events", LUNA_IMAGES, "jwt", TOKEN, id="luna-takes-its-token"),
        pytest.param("events", LUNA_IMAGES, None, ACCOUNT, id="luna-takes-the-account"),
        pytest.param("events", "http://proxy/lp/6/images", "jwt", TOKEN, id="luna-behind-a-path"),
        pytest.param("events", BUCKET, "jwt", ACCOUNT, id="image-store-knows-no-token"),
        pytest.param("events", "http://store/1/buckets/6/images", "jwt", ACCOUNT, id="a-bucket-named-by-a-number"),
        pytest.param("stream_events", BUCKET, "jwt", ACCOUNT, id="image-store-beside-stream-events"),
        pytest.param("cloudevents", LUNA_IMAGES, "jwt", ACCOUNT, id="the-token-of-a-webhook-is-not-lunas"),
        pytest.param("cloudevents", BUCKET, "jwt", ACCOUNT, id="nor-image-stores"),
    ],
)
def test_a_frame_is_posted_with_the_account_or_with_a_token_for_luna(
    event_format: EventFormat, store: str, token: str | None, shown: dict[str, str]
) -> None:
    target = a_target(format=event_format, frame_store=store, account_id="acc", token=token)
    event = an_event(target=target)
    request = frame_request(event, b"frame")
    assert request is not None
    assert (request.url, request.content) == (store, b"frame")
    assert request.headers == {"Content-Type": "image/jpeg", "Luna-Request-Id": event.request_id, **shown}


@pytest.mark.parametrize(
    ("event_format", "store"),
    [
        pytest.param("events", None, id="no-store"),
        pytest.param("stream_events", LUNA_IMAGES, id="it-rides-in-the-request"),
        pytest.param("stream_events_6_18", LUNA_IMAGES, id="before-6.27-too"),
    ],
)
def test_a_frame_that_nobody_waits_for_is_not_posted(event_format: EventFormat, store: str | None) -> None:
    assert frame_request(an_event(target=a_target(format=event_format, frame_store=store)), b"frame") is None


@pytest.mark.parametrize(
    ("store", "answer", "origin"),
    [
        (BUCKET, {"image_id": "4f", "url": "/1/buckets/frames/images/4f"}, f"{BUCKET}/4f"),
        (BUCKET, {"url": "http://other/4f"}, "http://other/4f"),
        (LUNA_IMAGES, {"image_id": "4f", "url": "/6/images/4f"}, f"{LUNA_IMAGES}/4f"),
        (BUCKET, {"image_id": "4f"}, f"{BUCKET}/4f"),
        (f"{LUNA_IMAGES}/", {"image_id": "4f", "url": ""}, f"{LUNA_IMAGES}/4f"),
    ],
    ids=["relative", "absolute", "lunas", "id-alone", "empty-url"],
)
def test_the_answer_says_where_the_frame_is(store: str, answer: object, origin: str) -> None:
    assert image_origin(store, answer) == origin


@pytest.mark.parametrize("answer", [None, [], "4f", {}, {"url": 5}, {"image_id": None}])
def test_an_answer_that_does_not_say_is_an_error(answer: Any) -> None:
    with pytest.raises(ValueError, match="neither url nor image_id"):
        image_origin(BUCKET, answer)
