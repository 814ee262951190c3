"""Read the answers of object detectors: from the tensors of a network to boxes and scores.

Pure numpy; one function per family of networks, all of the same form, so that a model of a known family needs no code,
only its lines in the manifest. Boxes are in pixels of the picture that the network was given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from luna_processor.vision.detections import Detections, FloatArray, ShapeError, suppress_overlaps

MAX_CANDIDATES = 300
"""Boxes that are compared with each other at most; a picture with more above the threshold is noise."""

YOLOX_STRIDES = (8, 16, 32)

ROUNDING = 0.01
"""Scores may exceed 1 by this: so do those of quantized networks."""

quietly = np.errstate(invalid="ignore", over="ignore")
"""Whatever a network says is read without a warning of numpy for each number; what is no number is left out later."""


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


@quietly
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


@quietly
def decode_yolox(outputs: Sequence[FloatArray], settings: HeadSettings) -> Detections:
    """Return the boxes of a YOLOX as its authors export it, before its grid is applied.

    Args:
        outputs: one tensor (cells, 5 + classes) of the strides 8, 16, 32: centre and log size relative to the cell and
            in strides, objectness and classes 0 to 1.
        settings: what is wanted.
    """
    [rows] = _exactly(outputs, 1, "YOLOX")
    grid = [_cells(settings.width, settings.height, stride) for stride in YOLOX_STRIDES]
    corners, strides = np.concatenate([c for c, _ in grid]), np.concatenate([s for _, s in grid])
    if rows.ndim != 2 or rows.shape[1] < 6 or len(rows) != len(strides):
        raise ShapeError(
            f"an output {rows.shape} is not that of a YOLOX for {settings.width}x{settings.height}, "
            f"which has {len(strides)} cells of 5 + classes"
        )
    centres = (rows[:, :2] + corners) * strides[:, None]
    # A size beyond e^10 strides is garbage; it must not overflow on its way to being cut.
    sizes = np.exp(np.minimum(rows[:, 2:4], 10)) * strides[:, None]
    return _best(_corners(centres, sizes), rows[:, 4] * _class_of(rows[:, 5:], settings), settings)


@quietly
def decode_yolov8(outputs: Sequence[FloatArray], settings: HeadSettings) -> Detections:
    """Return the boxes of a network that answers like YOLOv8 (also YOLO11).

    Args:
        outputs: one tensor (4 + classes, cells): centre and size in pixels, classes 0 to 1.
        settings: what is wanted.
    """
    [columns] = _exactly(outputs, 1, "YOLOv8")
    if columns.ndim != 2 or columns.shape[0] < 5:
        raise ShapeError(f"an output {columns.shape} is not that of a YOLOv8, which is (4 + classes, cells)")
    return _best(_corners(columns[:2].T, columns[2:4].T), _class_of(columns[4:].T, settings), settings)


@quietly
def decode_detr(outputs: Sequence[FloatArray], settings: HeadSettings) -> Detections:
    """Return the boxes of a network that answers like DETR: logits by softmax, the last class being "nothing".

    Args:
        outputs: logits (queries, classes + 1), boxes (queries, 4): centre and size relative to the picture.
        settings: what is wanted.
    """
    logits, boxes = _queries(outputs, "DETR")
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (weights / weights.sum(axis=1, keepdims=True))[:, :-1]
    return _from_queries(probabilities, boxes, settings)


@quietly
def decode_rtdetr(outputs: Sequence[FloatArray], settings: HeadSettings) -> Detections:
    """Return the boxes of a network that answers like RT-DETR or Deformable DETR: logits by sigmoid, no class apart.

    Args:
        outputs: logits (queries, classes), boxes (queries, 4): centre and size relative to the picture.
        settings: what is wanted.
    """
    logits, boxes = _queries(outputs, "RT-DETR")
    probabilities = 1 / (1 + np.exp(-np.clip(logits, -50, 50)))
    return _from_queries(probabilities.astype(np.float32), boxes, settings)


def decode_classifier(output: FloatArray, class_index: int, activation: Literal["none", "softmax", "sigmoid"]) -> float:
    """Return the probability of a class from the output of a classifier (classes,).

    Raises:
        ShapeError: if there is no such class, or what is there is no probability.
    """
    values = output.reshape(-1).astype(np.float64)
    if not 0 <= class_index < len(values):
        raise ShapeError(f"there is no class {class_index} among {len(values)}")
    if not np.isfinite(values).all():
        raise ShapeError("what is no number is no probability")
    if activation == "softmax":
        values = np.exp(values - values.max())
        values /= values.sum()
    elif activation == "sigmoid":
        values = 1 / (1 + np.exp(-np.clip(values, -50, 50)))
    value = float(values[class_index])
    if not -ROUNDING <= value <= 1 + ROUNDING:
        raise ShapeError(f"{value:.3g} is no probability; does the model need activation: softmax or sigmoid?")
    return min(1.0, max(0.0, value))


def _queries(outputs: Sequence[FloatArray], family: str) -> tuple[FloatArray, FloatArray]:
    logits, boxes = _exactly(outputs, 2, family)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or logits.ndim != 2 or len(logits) != len(boxes):
        raise ShapeError(f"logits {logits.shape} and boxes {boxes.shape} are not those of a {family}")
    return logits, boxes


def _from_queries(probabilities: FloatArray, boxes_cxcywh: FloatArray, settings: HeadSettings) -> Detections:
    size = np.array([settings.width, settings.height], np.float32)
    boxes = _corners(boxes_cxcywh[:, :2] * size, boxes_cxcywh[:, 2:] * size)
    return _best(boxes, _class_of(probabilities, settings), settings)


def _cells(width: int, height: int, stride: int) -> tuple[FloatArray, FloatArray]:
    """Return corner (x, y) and stride of every cell of a grid, row by row."""
    rows, columns = np.divmod(np.arange((height // stride) * (width // stride)), width // stride)
    return np.stack([columns, rows], axis=1).astype(np.float32), np.full(len(rows), stride, np.float32)


def _corners(centres_xy: FloatArray, sizes_xy: FloatArray) -> FloatArray:
    """Return boxes x1 y1 x2 y2 from centres and sizes."""
    return np.concatenate([centres_xy - sizes_xy / 2, centres_xy + sizes_xy / 2], axis=1)


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
    """Return the boxes that are strong enough, each object once, cut at the edges of the picture.

    Raises:
        ShapeError: if the scores are none: they were read from the wrong place, or are logits.
    """
    limits = np.array([settings.width, settings.height] * 2, np.float32)
    boxes = np.clip(boxes_xyxy, 0, limits).astype(np.float32)
    # A network may well say what is no number of a picture it was not trained for: that hides no other box.
    is_box = np.isfinite(boxes_xyxy).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    strong = np.flatnonzero(is_box & np.isfinite(scores) & (scores >= settings.min_score))
    strong = strong[np.argsort(-scores[strong], kind="stable")[:MAX_CANDIDATES]]
    if len(strong) and scores[strong[0]] > 1 + ROUNDING:
        raise ShapeError(f"{scores[strong[0]]:.3g} is no score of 0 to 1; its outputs may be logits, or in other order")
    found = Detections(boxes[strong], np.minimum(scores[strong], 1).astype(np.float32))
    return found.take(suppress_overlaps(found.boxes_xyxy, found.scores, settings.max_iou))
