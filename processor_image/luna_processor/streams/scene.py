"""One frame under analysis: what was found in it, and measures and pictures that are made when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from luna_processor.frames import Frame
from luna_processor.selection.bestshot import EDGE_PX, Look, body_quality, face_quality, frontality, sharpness
from luna_processor.selection.liveness import Check
from luna_processor.selection.sending import Moment
from luna_processor.vision.detections import Detections, FloatArray
from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.imaging import shrink
from luna_processor.vision.view import Picture, PixelRect, View, crop_rect


class PoseEstimator(Protocol):
    """Measures how heads are turned."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        """Return the pose of the head in a box of the view."""


class MouthEstimator(Protocol):
    """Measures how far mouths are covered."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return the covered part of the mouth of the face in a box of the view, 0 to 1."""


class LivenessEstimator(Protocol):
    """Tells people from photos."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return how surely the face in a box of the view is a person's, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Estimators:
    """What measures faces, shared by all streams."""

    pose: PoseEstimator
    mouth: MouthEstimator
    liveness: Mapping[Check, LivenessEstimator] = field(default_factory=dict)
    """The checks that there are models for."""


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of one frame, in pixels of the view."""

    faces: Detections
    bodies: Detections


_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class Scene:
    """A frame, its detections in pixels of the view, and what is known about them; each is measured at most once.

    Args:
        frame: as decoded.
        view: what of it is looked at.
        found: what was found in it.
        estimators: what measures faces.
        background_count: frames of this connection that were analysed before.
    """

    def __init__(
        self, frame: Frame, view: View, found: Found, estimators: Estimators, background_count: int = 0
    ) -> None:
        self.frame = frame
        self.view = view
        self.faces = found.faces
        self.bodies = found.bodies
        self.background_count = background_count
        self.moment = Moment(frame.pts_s, frame.number)
        self._estimators = estimators
        self._rgb: Picture | None = None
        self._luma: Picture | None = None
        self._poses: dict[int, HeadPose] = {}
        self._mouths: dict[int, float] = {}
        self._liveness: dict[tuple[int, Check], float] = {}
        self._face_qualities: dict[int, float] = {}
        self._body_qualities: dict[int, float] = {}

    @property
    def rgb(self) -> Picture:
        """The picture of the view: of its own size, or smaller by `view.picture_scale`."""
        if self._rgb is None:
            self._rgb = self._scaled_view() if self.view.picture_scale < 1 else self.view.apply(self.frame.rgb())
        return self._rgb

    def pose(self, face: int) -> HeadPose:
        """Return how a head is turned."""
        return _once(self._poses, face, lambda: self._estimators.pose.estimate(self.rgb, self._face_in_picture(face)))

    def mouth_cover(self, face: int) -> float:
        """Return how far a mouth is covered, 0 to 1."""
        return _once(self._mouths, face, lambda: self._estimators.mouth.estimate(self.rgb, self._face_in_picture(face)))

    def liveness(self, face: int, check: Check) -> float:
        """Return how surely a face is a person's by one check, 0 to 1."""
        estimator = self._estimators.liveness[check]
        return _once(self._liveness, (face, check), lambda: estimator.estimate(self.rgb, self._face_in_picture(face)))

    def face_height(self, face: int) -> float:
        """Return the height of a face as it is upright, pixels."""
        box = self.faces.boxes_xyxy[face]
        return float(box[3] - box[1])

    def face_quality(self, face: int) -> float:
        """Return how good a shot of a face it is, 0 to 1."""
        marks = self.faces.landmarks_xy
        front = 1.0 if marks is None else frontality(marks[face])
        return _once(self._face_qualities, face, lambda: face_quality(self._look(self.faces, face, front)))

    def body_quality(self, body: int) -> float:
        """Return how good a shot of a body it is, 0 to 1."""
        return _once(self._body_qualities, body, lambda: body_quality(self._look(self.bodies, body, 1.0)))

    def frame_box(self, box_xyxy: FloatArray) -> FloatArray:
        """Return a box of the view in pixels of the frame, cut at the edges of the view."""
        limits = np.array([self.view.width, self.view.height] * 2, np.float32)
        return self.view.to_frame(np.clip(box_xyxy, 0, limits))

    def crop(self, box_xyxy: FloatArray, margin: float, longest_side: int) -> Picture:
        """Return a copy of a box of the view with a margin around it (relative to the box)."""
        height, width = self.rgb.shape[:2]
        rect = crop_rect(box_xyxy * self.view.picture_scale, margin, width, height)
        return shrink(_cut(self.rgb, rect), longest_side).copy()

    def _face_in_picture(self, face: int) -> FloatArray:
        return np.asarray(self.faces.boxes_xyxy[face] * self.view.picture_scale, np.float32)

    def _scaled_view(self) -> Picture:
        """Return the view made smaller; of a whole frame without converting it in full."""
        view = self.view
        if not view.is_whole_frame:
            return shrink(view.apply(self.frame.rgb()), view.longest_side)
        scale = view.picture_scale
        size = (max(1, round(view.frame_width * scale)), max(1, round(view.frame_height * scale)))
        return view.turn(self.frame.scaled_rgb(*size))

    def _look(self, detections: Detections, index: int, front: float) -> Look:
        if self._luma is None:
            self._luma = self.view.apply(self.frame.luma())
        box, view = detections.boxes_xyxy[index], self.view
        touches_edge = bool(
            box[0] < EDGE_PX or box[1] < EDGE_PX or box[2] > view.width - EDGE_PX or box[3] > view.height - EDGE_PX
        )
        return Look(
            score=float(detections.scores[index]),
            sharpness=sharpness(_cut(self._luma, crop_rect(box, 0.0, view.width, view.height))),
            height_px=float(box[3] - box[1]),
            touches_edge=touches_edge,
            frontality=front,
        )


def _once(known: dict[_Key, _Value], key: _Key, measure: Callable[[], _Value]) -> _Value:
    if key not in known:
        known[key] = measure()
    return known[key]


def _cut(picture: Picture, rect: PixelRect) -> Picture:
    return picture[rect.top : rect.bottom, rect.left : rect.right]
