"""CloudEvents for a webhook: structured JSON, pictures in base64, source frames by reference.

Structured and not binary mode, since one event has several pictures; one event per request and not a batch, since a set
of shots is what is tried again and given up. What the data says of a shot has the names that LUNA uses.

Source: CloudEvents 1.0.2, JSON event format and HTTP protocol binding; HTTP 1.1 Web Hooks for Event Delivery 1.0.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from luna_processor.delivery.events import BestShot, EventRequest, ShotEvent, luna_time
from luna_processor.delivery.formats.parts import JPEG, bearer, detection_data, filename, moment, source_name

EVENT_TYPE: Final = "dev.lunastreams.bestshot.v1"
"""Rises with changes that a reader has to know of; a new field is none."""


def cloud_request(event: ShotEvent, image_origins: tuple[str | None, ...]) -> EventRequest:
    """Return the request for an event; see `request_of`."""
    cloud_event = {
        "specversion": "1.0",
        "id": event.request_id.rpartition(",")[2],
        "source": f"/streams/{event.stream_id}",
        "type": EVENT_TYPE,
        "subject": event.track_id,
        "time": luna_time(event.shots[0].detected_at),
        "datacontenttype": "application/json",
        "streamid": event.stream_id,
        "data": _data(event, image_origins),
    }
    return EventRequest(
        url=event.target.url,
        headers={
            "Content-Type": "application/cloudevents+json",
            "Luna-Request-Id": event.request_id,
            **(bearer(event.target.token) if event.target.token else {}),
        },
        content=json.dumps(cloud_event, ensure_ascii=False).encode(),
    )


def _data(event: ShotEvent, image_origins: tuple[str | None, ...]) -> dict[str, Any]:
    return {
        "stream_id": event.stream_id,
        "track_id": event.track_id,
        "account_id": event.target.account_id,
        "source": source_name(event),
        "location": event.location.model_dump(mode="json", exclude_none=True),
        "shots": [
            _shot(shot, filename(shot, number), origin)
            for number, (shot, origin) in enumerate(zip(event.shots, image_origins, strict=True))
        ],
    }


def _shot(shot: BestShot, name: str, image_origin: str | None) -> dict[str, Any]:
    return {
        "filename": name,
        "content_type": JPEG,
        "image_base64": base64.b64encode(shot.jpeg).decode(),
        **moment(shot),
        "image_origin": image_origin,
        **detection_data(shot),
    }
