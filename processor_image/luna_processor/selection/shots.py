"""A shot that was chosen: a face, a body, or both of one person in one frame."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from luna_processor.delivery.events import BodyData, FaceData
from luna_processor.frames import Frame
from luna_processor.selection.sending import DueSet
from luna_processor.vision.view import Picture


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
    face_alone: Shot | None = None
    """Of a face with its body: what is sent where the body is not to be."""


def together(found: DueSet[Shot], body_count: int) -> tuple[Shot, ...]:
    """Return the shots of one event about a face and its body.

    The best faces bring the bodies of their frames along, `body_count` at most; bodies of other frames fill the set up.
    Where no bodies are to be sent (their set is not full), the faces go alone.
    """
    room = body_count if found.bodies else 0
    shots: list[Shot] = []
    for shot in found.faces:
        if shot.face_alone is None or room > 0:
            shots.append(shot)
            room -= shot.body is not None
        else:
            shots.append(shot.face_alone)
    taken = {shot.frame_number for shot in shots}
    others = [shot for shot in found.bodies if shot.frame_number not in taken]
    return (*shots, *others[:room])
