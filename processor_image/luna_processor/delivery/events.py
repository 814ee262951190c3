"""What is delivered: the best shots of a track, where they go, and the parts of the request that carries them.

How a request is written is the business of `requests` and of the formats it chooses from.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

from luna_processor.vision.detections import FloatArray
from luna_processor.vision.headpose import HeadPose
from luna_streams.policies import Location
from luna_streams.pool import HandlerFormat

EventFormat = HandlerFormat | Literal["cloudevents"]
"""How an event is written: as one of the two resources of LUNA PLATFORM's handlers takes it (the second one renamed
some fields in API 6.27), or as a CloudEvent for a webhook."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the shots of an analytics go."""

    format: EventFormat
    url: str
    """What events are posted to: the resource of a handler, or a webhook."""
    frame_store: str | None
    """What source frames are posted to."""
    account_id: str
    token: str | None = field(repr=False)
    """Sent where the events go; for LUNA PLATFORM instead of the account."""

    @property
    def origin(self) -> str:
        """Scheme and host of what events are posted to."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"


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
    """A POST in the parts an HTTP client takes: a body with its type among the headers, or the parts of a form."""

    url: str
    headers: dict[str, str]
    params: dict[str, str] = field(default_factory=dict)
    content: bytes | None = field(default=None, repr=False)
    files: list[tuple[str, tuple[str, bytes, str]]] = field(default_factory=list, repr=False)
    data: dict[str, str] = field(default_factory=dict)


def new_request_id(now: datetime) -> str:
    """Return a Luna-Request-Id: seconds since 1970 and a random UUID."""
    return f"{int(now.timestamp())},{uuid.uuid4()}"


def luna_time(moment: datetime) -> str:
    """Return a time as LUNA writes it: RFC 3339, UTC, microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
