"""REST API version 1: one handler and one set of policies for the whole stream.

In the resource a v1 stream has one analytics of mode faces, which holds them; what only v1 knows (`origin`,
`detection_handler`, the first liveness weight, ...) has its own fields there, so nothing is lost on the way back.
A v2 stream is shown through v1 by its first enabled analytics.
Source: LUNA Streams API 1.1.18, stream_to_be_created and stream_response.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from luna_streams.credentials import Credentials
from luna_streams.model import Int32, Model, PlatformUrl, Uuid
from luna_streams.policies import (
    WHOLE_FRAME,
    BestshotSettings,
    BodySending,
    Filtering,
    FilteringCommon,
    Healthcheck,
    LivenessCommon,
    PrimaryTrackPolicy,
    Roi,
    Sending,
    SendingPeriod,
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
    MODE_BODIES,
    MODE_FACES,
    Analytics,
    EventHandler,
    LivenessChecks,
    Mode,
    Stream,
    StreamData,
    StreamSpec,
    StreamStatus,
)


class HandlerRef(Model):
    """A handler of LUNA PLATFORM."""

    handler_id: Uuid


class EventHandlerV1(Model):
    """Where best shots are delivered."""

    origin: PlatformUrl
    """Address of LUNA PLATFORM, e.g. `http://luna-platform:5000`."""
    api_version: Int32
    """Version of LUNA PLATFORM's API, 6 for the present one."""
    bestshot_handler: HandlerRef
    """Handler that receives the best shots."""
    detection_handler: HandlerRef | None = None
    """Without effect; kept for older clients."""
    frame_store: PlatformUrl | None = None
    """Where source frames are kept; null keeps none."""
    authorization: RestAuthorization | None = None
    """How to authorize at LUNA PLATFORM; without it, with the account of the stream."""

    def to_handler(self, index: int, secret: str) -> EventHandler:
        """Return the resource's form; see `CloudEventsHandler.to_handler`."""
        return EventHandler(
            handler_id=self.bestshot_handler.handler_id,
            frame_store=self.frame_store,
            authorization=to_authorization(self.authorization, index, secret),
            origin=self.origin,
            api_version=self.api_version,
            detection_handler_id=self.detection_handler.handler_id if self.detection_handler else None,
        )


HandlerV1 = Annotated[
    Annotated[EventHandlerV1, Tag("luna_handler")] | Annotated[CloudEventsHandler, Tag("cloudevents")],
    Discriminator(handler_type),
]


class SendingV1(SendingPeriod):
    """When and what is sent for a track."""

    number_of_bestshots_to_send: Int32 = 1
    """Best shots of one track that are sent together."""
    send_only_full_set: bool = True
    """Bodies: send only when all of them were found."""
    delete_track_after_sending: bool = False
    """Bodies: begin with an empty set after sending."""


class FilteringV1(FilteringCommon):
    """Filters of best-shot candidates; one score threshold for whatever is detected."""

    min_score: float = 0.5187
    """Smallest detection score."""


class LivenessV1(LivenessCommon):
    """Liveness checks; of the three weights the first is without effect."""

    use_shoulders_liveness_filtration: bool = False
    """Without effect; kept for older clients."""
    livenesses_weights: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """How much each check counts: shoulders (without effect), mask, flying faces."""


class PoliciesV1(Decoding):
    """How a stream is processed."""

    sending: SendingV1 = SendingV1()
    primary_track_policy: PrimaryTrackPolicy = PrimaryTrackPolicy()
    liveness: LivenessV1 = LivenessV1()
    filtering: FilteringV1 = FilteringV1()
    healthcheck: Healthcheck = Healthcheck()


class DataV1(Source):
    """What every type of source has."""

    droi: Roi = WHOLE_FRAME
    """Part of the source frame in which a detection must lie wholly to become a best shot."""


class TcpDataV1(TcpSource, DataV1):
    """A source that is reached by TCP: RTSP, HTTP, HLS; or a device."""


class UdpDataV1(UdpSource, DataV1):
    """A source that is reached by UDP."""


class VideofileDataV1(VideofileSource, DataV1):
    """A video file."""


class ImagesDataV1(ImagesSource, DataV1):
    """A folder of pictures."""


SourceV1 = Annotated[UdpDataV1 | TcpDataV1 | VideofileDataV1 | ImagesDataV1, Field(discriminator="type")]


class StreamToBeCreatedV1(NewStream):
    """Body of POST /1/streams and PUT /1/streams/{stream_id}."""

    data: SourceV1
    event_handler: HandlerV1
    policies: PoliciesV1 = PoliciesV1()

    def to_submission(self, secret: str, mode: Mode = MODE_FACES) -> Submission:
        """Convert to a spec, secrets split off.

        Args:
            secret: name of the Secret that is to hold them.
            mode: of the analytics; version 1 has no word for it.
        """
        source, user_info = source_fields(self.data, secret)
        decoding = shared_fields(self.policies, Decoding)
        token = rest_token(self.event_handler.authorization)
        return self.submission(
            StreamData(analytics=(self._analytics(secret, mode),), **source, **decoding),
            Credentials(user_info=user_info, tokens=(token,)),
        )

    def _analytics(self, secret: str, mode: Mode) -> Analytics:
        policies = self.policies
        return Analytics(
            mode=mode,
            droi=self.data.droi,
            filtering=_filtering(policies.filtering),
            primary_track_policy=policies.primary_track_policy,
            sending=_sending(policies.sending),
            event_handler=self.event_handler.to_handler(0, secret),
            healthcheck=policies.healthcheck,
            liveness=_liveness(policies.liveness),
        )


def stream_response(stream: Stream, stream_id: str, record: StreamStatus, credentials: Credentials) -> dict[str, Any]:
    """Render a resource as stream_response."""
    return response_frame(stream, stream_id, record) | response_parts(stream.spec, credentials)


def response_parts(spec: StreamSpec, credentials: Credentials) -> dict[str, Any]:
    """Return the fields of an answer that the versions have in forms of their own."""
    data = spec.data
    shown = next((index for index, item in enumerate(data.analytics) if item.enabled), 0)
    analytics = data.analytics[shown]
    return {
        "data": source_response(data, credentials) | {"droi": analytics.droi.to_rest()},
        "event_handler": _handler_response(spec, shown, credentials),
        "policies": _policies_response(data, analytics),
    }


def queued_stream(body: dict[str, Any], mode: Mode = MODE_FACES) -> QueuedStream:
    """Read one stream of POST /1/streams/processing/queue; fields a newer server adds are ignored.

    Args:
        body: of the stream.
        mode: what the worker looks for; version 1 leaves it to its settings.

    Raises:
        pydantic.ValidationError: if the stream is not one a worker can process.
    """
    return queued(body, StreamToBeCreatedV1.from_peer({**body, "status": "pending"}).to_submission("queue", mode))


def _filtering(rest: FilteringV1) -> Filtering:
    return Filtering(
        min_score_face=rest.min_score, min_score_body=rest.min_score, **shared_fields(rest, FilteringCommon)
    )


def _sending(rest: SendingV1) -> Sending:
    count = rest.number_of_bestshots_to_send
    return Sending(
        body=BodySending(
            send_only_full_set=rest.send_only_full_set, delete_track_after_sending=rest.delete_track_after_sending
        ),
        bestshot_settings=BestshotSettings(face_bestshots_to_send=count, body_bestshots_to_send=count),
        **shared_fields(rest, SendingPeriod),
    )


def _liveness(rest: LivenessV1) -> LivenessChecks:
    shoulders, mask, flying_faces = rest.livenesses_weights
    return LivenessChecks(
        use_shoulders_liveness_filtration=rest.use_shoulders_liveness_filtration,
        shoulders_weight=shoulders,
        livenesses_weights=(mask, flying_faces),
        **shared_fields(rest, LivenessCommon),
    )


def _handler_response(spec: StreamSpec, index: int, credentials: Credentials) -> dict[str, Any]:
    handler = spec.data.analytics[index].event_handler
    if handler.type == "cloudevents":
        return webhook_response(handler, credentials.token(index))
    body: dict[str, Any] = {
        "bestshot_handler": {"handler_id": handler.handler_id},
        "detection_handler": {"handler_id": handler.detection_handler_id} if handler.detection_handler_id else None,
        "frame_store": handler.frame_store,
        "authorization": rest_authorization(spec, index, credentials),
    }
    if handler.origin is not None:
        body["origin"] = handler.origin
    if handler.api_version is not None:
        body["api_version"] = handler.api_version
    return body


def _policies_response(data: StreamData, analytics: Analytics) -> dict[str, Any]:
    liveness, sending, filtering = analytics.liveness, analytics.sending, analytics.filtering
    shots, is_body = sending.bestshot_settings, analytics.mode == MODE_BODIES
    policies = PoliciesV1(
        sending=SendingV1(
            number_of_bestshots_to_send=shots.body_bestshots_to_send if is_body else shots.face_bestshots_to_send,
            send_only_full_set=sending.body.send_only_full_set,
            delete_track_after_sending=sending.body.delete_track_after_sending,
            **shared_fields(sending, SendingPeriod),
        ),
        primary_track_policy=analytics.primary_track_policy,
        liveness=LivenessV1(
            use_shoulders_liveness_filtration=liveness.use_shoulders_liveness_filtration,
            livenesses_weights=(liveness.shoulders_weight, *liveness.livenesses_weights),
            **shared_fields(liveness, LivenessCommon),
        ),
        filtering=FilteringV1(
            min_score=filtering.min_score_body if is_body else filtering.min_score_face,
            **shared_fields(filtering, FilteringCommon),
        ),
        healthcheck=analytics.healthcheck,
        **shared_fields(data, Decoding),
    )
    body = policies.to_rest()
    body["healthcheck"] = analytics.healthcheck.model_dump(mode="json", exclude_none=True)
    return body
