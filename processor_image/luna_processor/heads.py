"""Read the answers of object detectors: from the tensors of a network to boxes and scores.

Pure numpy; one function per family of networks, all of the same form, so that a model of a known family needs no code,
only its lines in the manifest. Boxes are in pixels of the picture that the network was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luna_processor.detections import Detections, FloatArray, ShapeError, suppress_overlaps

MAX_CANDIDATES = 300
"""Boxes that are compared with each other at most; a picture with more above the threshold is noise."""


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """What is read from an answer."""

    width: int
    """Of the network's input, pixels."""
    height: int
    class_index: int = 0
    """Class that is wanted."""
    min_score: float = 0.25
    """Weaker boxes are noise."""
    max_iou: float = 0.5
    """Of two boxes that overlap more, the weaker is the same object."""


Head = Callable[[Sequence[FloatArray], HeadSettings], Detections]
"""Takes the outputs for one picture, without batch axis.

Raises:
    ShapeError: if they are not of the family's form.
"""


def decode_ssd(outputs: Sequence[FloatArray], settings: HeadSettings) -> Detections:
    """Return the boxes of an SSD whose anchors are applied already.

    Args:
        outputs: boxes (A, 4) or (A, 1, 4), relative to the picture, y1 x1 y2 x2; scores (A, classes), 0 to 1.
        settings: what is wanted.
    """
    boxes, scores = _exactly(outputs, 2, "SSD")
    if boxes.ndim == 3 and boxes.shape[1] == 1:
        boxes = boxes[:, 0]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.ndim != 2 or len(scores) != len(boxes):
        raise ShapeError(f"boxes {boxes.shape} and scores {scores.shape} are not those of an SSD")
    wanted = _class_of(scores, settings)
    size = np.array([settings.width, settings.height] * 2, np.float32)
    return _best(boxes[:, [1, 0, 3, 2]] * size, wanted, settings)


def _exactly(outputs: Sequence[FloatArray], count: int, family: str) -> Sequence[FloatArray]:
    if len(outputs) != count:
        raise ShapeError(f"{len(outputs)} outputs are not those of a network like {family}, which has {count}")
    return outputs


def _class_of(scores: FloatArray, settings: HeadSettings) -> FloatArray:
    """Return the column of the wanted class."""
    if not 0 <= settings.class_index < scores.shape[1]:
        raise ShapeError(f"there is no class {settings.class_index} among {scores.shape[1]}")
    return scores[:, settings.class_index]


def _best(boxes_xyxy: FloatArray, scores: FloatArray, settings: HeadSettings) -> Detections:
    """Return the boxes that are strong enough, each object once, cut at the edges of the picture."""
    strong = np.flatnonzero(scores >= settings.min_score)
    strong = strong[np.argsort(-scores[strong], kind="stable")[:MAX_CANDIDATES]]
    limits = np.array([settings.width, settings.height] * 2, np.float32)
    boxes = np.clip(boxes_xyxy[strong], 0, limits).astype(np.float32)
    found = Detections(boxes, scores[strong].astype(np.float32))
    kept = found.take(suppress_overlaps(found.boxes_xyxy, found.scores, settings.max_iou))
    sides = kept.boxes_xyxy[:, 2:] - kept.boxes_xyxy[:, :2]
    return kept.take(np.flatnonzero((sides > 0).all(axis=1)))
