"""From the stream a worker took to what the processor does about it: pure, and total over the parameters.

Every parameter either has its effect, or the stream is refused in words that say which one this processor cannot do;
nothing is silently left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

from luna_processor.delivery.events import EventFormat, Target
from luna_processor.errors import UnsuitableStream
from luna_processor.selection.bestshot import SHOT_SPACING_S, BodyFilters, FaceFilters
from luna_processor.selection.liveness import Check, LivenessPolicy
from luna_processor.selection.primary import PrimaryPolicy
from luna_processor.selection.sending import SendingPolicy
from luna_processor.selection.yaws import YawPolicy
from luna_processor.streams.health import HealthPolicy
from luna_processor.vision.view import Region, Rotation
from luna_streams.policies import Liveness, Location, PrimaryTrackPolicy, RoiPercent
from luna_streams.rest.submission import QueuedStream
from luna_streams.stream import (
    MODE_BODIES,
    MODE_FACES,
    MODE_HUMANS,
    Analytics,
    EventHandler,
    Mode,
    SourceType,
    StreamData,
    StreamSpec,
)

MAX_YAW_NUMBER = 100
"""Pictures of that many frames are held per track while they are gathered."""
MAX_BEST_SHOTS = 100
"""The same of the shots of a set, which stand in one request; with a frame store, whole frames are held besides."""
_FITS_A_HEADER: Final = re.compile(r"[\x20-\x7e]*")
_BLANK: Final = re.compile(r"[\s\x00-\x1f]")


class Kinds(Enum):
    """What is sent: the documented scale of `bestshot_settings.type` and `full_frame_settings`."""

    FACES = 1
    BODIES = 2
    TOGETHER = 3
    SEPARATELY = 4

    @property
    def has_faces(self) -> bool:
        """Whether faces are among it."""
        return self is not Kinds.BODIES

    @property
    def has_bodies(self) -> bool:
        """Whether bodies are among it."""
        return self is not Kinds.FACES

    def wants(self, *, has_face: bool, has_body: bool) -> bool:
        """Return whether a shot of a face, a body or both is among it."""
        return (self.has_faces and has_face) or (self.has_bodies and has_body)


@dataclass(frozen=True, slots=True)
class Platform:
    """What this process brings along for all streams."""

    origin: str | None
    """Where streams deliver that do not say so themselves (REST v2 has no such field)."""
    api_version: int
    liveness_checks: frozenset[Check] = frozenset()
    """Checks that there are models for."""
    min_body_detections: int = 0
    """Detections of a body that make a full set (FaceStream's minimal_body_track_length_to_send)."""
    event_format: EventFormat = "events"
    """How handlers of LUNA PLATFORM are sent events."""
    scaled_side: int = 640
    """Pixels of the longest side of a frame that is processed scaled (FaceStream's scale-result-size)."""
    converts_full_frames: bool = True
    """What `auto` means for frame_processing_mode (FaceStream's convert_full_frame)."""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What is read, and how patiently."""

    kind: SourceType
    reference: str = field(repr=False)
    """With user info."""
    shown_as: str
    is_endless: bool
    pace_fps: int
    """Files only; 0 is as fast as it goes."""
    timeout_s: float | None
    health: HealthPolicy
    mask: str = ""
    """Pictures only: printf pattern of the file names."""
    preferred_width: int = 0
    """Pixels; of several variants or programs the nearest is read."""
    thread_count: int = 0
    """Threads of the decoder; 0 leaves the choice to the adapter."""

    @property
    def is_live(self) -> bool:
        """Whether frames come when they like: they are dropped when nobody keeps up, and errors are tried again."""
        return self.kind in ("tcp", "udp")


@dataclass(frozen=True, slots=True)
class AnalyticsPlan:
    """One analytics: which faces and bodies count and where they go."""

    mode: Mode
    kinds: Kinds
    full_frames: Kinds
    """Shots whose source frames are stored, too."""
    droi: Region
    face_filters: FaceFilters
    body_filters: BodyFilters
    yaws: YawPolicy
    primary: PrimaryPolicy | None
    liveness: LivenessPolicy | None
    sending: SendingPolicy
    target: Target


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """Everything the processor needs to know about a stream."""

    stream_id: str
    version: int
    account_id: str
    name: str
    description: str
    location: Location
    spec: StreamSpec = field(repr=False)
    """As the server handed it over, for those who ask what runs here."""
    source: SourcePlan
    roi: Region
    rotation: Rotation
    analytics: tuple[AnalyticsPlan, ...]
    longest_side: int = 0
    """Pixels that the analysed part of a frame is made smaller to; 0 keeps its size."""
    created_at: datetime | None = None
    """When the stream was made, as the server tells it."""
    reported_began_at: datetime | None = None
    """When its last run began that the server heard of; see `runs`."""
    run_number: int = 0
    """Counts the runs of this version that were finished before, as far as this processor knows."""


def make_plan(queued: QueuedStream, platform: Platform) -> StreamPlan:
    """Return what is to be done about a stream.

    Raises:
        UnsuitableStream: if it asks for what this processor cannot do.
    """
    submission = queued.submission
    spec = submission.spec
    if spec.data.type == "images" and any(
        item.enabled and item.primary_track_policy.use_primary_track_policy for item in spec.data.analytics
    ):
        raise UnsuitableStream("primary_track_policy is not intended for sources of type images")
    enabled = [(index, item) for index, item in enumerate(spec.data.analytics) if item.enabled]
    if not enabled:
        raise UnsuitableStream("no analytics of the stream is enabled")
    return StreamPlan(
        stream_id=queued.stream_id,
        version=queued.version,
        account_id=spec.account_id,
        name=spec.display_name,
        description=spec.description,
        location=spec.location,
        spec=spec,
        source=_source(spec.data, submission.reference, enabled[0][1]),
        roi=_region(spec.data.roi),
        rotation=spec.data.rotation,
        longest_side=_longest_side(spec.data, platform),
        analytics=tuple(
            _analytics(
                item,
                _target(item, spec.account_id, submission.credentials.token(index), platform),
                _sending(item, spec.data.type, platform),
                platform,
            )
            for index, item in enabled
        ),
        created_at=queued.created_at,
        reported_began_at=queued.reported_began_at,
    )


def _analytics(item: Analytics, target: Target, sending: SendingPolicy, platform: Platform) -> AnalyticsPlan:
    kinds = _kinds(item)
    filtering = item.filtering
    if filtering.yaw_number > MAX_YAW_NUMBER:
        raise UnsuitableStream(f"yaw_number above {MAX_YAW_NUMBER} is not supported by this processor")
    return AnalyticsPlan(
        mode=item.mode,
        kinds=kinds,
        full_frames=Kinds(item.sending.full_frame_settings) if item.mode == MODE_HUMANS else Kinds.TOGETHER,
        droi=_region(item.droi),
        face_filters=_face_filters(item),
        body_filters=BodyFilters(filtering.min_score_body, filtering.min_body_size_threshold),
        yaws=YawPolicy(filtering.yaw_number, filtering.yaw_collection_mode),
        # Both are documented as for faces only; without any they have no effect.
        primary=_primary(item.primary_track_policy) if kinds.has_faces else None,
        liveness=_liveness(item.liveness, platform) if kinds.has_faces else None,
        sending=sending,
        target=target,
    )


def _primary(policy: PrimaryTrackPolicy) -> PrimaryPolicy | None:
    if not policy.use_primary_track_policy:
        return None
    return PrimaryPolicy(policy.best_shot_min_size, policy.best_shot_proper_size)


def _liveness(checks: Liveness, platform: Platform) -> LivenessPolicy | None:
    """Return how liveness is checked; None if it is not.

    Raises:
        UnsuitableStream: if there is no model for a check, or no face could ever pass.
    """
    switched_on: dict[Check, bool] = {
        "mask": checks.use_mask_liveness_filtration,
        "flying_faces": checks.use_flying_faces_liveness_filtration,
    }
    wanted = [check for check, is_on in switched_on.items() if is_on]
    if not wanted:
        return None
    for check in wanted:
        if check not in platform.liveness_checks:
            raise UnsuitableStream(
                f"use_{check}_liveness_filtration needs a liveness model, which this processor was not given: "
                f"add one of task liveness_{check} to a folder and name it by --extra-models-dir"
            )
    weights = dict(zip(switched_on, checks.livenesses_weights, strict=True))
    policy = LivenessPolicy(
        weights={check: weights[check] for check in wanted},
        mode=checks.liveness_mode,
        count=checks.number_of_liveness_checks,
        threshold=checks.liveness_threshold,
        background_count=checks.mask_backgrounds_count,
    )
    if not policy.can_confirm:
        raise UnsuitableStream(
            f"no face can pass the liveness check: livenesses_weights of the checks that are on "
            f"({', '.join(f'{weight:g}' for weight in policy.weights.values())}) "
            f"do not exceed liveness_threshold {policy.threshold:g}"
        )
    return policy


def _kinds(analytics: Analytics) -> Kinds:
    """Return what is sent: the mode bounds what there is, the type says what of it is wanted.

    Raises:
        UnsuitableStream: if nothing could ever be sent.
    """
    wanted = Kinds(analytics.sending.bestshot_settings.type)
    if analytics.mode == MODE_FACES:
        if not wanted.has_faces:
            raise UnsuitableStream("analytics mode 1 (faces) finds nothing for bestshot_settings type 2 (bodies only)")
        return Kinds.FACES
    if analytics.mode == MODE_BODIES:
        if not wanted.has_bodies:
            raise UnsuitableStream("analytics mode 2 (bodies) finds nothing for bestshot_settings type 1 (faces only)")
        return Kinds.BODIES
    return wanted


def _source(data: StreamData, reference: str, first: Analytics) -> SourcePlan:
    """Return the plan of the source; several analytics share it, so the first one's healthcheck counts."""
    healthcheck = first.healthcheck
    return SourcePlan(
        kind=data.type,
        reference=reference,
        shown_as=data.reference,
        is_endless=data.is_endless,
        pace_fps=max(0, data.real_time_mode_fps),
        timeout_s=healthcheck.timeout / 1000 if healthcheck.timeout else None,
        health=HealthPolicy(healthcheck.max_error_count, healthcheck.period, healthcheck.retry_delay),
        mask=data.mask or "",
        preferred_width=data.preferred_program_stream_frame_width,
        thread_count=max(0, data.ffmpeg_threads_number),
    )


def _longest_side(data: StreamData, platform: Platform) -> int:
    """Return how large a frame is processed; pictures, for which the parameter is not intended, as they are."""
    if data.type == "images":
        return 0
    is_full = {"full": True, "scale": False, "auto": platform.converts_full_frames}[data.frame_processing_mode]
    return 0 if is_full else platform.scaled_side


def _region(roi: object) -> Region:
    sides = {name: getattr(roi, name) for name in ("x", "y", "width", "height")}
    return Region(**sides, is_percent=isinstance(roi, RoiPercent))


def _face_filters(analytics: Analytics) -> FaceFilters:
    filtering = analytics.filtering
    return FaceFilters(
        min_score=filtering.min_score_face,
        max_yaw=filtering.detection_yaw_threshold,
        max_pitch=filtering.detection_pitch_threshold,
        max_roll=filtering.detection_roll_threshold,
        max_mouth_cover=filtering.mouth_occlusion_threshold,
    )


def _sending(analytics: Analytics, source: SourceType, platform: Platform) -> SendingPolicy:
    """Return when shots are sent.

    Raises:
        UnsuitableStream: if more of them are wanted than this processor holds.
    """
    sending, shots = analytics.sending, analytics.sending.bestshot_settings
    if max(shots.face_bestshots_to_send, shots.body_bestshots_to_send) > MAX_BEST_SHOTS:
        raise UnsuitableStream(f"more than {MAX_BEST_SHOTS} best shots to send are not supported by this processor")
    return SendingPolicy(
        face_count=max(1, shots.face_bestshots_to_send),
        body_count=max(1, shots.body_bestshots_to_send),
        search_period=sending.time_period_of_searching,
        silent_period=sending.silent_period,
        unit=sending.type,
        needs_full_body_set=sending.body.send_only_full_set,
        min_body_detections=platform.min_body_detections,
        forgets_bodies=sending.body.delete_track_after_sending,
        # Neighbouring frames of a video show the same thing; pictures of a folder may be minutes apart.
        shot_spacing_s=0.0 if source == "images" else SHOT_SPACING_S,
    )


def _target(analytics: Analytics, account_id: str, token: str | None, platform: Platform) -> Target:
    handler = analytics.event_handler
    if token is not None and not _FITS_A_HEADER.fullmatch(token := token.strip()):
        raise UnsuitableStream("the token of event_handler has characters that no HTTP header can hold")
    is_webhook = handler.type == "cloudevents"
    return Target(
        format="cloudevents" if is_webhook else platform.event_format,
        url=_checked(handler.url or "", "the webhook") if is_webhook else _handler_url(handler, platform),
        frame_store=_checked(handler.frame_store, "frame_store") if handler.frame_store else None,
        account_id=(handler.authorization.account_id if handler.authorization else None) or account_id,
        token=token,
    )


def _handler_url(handler: EventHandler, platform: Platform) -> str:
    origin = handler.origin or platform.origin
    if not origin:
        raise UnsuitableStream(
            "the stream does not say where LUNA PLATFORM is and this processor was started without --platform-origin"
        )
    api_version = handler.api_version if handler.api_version is not None else platform.api_version
    resource = "events" if platform.event_format == "events" else "stream_events"
    checked = _checked(origin, "LUNA PLATFORM").rstrip("/")
    return f"{checked}/{api_version}/handlers/{handler.handler_id}/{resource}"


def _checked(address: str, whose: str) -> str:
    """Return an address that can be posted to.

    Raises:
        UnsuitableStream: if it cannot.
    """
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        is_good = False
    if not is_good or _BLANK.search(address):
        raise UnsuitableStream(f"the address of {whose}, '{address}', is not an http or https address")
    return address
