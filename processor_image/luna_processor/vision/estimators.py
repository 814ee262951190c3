"""Measure faces: head pose, covered mouths, liveness; a crop in, a number out, the engine in between."""

from __future__ import annotations

import numpy as np

from luna_processor.engines.models import ModelSpec
from luna_processor.errors import EngineFailed, StartupError
from luna_processor.vision import headpose, mouthcover
from luna_processor.vision.detections import FloatArray, ShapeError
from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.heads import decode_classifier
from luna_processor.vision.imaging import resize
from luna_processor.vision.network import Inference, network_input
from luna_processor.vision.view import Picture, crop_rect


class HeadPoseEstimator:
    """WHENet behind a batcher; used by all streams, for candidates only."""

    def __init__(self, batcher: Inference) -> None:
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        """Return the pose of the head in a box of the view.

        Raises:
            EngineFailed: if inference fails, or gives what is not WHENet's answer.
        """
        crop = _crop(view_rgb, box_xyxy, headpose.CROP_MARGIN, (headpose.INPUT_SIDE, headpose.INPUT_SIDE))
        outputs = self._batcher.run(headpose.to_input(crop))
        try:
            return headpose.decode(outputs)
        except ShapeError as e:
            raise EngineFailed(f"the model of head poses does not answer like WHENet: {e}") from e


class MouthCoverEstimator:
    """A mask classifier behind a batcher; used by all streams that filter by it, for candidates only."""

    def __init__(self, batcher: Inference) -> None:
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return how far the mouth of the face in a box of the view is covered, 0 to 1.

        Raises:
            EngineFailed: if inference fails, or gives what is not the answer of such a classifier.
        """
        crop = _crop(view_rgb, box_xyxy, mouthcover.CROP_MARGIN, (mouthcover.INPUT_SIDE, mouthcover.INPUT_SIDE))
        outputs = self._batcher.run(mouthcover.to_input(crop))
        try:
            return mouthcover.decode(outputs)
        except ShapeError as e:
            raise EngineFailed(f"the model of covered mouths does not answer like a classifier of masks: {e}") from e


class LivenessClassifier:
    """A classifier that the user supplies, behind a batcher; used by all streams that check liveness by it.

    Args:
        model: with the decoder `classifier`.
        batcher: runs it.

    Raises:
        StartupError: if the size of its input is not fixed.
    """

    def __init__(self, model: ModelSpec, batcher: Inference) -> None:
        if model.input_size is None:
            raise StartupError(f"the input of model {model.name} must have a fixed height and width")
        self._size = model.input_size
        self._model = model
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return how surely the face in a box of the view is a person's, 0 to 1.

        Raises:
            EngineFailed: if inference fails, or gives what is not the answer of a classifier.
        """
        crop = _crop(view_rgb, box_xyxy, self._model.crop_margin, self._size)
        outputs = self._batcher.run(network_input(self._model, crop.astype(np.float32)))
        try:
            return decode_classifier(outputs[0], self._model.class_index, self._model.activation)
        except ShapeError as e:
            raise EngineFailed(f"model {self._model.name} does not answer like a classifier: {e}") from e


def _crop(view_rgb: Picture, box_xyxy: FloatArray, margin: float, size: tuple[int, int]) -> Picture:
    """Cut a face with a margin (relative to the box) and bring it to a size (width, height)."""
    rect = crop_rect(box_xyxy, margin, view_rgb.shape[1], view_rgb.shape[0])
    return resize(view_rgb[rect.top : rect.bottom, rect.left : rect.right], *size)
