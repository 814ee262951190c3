"""REST API version 2: analytics carry the handler and the policies.

Source: LUNA Streams API 1.1.18, stream_to_be_created_v2 and stream_response_v2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from luna_streams.credentials import Credentials
from luna_streams.model import Model, NotBoolean, PlatformUrl, Uuid
from luna_streams.policies import (
    WHOLE_FRAME,
    Filtering,
    Healthcheck,
    Liveness,
    PrimaryTrackPolicy,
    Roi,
    Sending,
)
from luna_streams.rest.submission import (
    CloudEventsHandler,
    Decoding,
    ImagesSource,
    NewStream,
    QueuedStream,
    RestAuthorization,
    Source,
    Submission,
    TcpSource,
    UdpSource,
    VideofileSource,
    handler_type,
    queued,
    response_frame,
    rest_authorization,
    rest_token,
    shared_fields,
    source_fields,
    source_response,
    to_authorization,
    webhook_response,
)
from luna_streams.stream import (
    MODE_HUMANS,
    Analytics,
    EventHandler,
    LivenessChecks,
    Stream,
    StreamData,
    StreamSpec,
    StreamStatus,
)


class EventHandlerV2(Model):
    """Where best shots are delivered."""

    type: Literal["luna_handler"] = "luna_handler"
    handler_id: Uuid
    """Handler of LUNA PLATFORM that receives the best shots."""
    frame_store: PlatformUrl | None
    """Where source frames are kept; null keeps none."""
    authorization: RestAuthorization
    """How to authorize at LUNA PLATFORM."""

    def to_handler(self, index: int, secret: str) -> EventHandler:
        """Return the resource's form; see `CloudEventsHandler.to_handler`."""
        return EventHandler(
            handler_id=self.handler_id,
            frame_store=self.frame_store,
            authorization=to_authorization(self.authorization, index, secret),
        )


HandlerV2 = Annotated[
    Annotated[EventHandlerV2, Tag("luna_handler")] | Annotated[CloudEventsHandler, Tag("cloudevents")],
    Discriminator(handler_type),
]


class AnalyticsV2(Model):
    """One analysis of a stream."""

    enabled: bool = True
    """Whether it is done."""
    mode: Annotated[Literal[1, 2, 3], NotBoolean] = MODE_HUMANS
    """What is looked for: 1 faces, 2 bodies, 3 both."""
    droi: Roi = WHOLE_FRAME
    """Part of the source frame in which a detection must lie wholly to become a best shot."""
    filtering: Filtering = Filtering()
    primary_track_policy: PrimaryTrackPolicy = PrimaryTrackPolicy()
    sending: Sending = Sending()
    event_handler: HandlerV2
    healthcheck: Healthcheck = Healthcheck()
    liveness: Liveness = Liveness()


class DataV2(Source, Decoding):
    """What every type of source has."""

    analytics: tuple[AnalyticsV2, ...] = Field(min_length=1, max_length=16)
    """What is looked for, and where it is delivered."""


class TcpDataV2(TcpSource, DataV2):
    """A source that is reached by TCP: RTSP, HTTP, HLS; or a device."""


class UdpDataV2(UdpSource, DataV2):
    """A source that is reached by UDP."""


class VideofileDataV2(VideofileSource, DataV2):
    """A video file."""


class ImagesDataV2(ImagesSource, DataV2):
    """A folder of pictures."""


SourceV2 = Annotated[UdpDataV2 | TcpDataV2 | VideofileDataV2 | ImagesDataV2, Field(discriminator="type")]


class StreamToBeCreatedV2(NewStream):
    """Body of POST /2/streams and PUT /2/streams/{stream_id}."""

    data: SourceV2

    def to_submission(self, secret: str) -> Submission:
        """Convert to a spec, secrets split off.

        Args:
            secret: name of the Secret that is to hold them.
        """
        source, user_info = source_fields(self.data, secret)
        source["analytics"] = tuple(_analytics(item, index, secret) for index, item in enumerate(self.data.analytics))
        tokens = tuple(rest_token(item.event_handler.authorization) for item in self.data.analytics)
        return self.submission(StreamData(**source), Credentials(user_info=user_info, tokens=tokens))


def stream_response(stream: Stream, stream_id: str, record: StreamStatus, credentials: Credentials) -> dict[str, Any]:
    """Render a resource as stream_response_v2."""
    return response_frame(stream, stream_id, record) | response_parts(stream.spec, credentials)


def response_parts(spec: StreamSpec, credentials: Credentials) -> dict[str, Any]:
    """Return the fields of an answer that the versions have in forms of their own."""
    data = spec.data
    body = source_response(data, credentials)
    body |= shared_fields(data, Decoding)
    body["analytics"] = [_analytics_response(spec, index, credentials) for index in range(len(data.analytics))]
    return {"data": body}


def queued_stream(body: dict[str, Any]) -> QueuedStream:
    """Read one stream of POST /2/streams/processing/queue; fields a newer server adds are ignored.

    Raises:
        pydantic.ValidationError: if the stream is not one a worker can process.
    """
    return queued(body, StreamToBeCreatedV2.from_peer({**body, "status": "pending"}).to_submission("queue"))


def _analytics(item: AnalyticsV2, index: int, secret: str) -> Analytics:
    return Analytics(
        event_handler=item.event_handler.to_handler(index, secret),
        liveness=LivenessChecks(**item.liveness.model_dump()),
        **{name: getattr(item, name) for name in AnalyticsV2.model_fields if name not in ("event_handler", "liveness")},
    )


def _analytics_response(spec: StreamSpec, index: int, credentials: Credentials) -> dict[str, Any]:
    analytics = spec.data.analytics[index]
    body = analytics.to_rest()
    body["event_handler"] = _handler_response(spec, index, credentials)
    body["liveness"] = analytics.liveness.model_dump(mode="json", include=set(Liveness.model_fields))
    body["healthcheck"] = analytics.healthcheck.model_dump(mode="json", exclude_none=True)
    return body


def _handler_response(spec: StreamSpec, index: int, credentials: Credentials) -> dict[str, Any]:
    handler = spec.data.analytics[index].event_handler
    if handler.type == "cloudevents":
        return webhook_response(handler, credentials.token(index))
    return {
        "type": handler.type,
        "handler_id": handler.handler_id,
        "frame_store": handler.frame_store,
        "authorization": rest_authorization(spec, index, credentials),
    }
