"""The leaf parameters of a stream that REST v1, REST v2 and the custom resource share field by field.

Source of names, defaults and bounds: LUNA Streams API 1.1.18, components/schemas.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, LiteralString

from pydantic import BeforeValidator, Discriminator, Field, StringConstraints, Tag
from pydantic_core import PydanticCustomError

from luna_streams.model import INT32_MAX, Clamped32, Int32, Model, NotBoolean, Time

String36 = Annotated[str, StringConstraints(max_length=36)]
_LONGEST_SIDE: Final = 65536
Pixels = Annotated[int, Field(ge=0, le=_LONGEST_SIDE)]
Percent = Annotated[float, Field(ge=0.0, le=100.0)]
PercentSize = Annotated[float, Field(ge=0.00001, le=100.0)]
Angle = Annotated[float, Field(ge=0, le=180)]
ShotKinds = Annotated[Literal[1, 2, 3, 4], NotBoolean]


class RoiAbs(Model):
    """A rectangle in pixels of the source frame; width or height 0 means the whole frame."""

    x: Pixels
    y: Pixels
    width: Pixels
    height: Pixels
    mode: Literal["abs"] = "abs"


class RoiPercent(Model):
    """A rectangle in percent of the source frame."""

    x: Percent
    y: Percent
    width: PercentSize
    height: PercentSize
    mode: Literal["percent"] = "percent"


def _from_array(value: object) -> object:
    """Turn the deprecated form [x, y, width, height] into the object form; it is always in pixels."""
    if not isinstance(value, list | tuple):
        return value
    if len(value) != 4:
        bound = "least" if len(value) < 4 else "most"
        raise PydanticCustomError("roi_length", f"ensure this value has at {bound} 4 items")
    for index, side in enumerate(value):
        if fault := _fault_of(side):
            raise PydanticCustomError("roi_side", fault, {"field": index})
    return dict(zip(("x", "y", "width", "height"), value, strict=True), mode="abs")


def _fault_of(side: object) -> LiteralString | None:
    """Return what is wrong with a side of a region in pixels; named here, since an item has an index and no name."""
    if not isinstance(side, int) or isinstance(side, bool):
        return "value is not a valid integer"
    if side < 0:
        return "ensure this value is greater than or equal to 0"
    return "ensure this value is less than or equal to 65536" if side > _LONGEST_SIDE else None


def _roi_mode(value: Any) -> str | None:
    """Tell pixels from percent; without `mode`, whole numbers are pixels (the document leaves it open)."""
    if isinstance(value, RoiAbs | RoiPercent):
        return value.mode
    if not isinstance(value, dict):
        return "abs"
    if "mode" in value:
        mode = value["mode"]
        return mode if isinstance(mode, str) else None
    sides = [value.get(name) for name in ("x", "y", "width", "height")]
    return "percent" if any(isinstance(side, float) and not side.is_integer() for side in sides) else "abs"


Roi = Annotated[
    Annotated[RoiAbs, Tag("abs")] | Annotated[RoiPercent, Tag("percent")],
    Discriminator(
        _roi_mode,
        custom_error_type="roi_mode",
        custom_error_message="unexpected value; permitted: 'abs', 'percent'",
    ),
    BeforeValidator(_from_array),
]
WHOLE_FRAME = RoiAbs(x=0, y=0, width=0, height=0)


class FilteringCommon(Model):
    """Filters of best-shot candidates that v1 and v2 have alike."""

    detection_yaw_threshold: Angle = 40.0
    """Largest head yaw, degrees."""
    detection_pitch_threshold: Angle = 40.0
    """Largest head pitch, degrees."""
    detection_roll_threshold: Angle = 30.0
    """Largest head roll, degrees."""
    yaw_number: Int32 = 1
    """Frames whose yaw is compared with their mean; 1 switches the comparison off."""
    yaw_collection_mode: bool = False
    """Wait for all `yaw_number` frames before comparing."""
    mouth_occlusion_threshold: float = 0.0
    """Largest covered part of the mouth, 0 to 1; 0 switches the filter off."""
    min_body_size_threshold: float = Field(default=0.0, ge=0)
    """Smallest body, sqrt(width x height) in pixels; 0 switches the filter off."""


class Filtering(FilteringCommon):
    """Filters of best-shot candidates."""

    min_score_face: float = 0.5187
    """Smallest detection score of a face."""
    min_score_body: float = 0.5
    """Smallest detection score of a body."""


class PrimaryTrackPolicy(Model):
    """Access-control mode: only the nearest face counts, and it is sent as soon as it is large enough."""

    use_primary_track_policy: bool = False
    best_shot_min_size: Int32 = 70
    """Detection height in pixels at which analysis begins."""
    best_shot_proper_size: Int32 = 140
    """Detection height in pixels at which the track is sent at once."""


class Healthcheck(Model):
    """When a source that fails is tried again, and when it is given up."""

    max_error_count: Int32 = 10
    """Errors within `period` at which the stream fails."""
    period: Int32 = 3600
    """Seconds during which errors are counted."""
    retry_delay: Int32 = 5
    """Seconds between an error and the next attempt."""
    timeout: int | None = Field(default=None, ge=0, le=INT32_MAX)
    """Milliseconds to wait for an encoded packet; unset leaves the choice to the worker."""


class SendingPeriod(Model):
    """When a track's best shots are sent."""

    time_period_of_searching: int = Field(default=-1, ge=-1, le=INT32_MAX)
    """Length of a search period; -1 searches the whole track and sends at its end."""
    silent_period: int = Field(default=0, ge=-1, le=INT32_MAX)
    """Pause between search periods; -1 sends once per track."""
    type: Literal["sec", "frames"] = "sec"
    """Unit of both periods."""


class BodySending(Model):
    """How complete a body's set must be."""

    send_only_full_set: bool = True
    """Send only when all best shots were found."""
    delete_track_after_sending: bool = False
    """Begin with an empty set after sending."""


class BestshotSettings(Model):
    """Which best shots are sent, and how many."""

    type: ShotKinds = 3
    """1 faces only, 2 bodies only, 3 faces with bodies, 4 separately."""
    face_bestshots_to_send: Int32 = 1
    """Best shots of a face that are sent together."""
    body_bestshots_to_send: Int32 = 1
    """Best shots of a body that are sent together."""


class Sending(SendingPeriod):
    """When and what is sent for a track."""

    body: BodySending = BodySending()
    bestshot_settings: BestshotSettings = BestshotSettings()
    full_frame_settings: ShotKinds = 3
    """Source frames that are sent: 1 faces only, 2 bodies only, 3 faces with bodies, 4 separately."""


class LivenessCommon(Model):
    """Liveness checks that v1 and v2 have alike."""

    use_mask_liveness_filtration: bool = False
    """Tell a person from a picture by what changes behind the face."""
    use_flying_faces_liveness_filtration: bool = False
    """Tell a person from a picture by what surrounds the face."""
    liveness_mode: Annotated[Literal[0, 1, 2], NotBoolean] = 0
    """Frames that are checked: 0 the first N, 1 the last N before sending, 2 all."""
    number_of_liveness_checks: Int32 = 0
    """N: how many frames are checked."""
    liveness_threshold: float = 0.0
    """The weighted sum of the checks above which a face is taken for alive."""
    mask_backgrounds_count: Int32 = 0
    """Frames of the background that the mask check needs."""


class Liveness(LivenessCommon):
    """Liveness checks and the weights (mask, flying faces) with which they count."""

    livenesses_weights: tuple[float, float] = (0.0, 0.0)


class GeoPosition(Model):
    """A place on earth, degrees."""

    longitude: float = Field(ge=-180, le=180)
    latitude: float = Field(ge=-90, le=90)


class Location(Model):
    """Where the camera is; copied into every event."""

    city: String36 | None = None
    area: String36 | None = None
    district: String36 | None = None
    street: String36 | None = None
    house_number: String36 | None = None
    geo_position: GeoPosition | None = None


class AutorestartPolicy(Model):
    """Whether and how often a failed stream is started again by itself."""

    restart: Annotated[Literal[0, 1], NotBoolean] = 0
    """1 starts a failed stream again."""
    attempt_count: int = Field(default=10, ge=1, le=INT32_MAX)
    """Attempts after which it is given up."""
    delay: int = Field(default=60, ge=1, le=INT32_MAX)
    """Seconds between attempts, and after which an attempt is judged."""


class VideoInfo(Model):
    """What a worker found out about the source."""

    width: Clamped32
    height: Clamped32
    frame_rate: Clamped32
    """Frames per second, rounded."""
    bit_rate: Clamped32
    """Bits per second."""
    gop_size: Clamped32
    """Frames between keyframes."""
    start_time: Time
    """When processing began."""
    duration: float | None = Field(default=None, ge=0)
    """Seconds; only where the source has an end."""
    progress: float | None = Field(default=None, ge=0, le=1)
    """How much of the source is processed; only where it has an end."""


class PreviewUrl(Model):
    """Where a picture of a stream can be fetched."""

    url: Annotated[str, StringConstraints(max_length=256, strip_whitespace=True)] | None = None


class Preview(Model):
    """The pictures a worker offers of a stream."""

    live: PreviewUrl | None = None
    """MotionJPEG."""
    last_frame: PreviewUrl | None = None
    """One JPEG."""
