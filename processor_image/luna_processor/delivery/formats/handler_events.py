"""The classic format: `multipart/form-data`, an image part per shot, what was detected in a part `meta`.

Source: LUNA PLATFORM `POST /handlers/{id}/events`, as FaceStream before 5.1.43 and every other client uses it.
"""

from __future__ import annotations

import json
from typing import Final

from luna_processor.delivery.events import EventRequest, ShotEvent
from luna_processor.delivery.formats.parts import (
    JPEG,
    RAW_IMAGE,
    detection_data,
    filename,
    is_aggregated,
    luna_headers,
    moment,
    source_name,
)

RESOURCE: Final = "events"
"""Of a handler."""


def handler_request(event: ShotEvent, image_origins: tuple[str | None, ...]) -> EventRequest:
    """Return the request for an event; see `request_of`."""
    names = [filename(shot, number) for number, shot in enumerate(event.shots)]
    detections = [
        {"filename": name, **moment(shot), "image_origin": origin, **detection_data(shot)}
        for shot, name, origin in zip(event.shots, names, image_origins, strict=True)
    ]
    return EventRequest(
        url=event.target.url,
        headers=luna_headers(event),
        params=_query(event),
        files=[("image", (name, shot.jpeg, JPEG)) for shot, name in zip(event.shots, names, strict=True)],
        data={"meta": json.dumps({"detections": detections})},
    )


def _query(event: ShotEvent) -> dict[str, str]:
    query = {
        "image_type": str(RAW_IMAGE),
        "aggregate_attributes": str(int(is_aggregated(event))),
        "source": source_name(event),
        "track_id": event.track_id,
        "stream_id": event.stream_id,
    }
    place = event.location.model_dump(mode="json", exclude_none=True)
    position = place.pop("geo_position", {})
    return query | {name: str(value) for name, value in (place | position).items()}
