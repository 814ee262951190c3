"""Bodies that both versions of the REST API share: queue, feedback, PATCH, bulk DELETE, groups, logs.

Source: LUNA Streams API 1.1.18, components/schemas.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from luna_streams.group import GroupDescription, StreamGroup, StreamGroupSpec
from luna_streams.lifecycle import Report
from luna_streams.model import GroupName, Model, StreamName, Uuid
from luna_streams.policies import Preview, VideoInfo
from luna_streams.stream import StreamState

Limited = Field(default=(), max_length=1000)


class QueueFilters(Model):
    """Which streams a worker asks for: within one list any, between lists all."""

    stream_ids: tuple[Uuid, ...] = Limited
    names: tuple[StreamName, ...] = Limited
    group_ids: tuple[Uuid, ...] = Limited
    group_names: tuple[GroupName, ...] = Limited


class QueueRequest(Model):
    """Body of POST /streams/processing/queue."""

    filters: QueueFilters
    limit: int = Field(ge=1)
    """How many streams the worker takes at most."""


class FeedbackItem(Model):
    """What a worker reports about one stream."""

    stream_id: Uuid
    status: Literal["in_progress", "done", "failure"]
    """How the stream is doing; `done` and `failure` are the last report on it."""
    version: int = Field(ge=1)
    """Of the stream as the worker has it."""
    error: str | None
    """What went wrong last; null if nothing did."""
    video_info: VideoInfo | None
    """What the worker knows of the source; null if nothing yet."""
    preview: Preview | None = None
    """Where pictures of the stream can be fetched."""

    def to_report(self, worker: str, received_until: datetime | None = None) -> Report:
        """Convert to the event of the lifecycle, see `Report`."""
        return Report(
            status=StreamState(self.status),
            version=self.version,
            error=self.error,
            video_info=self.video_info,
            preview=self.preview,
            worker=worker,
            received_until=received_until,
        )

    def to_rest(self) -> dict[str, Any]:
        """Return the body as a worker sends it: optional fields of video_info and preview only where known."""
        body = self.model_dump(mode="json", exclude_none=True)
        return {"error": None, "video_info": None} | body


class FeedbackRequest(Model):
    """Body of POST /streams/processing/feedback."""

    streams: tuple[FeedbackItem, ...]


class FeedbackStream(Model):
    """A stream in the answer to feedback."""

    stream_id: Uuid
    status: str
    version: int


class FeedbackStreams(Model):
    """Streams that are as the worker reported, and streams it has to stop."""

    modified: tuple[FeedbackStream, ...] = ()
    unmodified: tuple[FeedbackStream, ...] = ()


class FeedbackAnswer(Model):
    """Answer to feedback."""

    streams: FeedbackStreams


class StreamPatch(Model):
    """Body of PATCH /streams/{stream_id}."""

    description: Annotated[str, StringConstraints(max_length=128)] | None = None
    """For people."""
    status: Literal["pending", "pause", "cancel"] | None = None
    """What the stream is to do from now on."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise PydanticCustomError("none_not_allowed", "none is not an allowed value", {"field": name})
        if not self.model_fields_set:
            raise PydanticCustomError("nothing_to_update", "at least one field must have a value")
        return self


class StreamsDelete(Model):
    """Body of DELETE /streams: streams with one of the ids or one of the names."""

    stream_ids: Annotated[tuple[Uuid, ...], Field(max_length=1000)] | None = None
    names: Annotated[tuple[StreamName, ...], Field(max_length=1000)] | None = None


class GroupToBeCreated(StreamGroupSpec):
    """Body of POST /groups."""


class GroupPatch(Model):
    """Body of PATCH /groups/{group_id}."""

    description: GroupDescription


class LinkerRequest(Model):
    """Body of PATCH /linker: streams that join a group or leave it."""

    action: Literal["attach", "detach"]
    """Whether the streams join the group or leave it."""
    stream_ids: Annotated[tuple[Uuid, ...], Field(max_length=1000)]
    group_id: Uuid


def group_response(group: StreamGroup) -> dict[str, Any]:
    """Render a group."""
    return {
        "group_id": group.group_id,
        "group_name": group.spec.group_name,
        "account_id": group.spec.account_id,
        "description": group.spec.description,
        "create_time": group.to_rest()["create_time"],
    }
