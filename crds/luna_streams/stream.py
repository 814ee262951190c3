"""The Stream resource: `spec` is what the user wants, `status` is what is so.

`StreamStatus` is the record that `lifecycle.advance` moves; nothing else changes its protocol fields. Its `conditions`
are observations, computed afresh by `conditions.observe_conditions` and never read to decide.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from luna_streams import naming
from luna_streams.model import (
    INT32_MAX,
    GroupName,
    Int32,
    Model,
    NotBoolean,
    PlatformUrl,
    StreamName,
    Time,
    Uuid,
    WebhookUrl,
    Zone,
)
from luna_streams.policies import (
    WHOLE_FRAME,
    AutorestartPolicy,
    Filtering,
    Healthcheck,
    Liveness,
    Location,
    Preview,
    PrimaryTrackPolicy,
    Roi,
    Sending,
    VideoInfo,
)
from luna_streams.references import has_user_info, is_url, with_known_scheme

HISTORY_LIMIT = 12
"""Transitions kept in a resource; the log store has the rest. Keeps an object well under 10 KB."""
ERROR_LIMIT = 512
"""Bytes kept of an error that a worker reports."""
MESSAGE_LIMIT = 1024
"""Characters of a condition's message."""

MODE_FACES: Literal[1] = 1
MODE_BODIES: Literal[2] = 2
MODE_HUMANS: Literal[3] = 3
Mode = Literal[1, 2, 3]

Reference = Annotated[str, StringConstraints(max_length=512), AfterValidator(with_known_scheme)]
ErrorText = Annotated[str, StringConstraints(max_length=ERROR_LIMIT)]
ConditionWord = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Z][A-Za-z]*$")]
ObjectName = Annotated[str, StringConstraints(max_length=253)]
SourceType = Literal["tcp", "udp", "videofile", "images"]
EventHandlerType = Literal["luna_handler", "cloudevents"]
DEFAULT_HANDLER: Final[EventHandlerType] = "luna_handler"


class StreamState(StrEnum):
    """The documented statuses of a stream; the last four are never read from /streams."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    PAUSE = "pause"
    CANCEL = "cancel"
    FAILURE = "failure"
    RESTART = "restart"
    HANDLER_LOST = "handler_lost"
    DELETED = "deleted"
    NOT_FOUND = "not_found"


READABLE_STATES = (
    StreamState.PENDING,
    StreamState.IN_PROGRESS,
    StreamState.DONE,
    StreamState.PAUSE,
    StreamState.CANCEL,
    StreamState.FAILURE,
)
FINISHED_STATES = (StreamState.DONE, StreamState.FAILURE)

ReadableState = Literal[
    StreamState.PENDING,
    StreamState.IN_PROGRESS,
    StreamState.DONE,
    StreamState.PAUSE,
    StreamState.CANCEL,
    StreamState.FAILURE,
]
LoggedState = Literal[
    StreamState.PENDING,
    StreamState.IN_PROGRESS,
    StreamState.DONE,
    StreamState.PAUSE,
    StreamState.CANCEL,
    StreamState.FAILURE,
    StreamState.RESTART,
    StreamState.HANDLER_LOST,
    StreamState.DELETED,
]
DesiredState = Literal[StreamState.PENDING, StreamState.PAUSE, StreamState.CANCEL]


class SecretKeyRef(Model):
    """One key of a Secret in the namespace of the Stream."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]
    key: Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-zA-Z0-9._-]+$")]


class Authorization(Model):
    """How the worker authorizes at LUNA PLATFORM; a token lives in a Secret, never here."""

    account_id: Uuid | None = None
    """Sent as Luna-Account-Id."""
    token_from: SecretKeyRef | None = None
    """Secret key that holds a token, sent as a bearer token."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.account_id is None) == (self.token_from is None):
            raise ValueError("authorization needs exactly one of accountId and tokenFrom")
        return self


class EventHandler(Model):
    """Where best shots are delivered: a handler of LUNA PLATFORM, or a webhook that takes CloudEvents."""

    type: EventHandlerType = DEFAULT_HANDLER
    """Kind of receiver: `luna_handler` or `cloudevents`."""
    handler_id: Uuid | None = None
    """luna_handler only: handler of LUNA PLATFORM that makes events of best shots."""
    url: WebhookUrl | None = None
    """cloudevents only: address that events are posted to."""
    frame_store: PlatformUrl | None = None
    """URL for source frames: an Image Store bucket or the `/images` resource; unset stores none."""
    authorization: Authorization | None = None
    """Unset means the account of the stream; a webhook is shown a token or nothing."""
    origin: PlatformUrl | None = None
    """luna_handler only: origin of LUNA PLATFORM; unset means the one the worker is configured with (REST v2 has no
    such field)."""
    api_version: Int32 | None = None
    """luna_handler only: version of LUNA PLATFORM's API; unset as `origin`."""
    detection_handler_id: Uuid | None = None
    """Deprecated, REST v1 only: stored and returned, without effect."""

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        needed, foreign = _FIELDS_OF_TYPE[self.type]
        if getattr(self, needed) is None:
            raise ValueError(f"{to_camel(needed)} is required for type {self.type}")
        for field in foreign:
            if getattr(self, field) is not None:
                raise ValueError(f"{to_camel(field)} is not permitted for type {self.type}")
        if self.type == "cloudevents" and self.authorization is not None and self.authorization.account_id is not None:
            raise ValueError("a webhook is authorized by tokenFrom, not by accountId")
        return self


_FIELDS_OF_TYPE: Final[Mapping[EventHandlerType, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "luna_handler": ("handler_id", ("url",)),
        "cloudevents": ("url", ("handler_id", "origin", "api_version", "detection_handler_id")),
    }
)
"""What a type of event handler needs, and what only other types have."""


class LivenessChecks(Liveness):
    """Liveness checks, with the two deprecated fields of REST v1 that are stored and returned without effect."""

    use_shoulders_liveness_filtration: bool = False
    shoulders_weight: float = 0.0


class Analytics(Model):
    """One analysis of a stream: what is looked for and where the results go."""

    enabled: bool = True
    mode: Annotated[Mode, NotBoolean] = MODE_HUMANS
    """1 faces, 2 bodies, 3 humans (a face tied to its body)."""
    droi: Roi = WHOLE_FRAME
    """Detections must lie wholly inside to become best shots; relative to the original frame."""
    filtering: Filtering = Filtering()
    primary_track_policy: PrimaryTrackPolicy = PrimaryTrackPolicy()
    sending: Sending = Sending()
    event_handler: EventHandler
    healthcheck: Healthcheck = Healthcheck()
    liveness: LivenessChecks = LivenessChecks()


class StreamData(Model):
    """The source and everything that is done with it."""

    type: SourceType
    """tcp and udp name the transport, also below RTSP, HTTP or HLS."""
    reference: Reference
    """URL, device, file or folder; without user info, which belongs into `referenceFrom`."""
    reference_from: SecretKeyRef | None = None
    """Secret key that holds `user:password` of the reference."""
    mask: Annotated[str, StringConstraints(max_length=128)] | None = None
    """images only: printf pattern of the file names."""
    endless: bool | None = None
    """tcp and udp only: true (the default) takes the end of the source for an error."""
    roi: Roi = WHOLE_FRAME
    """Part of the frame that is analysed."""
    rotation: Annotated[Literal[0, 90, 180, 270], NotBoolean] = 0
    """Degrees clockwise."""
    preferred_program_stream_frame_width: int = Field(default=800, ge=0, le=INT32_MAX)
    """Of several variants, the one of the nearest width is read."""
    frame_processing_mode: Literal["auto", "full", "scale"] = "auto"
    real_time_mode_fps: Int32 = 0
    """videofile only: frames per second at which the file is read; 0 is as fast as it goes."""
    ffmpeg_threads_number: Int32 = 0
    """Decoder threads; 0 leaves the choice to the decoder."""
    analytics: tuple[Analytics, ...] = Field(min_length=1, max_length=16)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if (self.mask is None) == (self.type == "images"):
            raise ValueError("mask is required for type images and not permitted for other types")
        if self.endless is not None and self.type not in ("tcp", "udp"):
            raise ValueError("endless is permitted for types tcp and udp only")
        if has_user_info(self.reference):
            raise ValueError(
                "reference must not contain user or password: they belong into a Secret, see referenceFrom"
            )
        if self.reference_from is not None and not is_url(self.reference):
            raise ValueError("referenceFrom needs a reference that is a URL, to put user:password into")
        return self

    @property
    def is_endless(self) -> bool:
        """Whether the end of the source is an error."""
        return self.type in ("tcp", "udp") and self.endless is not False

    @property
    def event_handler_types(self) -> frozenset[EventHandlerType]:
        """What kinds of receivers a worker must know, also those of analytics that are not enabled."""
        return frozenset(item.event_handler.type for item in self.analytics)


GroupAffinity = Literal["None", "PreferSamePod", "PreferSpread"]
"""What streams of one group are to each other: nothing, better on one pod, better on different zones, nodes, pods."""

PreemptionPolicy = Literal["Never", "PreemptLowerPriority"]
"""Whether a stream that finds no slot takes that of one of lower priority; the words are PriorityClass's."""


class StreamPlacement(Model):
    """Wishes about where a stream runs."""

    preferred_zones: tuple[Zone, ...] = Field(default=(), max_length=16)
    """Zones in the order of preference; another one is taken when none has room."""
    required_zones: tuple[Zone, ...] = Field(default=(), max_length=16)
    """The stream waits until one of these has room."""
    decoder_megapixels_per_second: float | None = Field(default=None, ge=0, le=1_000_000)
    """What the stream asks of a decoder, until a worker has measured it."""
    group_affinity: GroupAffinity | None = None
    """Unset takes the pool's."""
    preemption_policy: PreemptionPolicy | None = None
    """Unset takes the pool's."""


class StreamSpec(Model):
    """What the user wants."""

    account_id: Uuid
    display_name: StreamName = ""
    """REST `name`; sent as `source` of every event."""
    description: Annotated[str, StringConstraints(max_length=512)] = ""
    desired_status: DesiredState = StreamState.PENDING
    """pending runs the stream, pause keeps it, cancel ends it."""
    restarted_at: Time | None = None
    """Set it to the present time to start a stream over as a new version, also a finished one.

    PUT of the REST API sets it, so that every PUT raises the version, also one that changes nothing but a password.
    """
    data: StreamData
    location: Location = Location()
    autorestart: AutorestartPolicy = AutorestartPolicy()
    groups: tuple[GroupName, ...] = Field(default=(), max_length=100)
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Streams of higher priority are placed first."""
    placement: StreamPlacement = StreamPlacement()

    def data_hash(self) -> str:
        """Return the hash of all that a worker acts upon; when it changes, the stream's version rises.

        Defaults are left out, so that a release that adds a field with a default restarts no stream.
        """
        worker_view = self.model_dump(
            mode="json",
            include={"account_id", "display_name", "restarted_at", "data", "location"},
            exclude_defaults=True,
        )
        text = json.dumps(worker_view, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]


class LogEntry(Model):
    """One status change, as the log resource of the REST API shows it."""

    seq: int = Field(ge=1)
    """Counts the entries of one stream; with the stream's id it names an entry for ever."""
    status: LoggedState
    version: int = Field(ge=1)
    log_time: Time
    error: ErrorText | None = None
    video_info: VideoInfo | None = None
    preview: Preview | None = None


class AutorestartState(Model):
    """How far automatic restarting has come."""

    status: Literal["disabled", "enabled", "in_progress", "failed", "denied"] = "disabled"
    current_attempt: int = Field(default=0, ge=0, le=INT32_MAX)
    last_attempt_time: Time | None = None


class ProcessorBinding(Model):
    """Which processor a stream belongs to, and which process holds it."""

    pool: ObjectName | None = None
    pod: ObjectName | None = None
    """Pod the operator chose."""
    pod_uid: Annotated[str, StringConstraints(max_length=128)] | None = None
    worker: Annotated[str, StringConstraints(max_length=128)] | None = None
    """Process that took the stream from the queue: its Luna-Worker-Id, or `anonymous`."""
    address: Annotated[str, StringConstraints(max_length=45)] | None = None
    """IP address of that process, where known; previews are fetched from there."""
    leave_by: Time | None = None
    """Set when the process is to let go of the stream: with its next report, or as lost at this time."""
    leave_reason: Annotated[str, StringConstraints(max_length=MESSAGE_LIMIT)] | None = None
    """Why it is to let go; unset where its pod is drained."""


class ObservedIntent(Model):
    """The wishes of `spec` that the record has followed already."""

    desired_status: DesiredState = StreamState.PENDING
    restarted_at: Time | None = None


class Condition(Model):
    """A Kubernetes condition."""

    type: ConditionWord
    status: Literal["True", "False", "Unknown"]
    reason: ConditionWord
    message: Annotated[str, StringConstraints(max_length=MESSAGE_LIMIT)] = ""
    last_transition_time: Time
    observed_generation: int | None = None


class StreamStatus(Model):
    """What is so: the protocol record and the observations about it."""

    status: ReadableState
    version: int = Field(ge=1)
    """Rises with every change of the data."""
    data_hash: Annotated[str, StringConstraints(max_length=64)]
    status_time: Time
    """Last change of `status`; the queue's order."""
    last_error: ErrorText | None = None
    video_info: VideoInfo | None = None
    preview: Preview | None = None
    autorestart: AutorestartState = AutorestartState()
    processor: ProcessorBinding = ProcessorBinding()
    observed_intent: ObservedIntent = ObservedIntent()
    history: tuple[LogEntry, ...] = Field(default=(), max_length=HISTORY_LIMIT)
    """The last transitions, oldest first."""
    conditions: tuple[Condition, ...] = Field(default=(), max_length=16)
    observed_generation: int | None = None

    @property
    def next_seq(self) -> int:
        """Sequence number of the next log entry."""
        return self.history[-1].seq + 1 if self.history else 1


class Stream(Model):
    """A Stream object as the rest of the code sees it."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int = 1
    create_time: Time
    is_deleting: bool = False
    spec: StreamSpec
    status: StreamStatus | None = None

    @classmethod
    def from_object(cls, obj: dict[str, Any]) -> Self:
        """Parse a whole object of the Kubernetes API.

        Raises:
            pydantic.ValidationError: if the spec is not one this release understands.
        """
        meta = obj["metadata"]
        status = obj.get("status")
        return cls(
            namespace=meta.get("namespace", ""),
            name=meta["name"],
            uid=meta["uid"],
            resource_version=meta["resourceVersion"],
            generation=meta.get("generation", 1),
            create_time=naming.create_time(meta["name"], datetime.fromisoformat(meta["creationTimestamp"])),
            is_deleting="deletionTimestamp" in meta,
            spec=StreamSpec.from_resource(obj["spec"]),
            status=StreamStatus.from_resource(status) if status and "status" in status else None,
        )
