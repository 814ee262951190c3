"""REST API version 2: analytics carry the handler and the policies.

Source: LUNA Streams API 1.1.18, stream_to_be_created_v2 and stream_response_v2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, StringConstraints

from luna_streams.credentials import Credentials
from luna_streams.model import INT32_MAX, Int32, Model, NotBoolean, PlatformUrl, Uuid
from luna_streams.policies import (
    WHOLE_FRAME,
    Filtering,
    Healthcheck,
    Liveness,
    PrimaryTrackPolicy,
    Roi,
    Sending,
)
from luna_streams.references import join_reference, split_reference
from luna_streams.rest.submission import (
    NewStream,
    QueuedStream,
    RestAuthorization,
    Submission,
    TokenAuthorization,
    reference_ref,
    response_frame,
    rest_authorization,
    to_authorization,
)
from luna_streams.stream import (
    MODE_HUMANS,
    Analytics,
    EventHandler,
    LivenessChecks,
    Reference,
    Stream,
    StreamData,
    StreamSpec,
    StreamState,
    StreamStatus,
)


class EventHandlerV2(Model):
    """Where best shots are delivered."""

    type: Literal["luna_handler"] = "luna_handler"
    handler_id: Uuid
    frame_store: PlatformUrl | None
    authorization: RestAuthorization


class AnalyticsV2(Model):
    """One analysis of a stream."""

    enabled: bool = True
    mode: Annotated[Literal[1, 2, 3], NotBoolean] = MODE_HUMANS
    droi: Roi = WHOLE_FRAME
    filtering: Filtering = Filtering()
    primary_track_policy: PrimaryTrackPolicy = PrimaryTrackPolicy()
    sending: Sending = Sending()
    event_handler: EventHandlerV2
    healthcheck: Healthcheck = Healthcheck()
    liveness: Liveness = Liveness()


class DataV2(Model):
    """What every type of source has."""

    reference: Reference = Field(repr=False)  # may hold a password
    roi: Roi = WHOLE_FRAME
    rotation: Annotated[Literal[0, 90, 180, 270], NotBoolean] = 0
    preferred_program_stream_frame_width: int = Field(default=800, ge=0, le=INT32_MAX)
    frame_processing_mode: Literal["auto", "full", "scale"] = "auto"
    real_time_mode_fps: Int32 = 0
    ffmpeg_threads_number: Int32 = 0
    analytics: tuple[AnalyticsV2, ...] = Field(min_length=1, max_length=16)


class NetworkDataV2(DataV2):
    """A source on the network, or a device."""

    type: Literal["tcp", "udp"]
    endless: bool = True


class VideofileDataV2(DataV2):
    """A video file."""

    type: Literal["videofile"]


class ImagesDataV2(DataV2):
    """A folder of pictures."""

    type: Literal["images"]
    mask: Annotated[str, StringConstraints(max_length=128)]


SourceV2 = Annotated[NetworkDataV2 | VideofileDataV2 | ImagesDataV2, Field(discriminator="type")]


class StreamToBeCreatedV2(NewStream):
    """Body of POST /2/streams and PUT /2/streams/{stream_id}."""

    data: SourceV2

    def to_submission(self, secret: str) -> Submission:
        """Convert to a spec, secrets split off.

        Args:
            secret: name of the Secret that is to hold them.
        """
        reference, user_info = split_reference(self.data.reference)
        return Submission(
            spec=StreamSpec(
                account_id=self.account_id,
                display_name=self.name,
                description=self.description,
                desired_status=StreamState.PAUSE if self.status == "pause" else StreamState.PENDING,
                data=self._data(reference, user_info, secret),
                location=self.location,
                autorestart=self.autorestart,
            ),
            credentials=Credentials(
                user_info=user_info, tokens=tuple(_token(item.event_handler) for item in self.data.analytics)
            ),
            group_name=self.group_name,
            group_id=self.group_id,
        )

    def _data(self, reference: str, user_info: SecretStr | None, secret: str) -> StreamData:
        data = self.data
        return StreamData(
            type=data.type,
            reference=reference,
            reference_from=reference_ref(user_info is not None, secret),
            mask=data.mask if isinstance(data, ImagesDataV2) else None,
            endless=data.endless if isinstance(data, NetworkDataV2) else None,
            analytics=tuple(_analytics(item, index, secret) for index, item in enumerate(data.analytics)),
            **{name: getattr(data, name) for name in DataV2.model_fields if name not in ("reference", "analytics")},
        )


def stream_response(stream: Stream, stream_id: str, record: StreamStatus, credentials: Credentials) -> dict[str, Any]:
    """Render a resource as stream_response_v2."""
    data = stream.spec.data
    body: dict[str, Any] = {
        "type": data.type,
        "reference": join_reference(data.reference, credentials.user_info),
        **data.model_dump(mode="json", include=set(DataV2.model_fields) - {"reference", "analytics"}),
        "analytics": [_analytics_response(stream.spec, index, credentials) for index in range(len(data.analytics))],
    }
    if data.type == "images":
        body["mask"] = data.mask
    if data.type in ("tcp", "udp"):
        body["endless"] = data.is_endless
    return response_frame(stream, stream_id, record) | {"data": body}


def queued_stream(body: dict[str, Any]) -> QueuedStream:
    """Read one stream of POST /2/streams/processing/queue; fields a newer server adds are ignored.

    Raises:
        pydantic.ValidationError: if the stream is not one a worker can process.
    """
    wanted = StreamToBeCreatedV2.from_peer({**body, "status": "pending"})
    return QueuedStream(
        stream_id=body.get("stream_id", ""), version=body.get("version", 0), submission=wanted.to_submission("queue")
    )


def _token(handler: EventHandlerV2) -> SecretStr | None:
    authorization = handler.authorization
    return SecretStr(authorization.token) if isinstance(authorization, TokenAuthorization) else None


def _analytics(item: AnalyticsV2, index: int, secret: str) -> Analytics:
    handler = item.event_handler
    return Analytics(
        event_handler=EventHandler(
            handler_id=handler.handler_id,
            frame_store=handler.frame_store,
            authorization=to_authorization(handler.authorization, index, secret),
        ),
        liveness=LivenessChecks(**item.liveness.model_dump()),
        **{name: getattr(item, name) for name in AnalyticsV2.model_fields if name not in ("event_handler", "liveness")},
    )


def _analytics_response(spec: StreamSpec, index: int, credentials: Credentials) -> dict[str, Any]:
    analytics = spec.data.analytics[index]
    body = analytics.to_rest()
    body["event_handler"] = {
        "type": analytics.event_handler.type,
        "handler_id": analytics.event_handler.handler_id,
        "frame_store": analytics.event_handler.frame_store,
        "authorization": rest_authorization(spec, index, credentials),
    }
    body["liveness"] = analytics.liveness.model_dump(mode="json", include=set(Liveness.model_fields))
    body["healthcheck"] = analytics.healthcheck.model_dump(mode="json", exclude_none=True)
    return body
