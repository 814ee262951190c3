"""Models of what operations answer. They describe; the answers themselves are rendered by `luna_streams.rest`.

Tests hold every answer of a running shim against them. All fields stand in an answer unless `OPTIONAL` names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, RootModel, StringConstraints

from luna_streams.model import GroupName, Model, StreamName, Time, Uuid
from luna_streams.policies import AutorestartPolicy, Location, Preview, VideoInfo
from luna_streams.rest.v1 import EventHandlerV1, HandlerV1, PoliciesV1, SourceV1
from luna_streams.rest.v2 import SourceV2
from luna_streams.stream import LoggedState, ReadableState, StreamState

Count = Annotated[int, Field(ge=0)]
StreamVersion = Annotated[int, Field(ge=1)]

OPTIONAL: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "RoiAbs": frozenset({"mode"}),
        "RoiPercent": frozenset({"mode"}),
        "Healthcheck": frozenset({"timeout"}),
        "VideoInfo": frozenset({"duration", "progress"}),
        "Preview": frozenset({"live", "last_frame"}),
        "PreviewUrl": frozenset({"url"}),
        "FilteringV1": frozenset({"min_body_size_threshold"}),
        "Filtering": frozenset({"min_body_size_threshold"}),
        "Sending": frozenset({"full_frame_settings"}),
        "EventHandlerV1": frozenset(EventHandlerV1.model_fields),
        "LogRecord": frozenset({"stream_id", "status", "error", "video_info", "log_time", "version", "preview"}),
    }
)
"""Fields that an answer may lack, by model; some are always there and yet not promised, as in the original."""

LEFT_OUT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "Healthcheck": frozenset({"timeout"}),
        "VideoInfo": frozenset({"duration", "progress"}),
        "Preview": frozenset({"live", "last_frame"}),
        "PreviewUrl": frozenset({"url"}),
        "EventHandlerV1": frozenset({"authorization"}),
    }
)
"""Fields that are left out where there is no value; they are never null."""


class Error(Model):
    """What went wrong."""

    error_code: int
    """Code of the error, for programs."""
    desc: str
    """What kind of error it is."""
    detail: str
    """What was wrong this time."""
    link: str
    """Page that explains the code."""


# --- streams ----------------------------------------------------------------------------------------------------------


class CreatedStream(Model):
    """A stream that was created."""

    stream_id: Uuid
    version: Literal[1]
    """1, as of every new stream."""


class ReplacedStream(Model):
    """A stream that was replaced."""

    stream_id: Uuid
    version: StreamVersion
    """One more than before."""


class AutorestartState(AutorestartPolicy):
    """Whether a failed stream is started again by itself, and how far that went."""

    current_attempt: Count | None
    """Attempts since the stream last worked."""
    last_attempt_time: Time | None
    """When it was last started again."""
    status: Literal["disabled", "enabled", "in_progress", "failed", "denied"]
    """`in_progress`: an attempt is being judged; `failed`: all attempts are used up; `denied`: the error is one that
    no restart mends, so far only a refused authorization at LUNA PLATFORM."""


class _Stream(Model):
    stream_id: Uuid
    account_id: Uuid
    """Account the stream belongs to; its events are sent in its name."""
    name: StreamName = ""
    description: Annotated[str, StringConstraints(max_length=512)] = ""
    location: Location
    autorestart: AutorestartState
    version: StreamVersion
    """Grows by one each time the stream is replaced."""
    create_time: Time
    status: ReadableState
    last_error: str | None
    """Why the stream failed, waits or was given up last; null while all is well."""
    video_info: VideoInfo | None
    """What the worker found out about the source; null until it has."""
    groups: tuple[GroupName, ...]
    """Names of the groups the stream is in."""
    preview: Preview | None
    """Where the worker offers pictures of the stream; null until it has told."""


class StreamV1(_Stream):
    """A stream in the form of version 1."""

    data: SourceV1
    event_handler: HandlerV1
    policies: PoliciesV1


class StreamV2(_Stream):
    """A stream in the form of version 2."""

    data: SourceV2


class StreamsV1(Model):
    """A page of streams."""

    streams: tuple[StreamV1, ...]


class StreamsV2(Model):
    """A page of streams."""

    streams: tuple[StreamV2, ...]


class StreamsCount(Model):
    """How many streams there are."""

    streams_count: Count


# --- the queue --------------------------------------------------------------------------------------------------------


class PendingStreamV1(StreamV1):
    """A stream that waits for a worker."""

    status: Literal[StreamState.PENDING]


class PendingStreamV2(StreamV2):
    """A stream that waits for a worker."""

    status: Literal[StreamState.PENDING]


class QueueV1(Model):
    """The head of the queue: what waits longest comes first."""

    streams: tuple[PendingStreamV1, ...]


class QueueV2(Model):
    """The head of the queue: what waits longest comes first."""

    streams: tuple[PendingStreamV2, ...]


class TakenStreamV1(StreamV1):
    """A stream that now belongs to the worker that asked."""

    status: Literal[StreamState.IN_PROGRESS]


class TakenStreamV2(StreamV2):
    """A stream that now belongs to the worker that asked."""

    status: Literal[StreamState.IN_PROGRESS]


class TakenStreamsV1(Model):
    """The streams a worker is to process from now on."""

    streams: tuple[TakenStreamV1, ...]


class TakenStreamsV2(Model):
    """The streams a worker is to process from now on."""

    streams: tuple[TakenStreamV2, ...]


class ModifiedStream(Model):
    """A stream that is no longer as the worker believes: the worker stops it."""

    stream_id: Uuid
    status: Literal[ReadableState, StreamState.NOT_FOUND]
    """`not_found`: the stream was deleted."""
    version: Count
    """0 of a stream that was not found."""


class UnmodifiedStream(Model):
    """A stream that is as the worker reported."""

    stream_id: Uuid
    status: Literal[StreamState.IN_PROGRESS, StreamState.DONE, StreamState.FAILURE]
    version: StreamVersion


class ReportedStreams(Model):
    """The streams of a report."""

    modified: tuple[ModifiedStream, ...]
    unmodified: tuple[UnmodifiedStream, ...]


class FeedbackResult(Model):
    """What a worker is to do after its report."""

    streams: ReportedStreams


# --- groups -----------------------------------------------------------------------------------------------------------


class CreatedGroup(Model):
    """A group that was created."""

    group_id: Uuid
    group_name: GroupName


class Group(Model):
    """A group of streams."""

    group_name: GroupName
    """Unique within the account."""
    group_id: Uuid
    account_id: Uuid
    description: Annotated[str, StringConstraints(max_length=256)]
    create_time: Time


class Groups(Model):
    """A page of groups."""

    groups: tuple[Group, ...]


class GroupsCount(Model):
    """How many groups there are."""

    groups_count: int


# --- logs -------------------------------------------------------------------------------------------------------------


class LogRecord(Model):
    """A status that a stream took; it has the fields that were asked for."""

    stream_id: Uuid
    log_time: Time
    """When the stream took the status."""
    error: str | None
    """Why; null if nothing went wrong."""
    status: LoggedState
    """`restart` and `handler_lost` last only a moment, and `deleted` is the end: they stand nowhere else."""
    video_info: VideoInfo | None
    version: StreamVersion
    preview: Preview | None


class Logs(Model):
    """A page of the log, the newest entry first."""

    logs: tuple[Annotated[LogRecord, Field(json_schema_extra={"minProperties": 1})], ...]


class DeletedLogs(Model):
    """How many entries were deleted."""

    deleted_count: int


# --- the service ------------------------------------------------------------------------------------------------------


class VersionNumbers(Model):
    """A version in its parts."""

    api: Count
    major: Count
    minor: Count
    patch: Count


class ServiceVersion(Model):
    """The version of LUNA Streams whose API this is."""

    Version: VersionNumbers


class Healthy(Model):
    """All is well."""

    execution_time: float
    """Seconds it took to find out."""


class UnhealthyComponent(Model):
    """Something the service depends on that is not well."""

    component: str
    error: Error
    status: Literal[0, 1]
    """0: not well."""


class UnhealthyComponents(Model):
    """What is not well."""

    errors: tuple[UnhealthyComponent, ...]


class Configuration(RootModel[dict[str, Any]]):
    """The settings by section; passwords and tokens are masked."""


class Plugin(Model):
    """A plugin and its state."""

    name: str
    running: Literal[0, 1]
    """1: it runs."""


class Plugins(Model):
    """The plugins of the service."""

    plugins: tuple[Plugin, ...]
