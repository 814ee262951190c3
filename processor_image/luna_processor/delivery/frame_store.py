"""Source frames: what is posted to a frame store, and where the frame is then.

A frame store is a bucket of LUNA Image Store (`…/1/buckets/{bucket}/images`) or the resource `/images` of LUNA
PLATFORM's API (`…/6/images`).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final
from urllib.parse import urljoin, urlsplit

from luna_processor.delivery.events import EventRequest, ShotEvent, Target
from luna_processor.delivery.formats.parts import JPEG, luna_authorization

_LUNA_IMAGES: Final = re.compile(r"(?!.*/buckets/).*/\d+/images/?")
_STREAM_EVENTS: Final = ("stream_events", "stream_events_6_18")


def attaches_frames(target: Target) -> bool:
    """Return whether source frames travel inside the events, for the handler to store, and are not posted apart."""
    return target.format in _STREAM_EVENTS and target.frame_store is not None and _is_luna_api(target.frame_store)


def frame_request(event: ShotEvent, frame_jpeg: bytes) -> EventRequest | None:
    """Return the request that stores a source frame; None where none is to be posted."""
    target = event.target
    store = target.frame_store
    if store is None or attaches_frames(target):
        return None
    # Image Store asks for no token and keeps the account beside the frame; a webhook's token is not for LUNA to see.
    shows_token = target.format != "cloudevents" and _is_luna_api(store)
    authorization = luna_authorization(target if shows_token else replace(target, token=None))
    return EventRequest(
        url=store,
        headers={"Content-Type": JPEG, "Luna-Request-Id": event.request_id, **authorization},
        content=frame_jpeg,
    )


def image_origin(store: str, answer: object) -> str:
    """Return the address of a frame that was stored.

    Args:
        store: that it was posted to.
        answer: JSON: `url`, absolute or relative to the store, or `image_id` alone.

    Raises:
        ValueError: if the answer tells neither.
    """
    found = answer if isinstance(answer, dict) else {}
    if isinstance(url := found.get("url"), str) and url:
        return urljoin(store, url)
    if isinstance(image_id := found.get("image_id"), str) and image_id:
        return f"{store.rstrip('/')}/{image_id}"
    raise ValueError("the answer says neither url nor image_id")


def _is_luna_api(store: str) -> bool:
    return _LUNA_IMAGES.fullmatch(urlsplit(store).path) is not None
