"""A shot that was chosen: a face, a body, or both of one person in one frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from luna_processor.events import BodyData, FaceData
from luna_processor.frames import Frame
from luna_processor.sending import DueSet
from luna_processor.view import Picture


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One or two detections of one frame, and the picture that is sent of them."""

    picture_rgb: Picture
    face: FaceData | None
    body: BodyData | None
    frame: Frame | None
    """Held only where a frame store wants it."""
    frame_number: int
    detected_at: datetime
    pts_s: float


def together(found: DueSet[Shot], body_count: int) -> tuple[Shot, ...]:
    """Return the shots of one event about a face and its body.

    The face's frame comes first, and its body with it; bodies of other frames fill the set up to `body_count`. Where no
    bodies are to be sent (their set is not full), the faces go alone.
    """
    if not found.bodies:
        return tuple(replace(shot, body=None) for shot in found.faces)
    taken = {shot.frame_number for shot in found.faces if shot.body is not None}
    others = [shot for shot in found.bodies if shot.frame_number not in taken]
    return found.faces + tuple(others[: max(0, body_count - len(taken))])
