"""What is delivered: the best shots of a track, and the HTTP request that carries them to LUNA PLATFORM.

Source: LUNA PLATFORM `POST /handlers/{id}/events`; names of the detection's fields as in `stream_events`.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from luna_processor.detections import FloatArray
from luna_processor.headpose import HeadPose
from luna_streams.policies import Location

IMAGE_TYPE_RAW = "0"


@dataclass(frozen=True, slots=True)
class Target:
    """Where the shots of an analytics go."""

    origin: str
    api_version: int
    handler_id: str
    frame_store: str | None
    account_id: str
    token: str | None = field(repr=False)
    """Sent instead of the account where it is set."""

    @property
    def authorization(self) -> dict[str, str]:
        """Headers that authorize a request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {"Luna-Account-Id": self.account_id}


@dataclass(frozen=True, slots=True)
class FaceData:
    """A face in a frame."""

    box_xyxy: FloatArray
    """In pixels of the source frame."""
    score: float
    pose: HeadPose


@dataclass(frozen=True, slots=True)
class BodyData:
    """A body in a frame."""

    box_xyxy: FloatArray
    """In pixels of the source frame."""
    score: float


@dataclass(frozen=True, slots=True)
class BestShot:
    """A face, a body, or both of one person in one frame, ready to be sent."""

    jpeg: bytes = field(repr=False)
    """What is seen of them, upright."""
    frame_jpeg: bytes | None = field(repr=False)
    """The source frame, where a frame store is to have it."""
    face: FaceData | None
    body: BodyData | None
    detected_at: datetime
    pts_s: float | None
    """Seconds since the start of a file; None for a live source."""

    @property
    def kind(self) -> str:
        """What it shows, in one word."""
        if self.face is None:
            return "body"
        return "face" if self.body is None else "human"


@dataclass(frozen=True, slots=True)
class ShotEvent:
    """The best shots of a track or of a period of it, best first; one request."""

    stream_id: str
    version: int
    """Of the stream, as the worker took it."""
    source: str
    """Name of the stream."""
    location: Location
    track_id: str
    target: Target
    shots: tuple[BestShot, ...]
    request_id: str
    """Made once, so that the platform recognizes a repetition."""


@dataclass(frozen=True, slots=True)
class EventRequest:
    """A request in the parts an HTTP client takes."""

    url: str
    params: dict[str, str]
    headers: dict[str, str]
    files: list[tuple[str, tuple[str, bytes, str]]]
    data: dict[str, str]


def new_request_id(now: datetime) -> str:
    """Return a Luna-Request-Id: seconds since 1970 and a random UUID."""
    return f"{int(now.timestamp())},{uuid.uuid4()}"


def luna_time(moment: datetime) -> str:
    """Return a time as LUNA writes it: RFC 3339, UTC, microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def event_request(event: ShotEvent, image_origins: tuple[str | None, ...]) -> EventRequest:
    """Return the request for an event.

    Args:
        event: what is sent.
        image_origins: where the source frame of each shot was stored, None where it was not.
    """
    target = event.target
    names = [f"{shot.kind}_{number}.jpg" for number, shot in enumerate(event.shots)]
    detections = [
        _detection(shot, name, origin) for shot, name, origin in zip(event.shots, names, image_origins, strict=True)
    ]
    return EventRequest(
        url=f"{target.origin.rstrip('/')}/{target.api_version}/handlers/{target.handler_id}/events",
        params=_query(event),
        headers={
            "Luna-Request-Id": event.request_id,
            "Luna-Event-Time": luna_time(event.shots[0].detected_at),
            **target.authorization,
        },
        files=[("image", (name, shot.jpeg, "image/jpeg")) for shot, name in zip(event.shots, names, strict=True)],
        data={"meta": json.dumps({"detections": detections})},
    )


def _query(event: ShotEvent) -> dict[str, str]:
    query = {
        "image_type": IMAGE_TYPE_RAW,
        "aggregate_attributes": "1" if len(event.shots) > 1 else "0",
        "source": event.source,
        "track_id": event.track_id,
        "stream_id": event.stream_id,
    }
    place = event.location.model_dump(mode="json", exclude_none=True)
    position = place.pop("geo_position", {})
    return query | {name: str(value) for name, value in (place | position).items()}


def _detection(shot: BestShot, filename: str, image_origin: str | None) -> dict[str, Any]:
    detection: dict[str, Any] = {
        "filename": filename,
        "detect_time": luna_time(shot.detected_at),
        "detect_ts": None if shot.pts_s is None else round(shot.pts_s, 3),
        "image_origin": image_origin,
    }
    if face := shot.face:
        pose = face.pose
        angles = {"yaw": round(pose.yaw, 1), "pitch": round(pose.pitch, 1), "roll": round(pose.roll, 1)}
        detection["face_detection_data"] = [_box(face.box_xyxy, face.score) | {"angles": angles}]
    if body := shot.body:
        detection["body_detection_data"] = [_box(body.box_xyxy, body.score)]
    return detection


def _box(box_xyxy: FloatArray, score: float) -> dict[str, Any]:
    left, top, right, bottom = (round(float(side)) for side in box_xyxy)
    return {
        "bounding_box": {"x": left, "y": top, "width": right - left, "height": bottom - top},
        "score": round(score, 4),
    }
