"""What a detector found in one picture, as a struct of arrays.

Detector, tracker and best-shot selection hand these to each other; shapes are checked once, at construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.intp]

LANDMARK_COUNT = 5
"""Left eye, right eye, nose, left and right corner of the mouth, as they lie in the picture."""


class ShapeError(ValueError):
    """Arrays do not fit each other: a programming error, or a model that is not what its manifest says."""


@dataclass(frozen=True, slots=True)
class Detections:
    """Faces or bodies of one picture.

    Attributes:
        boxes_xyxy: float32 (N, 4), x1 y1 x2 y2 in pixels of the picture.
        scores: float32 (N,), 0 to 1.
        landmarks_xy: float32 (N, 5, 2), pixels of the picture; None where the model finds none.
    """

    boxes_xyxy: FloatArray
    scores: FloatArray
    landmarks_xy: FloatArray | None = None

    def __post_init__(self) -> None:
        count = len(self.scores)
        marks = self.landmarks_xy
        expected = ((count, 4), (count,), None if marks is None else (count, LANDMARK_COUNT, 2))
        actual = (self.boxes_xyxy.shape, self.scores.shape, None if marks is None else marks.shape)
        if actual != expected:
            raise ShapeError(f"detections of shapes {actual} do not fit each other")

    @classmethod
    def none(cls) -> Self:
        """Return the empty set."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, indices: IndexArray) -> Detections:
        """Return the chosen detections, in the order of `indices`."""
        marks = self.landmarks_xy
        return Detections(self.boxes_xyxy[indices], self.scores[indices], None if marks is None else marks[indices])

    def scaled(self, factor_x: float, factor_y: float) -> Detections:
        """Return the same detections in a picture that is `factor` times as large."""
        factors = np.array([factor_x, factor_y], np.float32)
        marks = self.landmarks_xy
        return Detections(
            self.boxes_xyxy * np.tile(factors, 2), self.scores, None if marks is None else marks * factors
        )

    def inside(self, width: float, height: float) -> Detections:
        """Return those that have a part in a picture of this size; a network may see things in its borders, too."""
        boxes = np.clip(self.boxes_xyxy, 0, np.array([width, height] * 2, np.float32))
        return self.take(np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1)))


def iou_matrix(left_xyxy: FloatArray, right_xyxy: FloatArray) -> FloatArray:
    """Return the intersection over union of every pair, float32 (N, M); degenerate boxes have 0 with everything."""
    top_left = np.maximum(left_xyxy[:, None, :2], right_xyxy[None, :, :2])
    bottom_right = np.minimum(left_xyxy[:, None, 2:], right_xyxy[None, :, 2:])
    sides = np.clip(bottom_right - top_left, 0, None)
    overlap = np.asarray(sides[..., 0] * sides[..., 1], np.float32)
    union = box_areas(left_xyxy)[:, None] + box_areas(right_xyxy)[None, :] - overlap
    overlaps = np.zeros_like(overlap)
    np.divide(overlap, union, out=overlaps, where=union > 0)
    return overlaps


def box_areas(boxes_xyxy: FloatArray) -> FloatArray:
    """Return the areas, float32 (N,); a box turned inside out has area 0."""
    sides = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def suppress_overlaps(boxes_xyxy: FloatArray, scores: FloatArray, max_iou: float) -> IndexArray:
    """Return the indices that greedy non-maximum suppression keeps, best score first.

    Equal scores keep the order of the input, so that the result does not depend on the platform.
    """
    order = np.argsort(-scores, kind="stable")
    overlaps = iou_matrix(boxes_xyxy, boxes_xyxy)
    kept: list[int] = []
    is_open = np.ones(len(scores), bool)
    for index in order:
        if is_open[index]:
            kept.append(int(index))
            is_open &= overlaps[index] <= max_iou
    return np.array(kept, np.intp)
