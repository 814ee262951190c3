"""Head pose by WHENet: prepare the crop, read angles from the logits.

Pure numpy. Source: WHENet, Zhou and Gregson 2020 (https://arxiv.org/abs/2005.10353), angles as the expectation over
bins of 3 degrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from luna_processor.vision.detections import FloatArray, ShapeError

INPUT_SIDE = 224
CROP_MARGIN = 0.1
"""Added on each side of the face box, relative to the box: the network was trained on loose head crops."""

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
_DEGREES_PER_BIN = 3.0
_BINS = [(120,), (66,), (66,)]
"""Of yaw, pitch and roll."""


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Angles in degrees, 0 for a face that looks into the camera; pitch > 0 looks up."""

    yaw: float
    pitch: float
    roll: float


def to_input(crop_rgb: npt.NDArray[np.uint8]) -> FloatArray:
    """Return a crop (224, 224, 3) in the form the network takes: float32, ImageNet mean and deviation, HWC."""
    return ((crop_rgb.astype(np.float32) / 255.0) - _MEAN) / _DEVIATION


def decode(outputs: Sequence[FloatArray]) -> HeadPose:
    """Return the pose of one head from its logits: yaw (120,), pitch (66,), roll (66,).

    Raises:
        ShapeError: if they are not of these shapes, or no numbers.
    """
    shapes = [logits.shape for logits in outputs]
    if shapes != _BINS:
        raise ShapeError(f"outputs of shapes {shapes} are not yaw, pitch and roll in bins {_BINS}")
    if not all(np.isfinite(logits).all() for logits in outputs):
        raise ShapeError("angles that are no numbers are not those of a head")
    return HeadPose(*(_expectation(logits) for logits in outputs))


def _expectation(logits: FloatArray) -> float:
    """Return the mean angle; bins are centred on 0."""
    weights = np.exp(logits - logits.max())
    bins = np.arange(len(logits), dtype=np.float32)
    mean_bin = float((weights * bins).sum() / weights.sum())
    return mean_bin * _DEGREES_PER_BIN - len(logits) * _DEGREES_PER_BIN / 2
