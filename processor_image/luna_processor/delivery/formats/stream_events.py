"""FaceStream's newer format: msgpack, an entry of `sources` per shot, a face and its body in one.

Where the frame store is LUNA's own `/images`, nothing is posted there: the source frame takes the place of the cut-out,
and the handler's `image_origin_policy` stores it.

Source: LUNA PLATFORM `POST /handlers/{id}/stream_events` (API 6.18, 6.27), FaceStream 5.1.27, 5.1.43, 5.1.49, 5.95.0.
What `source_data` holds and which level it stands at: names in LUNA's lambda tools; not tried against a LUNA PLATFORM.
"""

from __future__ import annotations

from typing import Any, Final

import ormsgpack

from luna_processor.delivery.events import BestShot, EventRequest, ShotEvent, luna_time
from luna_processor.delivery.formats.parts import (
    RAW_IMAGE,
    detection_data,
    filename,
    is_aggregated,
    luna_headers,
    moment,
    source_name,
)
from luna_processor.delivery.frame_store import attaches_frames

RESOURCE: Final = "stream_events"
"""Of a handler."""
_NAMES_BEFORE_6_27: Final = {
    "face_detection_data": "face_bounding_boxes",
    "body_detection_data": "body_bounding_boxes",
}


def stream_request(event: ShotEvent, image_origins: tuple[str | None, ...]) -> EventRequest:
    """Return the request for an event; see `request_of`."""
    return EventRequest(
        url=event.target.url,
        headers={"Content-Type": "application/msgpack", **luna_headers(event)},
        content=ormsgpack.packb({"events": [_event(event, image_origins)]}),
    )


def _event(event: ShotEvent, image_origins: tuple[str | None, ...]) -> dict[str, Any]:
    source_data: dict[str, Any] = {
        "source": source_name(event),
        "stream_id": event.stream_id,
        "track_id": event.track_id,
        "event_time": luna_time(event.shots[0].detected_at),
    }
    if location := event.location.model_dump(mode="json", exclude_none=True):
        source_data["location"] = location
    sources = [
        _source(event, shot, filename(shot, number), origin)
        for number, (shot, origin) in enumerate(zip(event.shots, image_origins, strict=True))
    ]
    if not is_aggregated(event):
        # An event of its own is made of each source then, and it is the source that says whose.
        sources = [source | {"source_data": source_data} for source in sources]
    return {
        "aggregate_attributes": int(is_aggregated(event)),
        "source_data": source_data,
        "sources": sources,
    }


def _source(event: ShotEvent, shot: BestShot, name: str, image_origin: str | None) -> dict[str, Any]:
    frame = shot.frame_jpeg if attaches_frames(event.target) else None
    source = {
        "filename": name,
        "source_type": RAW_IMAGE,
        "body": shot.jpeg if frame is None else frame,
        **moment(shot),
        "image_origin": image_origin,
        **_detections(event, shot),
    }
    return {field: value for field, value in source.items() if value is not None}


def _detections(event: ShotEvent, shot: BestShot) -> dict[str, list[dict[str, Any]]]:
    data = detection_data(shot)
    if event.target.format != "stream_events_6_18":
        return data
    return {_NAMES_BEFORE_6_27[field]: [item["bounding_box"] for item in items] for field, items in data.items()}
