"""What the formats have in common: how LUNA writes a detection, and how a request to it is headed.

Source: names of a detection's fields as in LUNA's `stream_events` since API 6.27; headers as FaceStream sends them.
"""

from __future__ import annotations

from typing import Any, Final

from luna_processor.delivery.events import BestShot, ShotEvent, Target, luna_time
from luna_processor.vision.detections import FloatArray

JPEG: Final = "image/jpeg"
RAW_IMAGE: Final = 0
"""A picture as it was taken, in LUNA's numbers: 1 and 2 are its own cut-outs of faces and bodies, not any others."""
_LONGEST_SOURCE: Final = 128


def source_name(event: ShotEvent) -> str:
    """Return the name of the stream as the field `source` takes it."""
    return event.source[:_LONGEST_SOURCE]


def is_aggregated(event: ShotEvent) -> bool:
    """Return whether one event is to be made of several shots."""
    return len(event.shots) > 1


def filename(shot: BestShot, number: int) -> str:
    """Return what the picture of a shot is called within its event."""
    return f"{shot.kind}_{number}.jpg"


def luna_headers(event: ShotEvent) -> dict[str, str]:
    """Return the headers of a request to a handler; its time is that of the best shot, not of sending."""
    return {
        "Luna-Request-Id": event.request_id,
        "Luna-Event-Time": luna_time(event.shots[0].detected_at),
        **luna_authorization(event.target),
    }


def luna_authorization(target: Target) -> dict[str, str]:
    """Return what authorizes a request to LUNA PLATFORM."""
    return bearer(target.token) if target.token else {"Luna-Account-Id": target.account_id}


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def moment(shot: BestShot) -> dict[str, Any]:
    """Return when a shot was taken: `detect_time`, and `detect_ts`, seconds from the start of a file (None if live)."""
    seconds = None if shot.pts_s is None else round(shot.pts_s, 3)
    return {"detect_time": luna_time(shot.detected_at), "detect_ts": seconds}


def detection_data(shot: BestShot) -> dict[str, list[dict[str, Any]]]:
    """Return the face and the body of a shot, each where there is one; boxes in pixels of the source frame."""
    data: dict[str, list[dict[str, Any]]] = {}
    if face := shot.face:
        pose = face.pose
        angles = {"yaw": round(pose.yaw, 1), "pitch": round(pose.pitch, 1), "roll": round(pose.roll, 1)}
        data["face_detection_data"] = [_scored_box(face.box_xyxy, face.score) | {"angles": angles}]
    if body := shot.body:
        data["body_detection_data"] = [_scored_box(body.box_xyxy, body.score)]
    return data


def _scored_box(box_xyxy: FloatArray, score: float) -> dict[str, Any]:
    left, top, right, bottom = (round(float(side)) for side in box_xyxy)
    return {
        "bounding_box": {"x": left, "y": top, "width": right - left, "height": bottom - top},
        "score": round(score, 4),
    }
