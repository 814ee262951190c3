"""One frame under analysis: what was found in it, and measures and pictures that are made when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from luna_processor.bestshot import EDGE_PX, Look, body_quality, face_quality, frontality, sharpness
from luna_processor.detections import Detections, FloatArray
from luna_processor.frames import Frame
from luna_processor.headpose import HeadPose
from luna_processor.imaging import shrink
from luna_processor.sending import Moment
from luna_processor.view import Picture, PixelRect, View, crop_rect


class PoseEstimator(Protocol):
    """Measures how heads are turned."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        """Return the pose of the head in a box of the view."""


class MouthEstimator(Protocol):
    """Measures how far mouths are covered."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return the covered part of the mouth of the face in a box of the view, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Estimators:
    """What measures faces, shared by all streams."""

    pose: PoseEstimator
    mouth: MouthEstimator


_Value = TypeVar("_Value")


class Scene:
    """A frame, its detections in pixels of the view, and what is known about them; each is measured at most once."""

    def __init__(self, frame: Frame, view: View, faces: Detections, bodies: Detections, estimators: Estimators) -> None:
        self.frame = frame
        self.view = view
        self.faces = faces
        self.bodies = bodies
        self.moment = Moment(frame.pts_s, frame.number)
        self._estimators = estimators
        self._rgb: Picture | None = None
        self._luma: Picture | None = None
        self._poses: dict[int, HeadPose] = {}
        self._mouths: dict[int, float] = {}
        self._face_qualities: dict[int, float] = {}
        self._body_qualities: dict[int, float] = {}

    @property
    def rgb(self) -> Picture:
        """The view of the frame."""
        if self._rgb is None:
            self._rgb = self.view.apply(self.frame.rgb())
        return self._rgb

    def pose(self, face: int) -> HeadPose:
        """Return how a head is turned."""
        return _once(self._poses, face, lambda: self._estimators.pose.estimate(self.rgb, self.faces.boxes_xyxy[face]))

    def mouth_cover(self, face: int) -> float:
        """Return how far a mouth is covered, 0 to 1."""
        return _once(self._mouths, face, lambda: self._estimators.mouth.estimate(self.rgb, self.faces.boxes_xyxy[face]))

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
        rect = crop_rect(box_xyxy, margin, self.view.width, self.view.height)
        return shrink(_cut(self.rgb, rect), longest_side).copy()

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


def _once(known: dict[int, _Value], index: int, measure: Callable[[], _Value]) -> _Value:
    if index not in known:
        known[index] = measure()
    return known[index]


def _cut(picture: Picture, rect: PixelRect) -> Picture:
    return picture[rect.top : rect.bottom, rect.left : rect.right]
