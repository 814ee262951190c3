"""Events as they are kept and listed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from luna_local.inbox.deliveries import Query


class StoredImage(BaseModel):
    """An image of an event; `file` is its path below the inbox's folder of pictures."""

    model_config = ConfigDict(frozen=True)

    name: str
    file: str
    content_type: str
    width: int
    height: int
    size_bytes: int


class Event(BaseModel):
    """What one delivery left: a line of the index."""

    model_config = ConfigDict(frozen=True)

    event_id: str
    handler_id: str | None
    """None where a webhook was posted to."""
    stream_id: str | None
    track_id: str | None
    request_id: str
    received_at: str
    query: Query
    fields: dict[str, Any]
    images: tuple[StoredImage, ...]

    @property
    def size_bytes(self) -> int:
        """How much its images take."""
        return sum(image.size_bytes for image in self.images)

    def listed(self, pictures_url: str) -> dict[str, Any]:
        """Return the event as `GET /events` lists it.

        Args:
            pictures_url: where the inbox serves its pictures, with a trailing slash.
        """
        images = [
            {
                "name": image.name,
                "url": pictures_url + image.file,
                "content_type": image.content_type,
                "width": image.width,
                "height": image.height,
            }
            for image in self.images
        ]
        return {**self.model_dump(exclude={"images"}), "images": images}
