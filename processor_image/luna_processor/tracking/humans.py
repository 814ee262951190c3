"""Tie faces to bodies: a human is a face track, a body track, or both that move together.

Each frame pairs its faces with its bodies by where a face sits in a body; a face and a body that were paired twice
become one human under the id of the older. The tie holds while one of them is out of sight, and breaks when they are
seen apart for a while. Pure; one `Humans` per stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from luna_processor.tracking.association import CostMatrix, assign
from luna_processor.tracking.subjects import EndedSubject, Subject, SubjectsUpdate
from luna_processor.vision.detections import FloatArray

TIE_FRAMES = 2
"""Frames in which a face and a body must be paired to become one human."""
UNTIE_FRAMES = 8
"""Frames in a row in which they are seen apart that break the tie."""
MIN_COVER = 0.6
"""Part of the face that lies in the body; detectors of bodies cut off hair."""
UPPER_PART = 0.6
"""The face's centre is this high in the body at least; in a close-up the face takes up half of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A face or body that was seen in a frame."""

    track_id: str
    """Of the face's or body's own track."""
    detection: int
    """Index into its detections."""
    box_xyxy: FloatArray
    is_confirmed: bool


@dataclass(slots=True, eq=False)
class _Human:
    track_id: str
    number: int
    """Counts humans: the older of two has the smaller."""
    face: str | None = None
    body: str | None = None
    is_confirmed: bool = False
    frames_apart: int = 0


@dataclass(slots=True)
class _Frame:
    """Humans by their parts in the present frame."""

    faces: dict[str, Part] = field(default_factory=dict)
    bodies: dict[str, Part] = field(default_factory=dict)


class Humans:
    """Knows which face belongs to which body.

    Args:
        new_id: makes the id of a human; every call must give another one.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._count = 0
        self._of_face: dict[str, _Human] = {}
        self._of_body: dict[str, _Human] = {}
        self._votes: Counter[tuple[str, str]] = Counter()

    @property
    def confirmed_count(self) -> int:
        """Number of confirmed humans that have not ended."""
        humans = {id(human): human for human in (*self._of_face.values(), *self._of_body.values())}
        return sum(human.is_confirmed for human in humans.values())

    @property
    def is_doubtful(self) -> bool:
        """Whether a face and its body were seen apart, so that the next frames decide whether they belong together."""
        return any(human.frames_apart > 0 for human in self._of_face.values())

    def update(self, faces: Sequence[Part], bodies: Sequence[Part], gone: Iterable[str]) -> SubjectsUpdate:
        """Take in a frame.

        Args:
            faces: that were seen.
            bodies: that were seen.
            gone: ids of face and body tracks that have ended.
        """
        ended = self._forget(gone)
        frame = _Frame({face.track_id: face for face in faces}, {body.track_id: body for body in bodies})
        for face in faces:
            if face.track_id not in self._of_face:
                self._of_face[face.track_id] = self._new(face=face.track_id)
        for body in bodies:
            if body.track_id not in self._of_body:
                self._of_body[body.track_id] = self._new(body=body.track_id)
        self._untie(frame)
        merged = [
            merge
            for face, body in paired(faces, bodies)
            if (merge := self._vote(face.track_id, body.track_id)) is not None
        ]
        return SubjectsUpdate(self._seen(frame), tuple(merged), ended)

    def _new(self, *, face: str | None = None, body: str | None = None) -> _Human:
        self._count += 1
        return _Human(self._new_id(), self._count, face, body)

    def _forget(self, gone: Iterable[str]) -> tuple[EndedSubject, ...]:
        """Take ended tracks off their humans; returns the humans that have none left."""
        ended = []
        for track_id in gone:
            if human := self._of_face.pop(track_id, None):
                human.face = None
            elif human := self._of_body.pop(track_id, None):
                human.body = None
            else:
                continue
            for pair in [pair for pair in self._votes if track_id in pair]:
                del self._votes[pair]
            if human.face is None and human.body is None:
                ended.append(EndedSubject(human.track_id, human.is_confirmed))
        return tuple(ended)

    def _untie(self, frame: _Frame) -> None:
        """Break ties of faces and bodies that do not fit each other any more; the body keeps the human's id."""
        for face_id, face in frame.faces.items():
            human = self._of_face[face_id]
            body = frame.bodies.get(human.body or "")
            if body is None:
                continue
            is_apart = not np.isfinite(fit_costs([face.box_xyxy], [body.box_xyxy])[0, 0])
            human.frames_apart = human.frames_apart + 1 if is_apart else 0
            if human.frames_apart >= UNTIE_FRAMES:
                human.face, human.frames_apart = None, 0
                self._votes.pop((face_id, body.track_id), None)
                self._of_face[face_id] = self._new(face=face_id)

    def _vote(self, face_id: str, body_id: str) -> tuple[str, str] | None:
        """Count a pair; returns (from, into) when it makes two humans one."""
        owner, carrier = self._of_face[face_id], self._of_body[body_id]
        if owner is carrier or owner.body is not None or carrier.face is not None:
            return None
        self._votes[face_id, body_id] += 1
        if self._votes[face_id, body_id] < TIE_FRAMES:
            return None
        older, younger = sorted((owner, carrier), key=lambda human: human.number)
        older.face, older.body = face_id, body_id
        older.is_confirmed = older.is_confirmed or younger.is_confirmed
        self._of_face[face_id] = self._of_body[body_id] = older
        return younger.track_id, older.track_id

    def _seen(self, frame: _Frame) -> tuple[Subject, ...]:
        humans: dict[str, _Human] = {}
        for human in (
            *(self._of_face[face_id] for face_id in frame.faces),
            *(self._of_body[body_id] for body_id in frame.bodies),
        ):
            humans[human.track_id] = human
        seen = []
        for human in humans.values():
            face, body = frame.faces.get(human.face or ""), frame.bodies.get(human.body or "")
            human.is_confirmed = human.is_confirmed or any(part.is_confirmed for part in (face, body) if part)
            seen.append(
                Subject(
                    human.track_id,
                    human.is_confirmed,
                    face.detection if face else None,
                    body.detection if body else None,
                )
            )
        return tuple(seen)


def paired(faces: Sequence[Part], bodies: Sequence[Part]) -> list[tuple[Part, Part]]:
    """Return which face of a frame sits on which body, each at most once, the best fit in all."""
    costs = fit_costs([face.box_xyxy for face in faces], [body.box_xyxy for body in bodies])
    return [(faces[row], bodies[column]) for row, column in assign(costs).pairs]


def fit_costs(faces_xyxy: Sequence[FloatArray], bodies_xyxy: Sequence[FloatArray]) -> CostMatrix:
    """Return how badly faces sit on bodies: off the middle or below the top, in parts of the body; infinite if not."""
    if not faces_xyxy or not bodies_xyxy:
        return np.full((len(faces_xyxy), len(bodies_xyxy)), np.inf)
    faces = np.stack(faces_xyxy).astype(np.float64)[:, None]
    bodies = np.stack(bodies_xyxy).astype(np.float64)[None]
    common = np.minimum(faces[..., 2:], bodies[..., 2:]) - np.maximum(faces[..., :2], bodies[..., :2])
    face_sides = np.maximum(faces[..., 2:] - faces[..., :2], 1e-6)
    body_sides = np.maximum(bodies[..., 2:] - bodies[..., :2], 1e-6)
    cover = np.clip(common, 0, None).prod(axis=2) / face_sides.prod(axis=2)
    centre = ((faces[..., :2] + faces[..., 2:]) / 2 - bodies[..., :2]) / body_sides
    top = np.abs(faces[..., 1] - bodies[..., 1]) / body_sides[..., 1]
    is_on = (cover >= MIN_COVER) & (centre[..., 1] <= UPPER_PART) & (face_sides[..., 0] <= body_sides[..., 0])
    return np.where(is_on, np.abs(centre[..., 0] - 0.5) + top, np.inf)
