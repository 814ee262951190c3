"""What a REST body turns into: the spec of a resource, the secrets that were split off it, and the group to join."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, SecretStr, StringConstraints

from luna_streams.credentials import REFERENCE_KEY, Credentials, token_key
from luna_streams.model import (
    INT32_MAX,
    GroupName,
    Int32,
    Model,
    NotBoolean,
    PlatformUrl,
    StreamName,
    Uuid,
    WebhookUrl,
)
from luna_streams.policies import WHOLE_FRAME, AutorestartPolicy, Location, Roi
from luna_streams.references import join_reference, split_reference
from luna_streams.stream import (
    Authorization,
    AutorestartState,
    EventHandler,
    Reference,
    SecretKeyRef,
    Stream,
    StreamData,
    StreamSpec,
    StreamState,
    StreamStatus,
)


class Submission(Model):
    """A stream as a client submits it or a worker receives it."""

    spec: StreamSpec
    """Refers to the Secret; holds no secret value."""
    credentials: Credentials = Credentials()
    group_name: GroupName | None = None
    group_id: Uuid | None = None

    @property
    def reference(self) -> str:
        """The complete reference, with its user info: for opening the source, never for a log."""
        return join_reference(self.spec.data.reference, self.credentials.user_info)


class QueuedStream(Model):
    """A stream that a worker took from the queue."""

    stream_id: Uuid
    version: int
    submission: Submission
    created_at: datetime | None = None
    """As the server tells it; it stays when the stream is written anew."""
    reported_began_at: datetime | None = None
    """When the run began that was reported last, whoever's it was; None if none was since the stream was written."""


class TokenAuthorization(Model):
    """Authorization by a token."""

    token: str = Field(repr=False)
    """JSON Web Token that LUNA PLATFORM issued."""


class AccountAuthorization(Model):
    """Authorization by an account."""

    account_id: Uuid
    """Account in whose name events are sent."""


RestAuthorization = TokenAuthorization | AccountAuthorization


class CloudEventsHandler(Model):
    """A webhook that takes CloudEvents; alike in both versions, and not in LUNA's own document."""

    type: Literal["cloudevents"]
    url: WebhookUrl
    """Address that events are posted to."""
    frame_store: PlatformUrl | None = None
    """Where source frames are kept; null keeps none."""
    authorization: TokenAuthorization | None = None
    """Token that the webhook is shown; null shows none."""

    def to_handler(self, index: int, secret: str) -> EventHandler:
        """Return the resource's form.

        Args:
            index: of the analytics.
            secret: name of the Secret that is to hold the token.
        """
        return EventHandler(
            type=self.type,
            url=self.url,
            frame_store=self.frame_store,
            authorization=to_authorization(self.authorization, index, secret),
        )


def handler_type(value: Any) -> str:
    """Return which kind of handler is meant: what does not say so is LUNA's, as in the document.

    Its other errors are then told of the form that the document has.
    """
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "cloudevents" if kind == "cloudevents" else "luna_handler"


class NewStream(Model):
    """What both versions ask of a new stream besides its data."""

    account_id: Uuid
    """Account the stream belongs to; its events are sent in its name."""
    name: StreamName = ""
    """For people and for filters; it need not be unique."""
    description: Annotated[str, StringConstraints(max_length=512)] = ""
    """For people."""
    location: Location = Location()
    autorestart: AutorestartPolicy = AutorestartPolicy()
    status: Literal["pending", "pause"] = "pending"
    """`pending` puts the stream into the queue at once, `pause` when it is resumed."""
    group_name: GroupName | None = None
    """Group the stream joins."""
    group_id: Uuid | None = None
    """Another way to name the group; with both the stream joins both."""

    def submission(self, data: StreamData, credentials: Credentials) -> Submission:
        """Return the submission of this body.

        Args:
            data: of the body, in the resource's form.
            credentials: that were split off it.
        """
        return Submission(
            spec=StreamSpec(
                account_id=self.account_id,
                display_name=self.name,
                description=self.description,
                desired_status=StreamState.PAUSE if self.status == "pause" else StreamState.PENDING,
                data=data,
                location=self.location,
                autorestart=self.autorestart,
            ),
            credentials=credentials,
            group_name=self.group_name,
            group_id=self.group_id,
        )


class StreamBody(Protocol):
    """A body of POST or PUT, of either version."""

    def to_submission(self, secret: str) -> Submission:
        """Convert to a spec, secrets split off."""


class Source(Model):
    """What both versions say of every type of source."""

    reference: Reference = Field(repr=False)  # may hold a password
    """Where the source is: a URL, a file, a folder of pictures or a device."""
    roi: Roi = WHOLE_FRAME
    """Part of the frame that is looked at; without it the whole frame."""
    rotation: Annotated[Literal[0, 90, 180, 270], NotBoolean] = 0
    """Degrees by which frames are turned before they are looked at."""
    preferred_program_stream_frame_width: int = Field(default=800, ge=0, le=INT32_MAX)
    """Of the programs of an HLS or MPEG-TS source, the one whose width in pixels is nearest to this is taken."""


class Decoding(Model):
    """How frames are read; in `policies` in v1, in `data` in v2 and in the resource."""

    frame_processing_mode: Literal["auto", "full", "scale"] = "auto"
    """`full` looks at frames as they are, `scale` makes them smaller first, `auto` leaves the choice to the worker."""
    real_time_mode_fps: Int32 = 0
    """Frames per second at which a file is read; 0 reads it as fast as it can be processed."""
    ffmpeg_threads_number: Int32 = 0
    """Threads that decode; 0 leaves the choice to the decoder."""


class NetworkSource(Model):
    """A source on the network, or a device."""

    endless: bool = True
    """Whether the end of the source is an error, after which it is opened again; otherwise the stream is done."""


class TcpSource(NetworkSource):
    """A source that is reached by TCP: RTSP, HTTP, HLS; or a device."""

    type: Literal["tcp"]


class UdpSource(NetworkSource):
    """A source that is reached by UDP."""

    type: Literal["udp"]


class VideofileSource(Model):
    """A video file."""

    type: Literal["videofile"]


class ImagesSource(Model):
    """A folder of pictures."""

    type: Literal["images"]
    mask: Annotated[str, StringConstraints(max_length=128)]
    """Name of the pictures with a place for their number, e.g. `frame_%05d.jpg`."""


def shared_fields(source: Model, shape: type[Model]) -> dict[str, Any]:
    """Return the fields of `source` that `shape` has, too, as arguments for another model that shares them."""
    return {name: getattr(source, name) for name in shape.model_fields if name in type(source).model_fields}


def source_fields(source: Source, secret: str) -> tuple[dict[str, Any], SecretStr | None]:
    """Return the source as arguments of `StreamData`, and the user info that was split off its reference.

    Args:
        source: also one of `NetworkSource`, `VideofileSource` and `ImagesSource`.
        secret: name of the Secret that is to hold the user info.
    """
    reference, user_info = split_reference(source.reference)
    fields = shared_fields(source, StreamData)
    fields["reference"] = reference
    fields["reference_from"] = SecretKeyRef(name=secret, key=REFERENCE_KEY) if user_info is not None else None
    return fields, user_info


def source_response(data: StreamData, credentials: Credentials) -> dict[str, Any]:
    """Return the source as both versions answer it."""
    body: dict[str, Any] = {
        "type": data.type,
        "reference": join_reference(data.reference, credentials.user_info),
        "roi": data.roi.to_rest(),
        "rotation": data.rotation,
        "preferred_program_stream_frame_width": data.preferred_program_stream_frame_width,
    }
    if data.type == "images":
        body["mask"] = data.mask
    if data.type in ("tcp", "udp"):
        body["endless"] = data.is_endless
    return body


def queued(body: Mapping[str, Any], submission: Submission) -> QueuedStream:
    """Return a stream as a worker received it from the queue.

    Args:
        body: of the queue's answer.
        submission: the same, parsed.
    """
    video_info = body.get("video_info")
    return QueuedStream(
        stream_id=body.get("stream_id", ""),
        version=body.get("version", 0),
        submission=submission,
        created_at=_moment(body.get("create_time")),
        reported_began_at=_moment(video_info.get("start_time") if isinstance(video_info, Mapping) else None),
    )


def _moment(value: object) -> datetime | None:
    """Return a time of a server's answer; None if there is none that can be read, which refuses nothing else."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def to_authorization(rest: RestAuthorization | None, index: int, secret: str) -> Authorization | None:
    """Return the resource's form: a token becomes a reference to its key of the Secret."""
    if rest is None:
        return None
    if isinstance(rest, TokenAuthorization):
        return Authorization(token_from=SecretKeyRef(name=secret, key=token_key(index)))
    return Authorization(account_id=rest.account_id)


def rest_token(authorization: RestAuthorization | None) -> SecretStr | None:
    """Return the token of an authorization, None where it is by account."""
    return SecretStr(authorization.token) if isinstance(authorization, TokenAuthorization) else None


def webhook_response(handler: EventHandler, token: str | None) -> dict[str, Any]:
    """Return a webhook as both versions answer it."""
    return {
        "type": handler.type,
        "url": handler.url,
        "frame_store": handler.frame_store,
        "authorization": None if token is None else {"token": token},
    }


def rest_authorization(spec: StreamSpec, index: int, credentials: Credentials) -> dict[str, str]:
    """Return the API's form; where none was given, the account of the stream, as LUNA Streams answers."""
    token = credentials.token(index)
    if token is not None:
        return {"token": token}
    authorization = spec.data.analytics[index].event_handler.authorization
    account = authorization.account_id if authorization else None
    return {"account_id": account or spec.account_id}


def response_frame(stream: Stream, stream_id: str, record: StreamStatus) -> dict[str, Any]:
    """Return the fields that stand alike in the answers of both versions."""
    spec = stream.spec
    return {
        "stream_id": stream_id,
        "account_id": spec.account_id,
        "name": spec.display_name,
        "description": spec.description,
        "location": spec.location.to_rest(),
        "autorestart": spec.autorestart.to_rest() | _autorestart_state(record.autorestart),
        "version": record.version,
        "create_time": stream.create_time.isoformat().replace("+00:00", "Z"),
        "status": record.status.value,
        "last_error": record.last_error,
        "video_info": record.video_info.model_dump(mode="json", exclude_none=True) if record.video_info else None,
        "groups": list(spec.groups),
        "preview": record.preview.model_dump(mode="json", exclude_none=True) if record.preview else None,
    }


def _autorestart_state(state: AutorestartState) -> dict[str, Any]:
    return state.to_rest()
