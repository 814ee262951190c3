"""Decode the output of CenterFace: a heat map of face centres with size, offset and landmarks at stride 4.

Pure numpy; the engine runs the network, this module knows what its numbers mean.
Source: CenterFace, Xu et al. 2019 (https://github.com/Star-Clouds/CenterFace), decoding as in its reference code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from luna_processor.vision.detections import LANDMARK_COUNT, Detections, FloatArray, ShapeError, suppress_overlaps

STRIDE = 4
"""Pixels of the input per cell of the heat map."""
SIZE_MULTIPLE = 32
"""Width and height of the input are multiples of this: the network halves five times and doubles back."""
MAX_LOG_SIZE = 10.0
"""A face beyond e^10 strides is garbage; it must not overflow."""
MAX_CANDIDATES = 1000
"""Cells looked at, best first: bounds the cost of suppression on a picture that is noise."""


def input_size(width: int, height: int, longest_side: int) -> tuple[int, int]:
    """Return the input size (width, height) for a picture: its longest side scaled, both sides rounded up to 32.

    The picture is stretched onto it, which distorts faces by a few percent, as in the network's training.
    """
    factor = longest_side / max(width, height)
    return _round_up(width * factor), _round_up(height * factor)


def _round_up(side: float) -> int:
    return max(1, int(np.ceil(round(side, 3) / SIZE_MULTIPLE))) * SIZE_MULTIPLE


def to_input(picture_rgb: npt.NDArray[np.uint8]) -> FloatArray:
    """Return a picture (H, W, 3) in the form the network takes: float32 (3, H, W), RGB, 0 to 255."""
    # In two steps: turning bytes and then widening them is a quarter faster than both at once.
    return np.ascontiguousarray(picture_rgb.transpose(2, 0, 1)).astype(np.float32)


def decode(outputs: Sequence[FloatArray], min_score: float, max_iou: float) -> Detections:
    """Return the faces of one picture in pixels of the network's input.

    Args:
        outputs: of one picture: heat map (1, h, w), log size (2, h, w) height first, offset (2, h, w) y first,
            landmarks (10, h, w) y first, relative to the box.
        min_score: cells below are no candidates.
        max_iou: of two boxes that overlap more, the weaker is dropped.

    Raises:
        ShapeError: if the maps do not fit each other, or hold what is no number.
    """
    if len(outputs) != 4 or outputs[0].ndim != 3:
        raise ShapeError(f"outputs of shapes {[output.shape for output in outputs]} are not CenterFace's four maps")
    heat_map, log_size, offset, landmark_map = outputs
    plane = heat_map.shape[1:]
    expected = [(1, *plane), (2, *plane), (2, *plane), (2 * LANDMARK_COUNT, *plane)]
    if [output.shape for output in outputs] != expected:
        raise ShapeError(f"maps of shapes {[output.shape for output in outputs]} are not CenterFace's")
    if not np.isfinite(heat_map).all():
        raise ShapeError("a heat map of what is no number is not CenterFace's")
    rows, columns = np.nonzero(heat_map[0] >= min_score)
    scores = heat_map[0, rows, columns]
    if len(scores) > MAX_CANDIDATES:
        best = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
        rows, columns, scores = rows[best], columns[best], scores[best]

    # A broken network says so below, in one line, and not in a warning for each number.
    with np.errstate(invalid="ignore", over="ignore"):
        log_sizes_xy = log_size[::-1, rows, columns].T
        sizes_xy = np.exp(np.minimum(log_sizes_xy, MAX_LOG_SIZE)) * STRIDE
        cells_xy = np.stack([columns, rows], axis=1).astype(np.float32)
        centres_xy = (cells_xy + offset[::-1, rows, columns].T + 0.5) * STRIDE
        corners_xy = centres_xy - sizes_xy / 2
        boxes = np.concatenate([corners_xy, corners_xy + sizes_xy], axis=1).astype(np.float32)
        relative_yx = landmark_map[:, rows, columns].T.reshape(-1, LANDMARK_COUNT, 2)
        landmarks = relative_yx[:, :, ::-1] * sizes_xy[:, None] + corners_xy[:, None]
    if not all(np.isfinite(numbers).all() for numbers in (log_sizes_xy, boxes, landmarks)):
        raise ShapeError("boxes that are no numbers are not CenterFace's")
    found = Detections(boxes, scores.astype(np.float32), landmarks.astype(np.float32))
    return found.take(suppress_overlaps(found.boxes_xyxy, found.scores, max_iou))
