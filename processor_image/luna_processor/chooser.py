"""The best shots of all subjects of a stream for one analytics: its filters, its sets, its periods."""

from __future__ import annotations

import numpy as np

from luna_processor.detections import FloatArray
from luna_processor.events import BodyData, FaceData
from luna_processor.plan import AnalyticsPlan, Kinds
from luna_processor.scene import Scene
from luna_processor.sending import DueSet, TrackHistory
from luna_processor.shots import Shot, together
from luna_processor.tracking.subjects import Subject
from luna_processor.view import Picture, PixelRect

FACE_MARGIN = 0.4
"""Picture around the face box on each side, relative to the box: LUNA looks for the face in it once more."""
BODY_MARGIN = 0.1
ALONE_PENALTY = 0.75
"""Factor for a face whose body was not found in the frame, where both are wanted together."""
FACE_LONGEST_SIDE_PX = 800
BODY_LONGEST_SIDE_PX = 1280


class Chooser:
    """Chooses for one analytics.

    Args:
        plan: of the analytics.
        droi: its region, pixels of the frame.
    """

    def __init__(self, plan: AnalyticsPlan, droi: PixelRect) -> None:
        self.plan = plan
        self._droi = droi
        self._histories: dict[str, TrackHistory[Shot]] = {}

    def consider(self, subject: Subject, scene: Scene) -> None:
        """Take a frame of a subject into account."""
        history = self._histories.get(subject.track_id)
        if history is None:
            history = self._histories[subject.track_id] = TrackHistory(self.plan.sending, scene.moment)
        if scene.frame.is_damaged:
            return
        body = subject.body if subject.body is not None and self._accepts_body(subject.body, scene) else None
        if body is not None and self.plan.kinds.has_bodies:
            history.consider_body(scene.moment, scene.body_quality(body), lambda: self._take_body(body, scene))
        face = subject.face
        if face is not None and self.plan.kinds.has_faces and self._accepts_face(face, scene):
            wants_both = self.plan.kinds is Kinds.TOGETHER
            companion = body if wants_both else None
            value = scene.face_quality(face) * (ALONE_PENALTY if wants_both and body is None else 1.0)
            history.consider_face(scene.moment, value, lambda: self._take_face(face, companion, scene))

    def due(self, subject: Subject, scene: Scene) -> list[tuple[Shot, ...]]:
        """Return the sets of a subject that are to be sent now."""
        return self._sets(self._histories[subject.track_id].due(scene.moment))

    def merge(self, track_id: str, into: str) -> None:
        """Two subjects turned out to be one."""
        history = self._histories.pop(track_id, None)
        if history is None:
            return
        if known := self._histories.get(into):
            known.absorb(history)
        else:
            self._histories[into] = history

    def end(self, track_id: str) -> list[tuple[Shot, ...]]:
        """Return the sets that are left of a subject, and forget it."""
        history = self._histories.pop(track_id, None)
        return self._sets(history.rest()) if history else []

    def _sets(self, found: DueSet[Shot]) -> list[tuple[Shot, ...]]:
        """Return what goes out together, without empty sets."""
        if self.plan.kinds is Kinds.TOGETHER:
            sets = [together(found, self.plan.sending.body_count)]
        else:
            sets = [found.faces, found.bodies]
        return [shots for shots in sets if shots]

    def _accepts_face(self, face: int, scene: Scene) -> bool:
        """Return whether a face passes the filters that cost nothing."""
        return self.plan.face_filters.accepts_score(float(scene.faces.scores[face])) and self._droi.contains(
            scene.frame_box(scene.faces.boxes_xyxy[face])
        )

    def _accepts_body(self, body: int, scene: Scene) -> bool:
        box = scene.frame_box(scene.bodies.boxes_xyxy[body])
        width, height = float(box[2] - box[0]), float(box[3] - box[1])
        score = float(scene.bodies.scores[body])
        return self.plan.body_filters.accepts(score, width, height) and self._droi.contains(box)

    def _take_face(self, face: int, body: int | None, scene: Scene) -> Shot | None:
        """Return the shot of a face, and of the body it belongs to; None if the filters refuse its pose or mouth."""
        pose, filters = scene.pose(face), self.plan.face_filters
        if not filters.accepts_pose(pose):
            return None
        if filters.looks_at_mouths and scene.mouth_cover(face) > filters.max_mouth_cover:
            return None
        box = scene.faces.boxes_xyxy[face]
        data = FaceData(scene.frame_box(box), float(scene.faces.scores[face]), pose)
        if body is None:
            return self._shot(scene, scene.crop(box, FACE_MARGIN, FACE_LONGEST_SIDE_PX), data, None)
        both = _union(_with_margin(box, FACE_MARGIN), _with_margin(scene.bodies.boxes_xyxy[body], BODY_MARGIN))
        return self._shot(scene, scene.crop(both, 0.0, BODY_LONGEST_SIDE_PX), data, _body_data(body, scene))

    def _take_body(self, body: int, scene: Scene) -> Shot:
        crop = scene.crop(scene.bodies.boxes_xyxy[body], BODY_MARGIN, BODY_LONGEST_SIDE_PX)
        return self._shot(scene, crop, None, _body_data(body, scene))

    def _shot(self, scene: Scene, picture: Picture, face: FaceData | None, body: BodyData | None) -> Shot:
        wants_frame = self.plan.target.frame_store is not None and self.plan.full_frames.wants(
            has_face=face is not None, has_body=body is not None
        )
        return Shot(
            picture_rgb=picture,
            face=face,
            body=body,
            frame=scene.frame if wants_frame else None,
            frame_number=scene.frame.number,
            detected_at=scene.frame.captured_at,
            pts_s=scene.frame.pts_s,
        )


def _body_data(body: int, scene: Scene) -> BodyData:
    return BodyData(scene.frame_box(scene.bodies.boxes_xyxy[body]), float(scene.bodies.scores[body]))


def _with_margin(box_xyxy: FloatArray, margin: float) -> FloatArray:
    border = (box_xyxy[2:] - box_xyxy[:2]) * margin
    return np.concatenate([box_xyxy[:2] - border, box_xyxy[2:] + border]).astype(np.float32)


def _union(left_xyxy: FloatArray, right_xyxy: FloatArray) -> FloatArray:
    corners = np.minimum(left_xyxy[:2], right_xyxy[:2]), np.maximum(left_xyxy[2:], right_xyxy[2:])
    return np.concatenate(corners).astype(np.float32)
