"""A network as detectors and estimators see it: what runs it, and the form it takes pictures in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from luna_processor.engines.models import ModelSpec
from luna_processor.engines.preparation import NetworkInput
from luna_processor.vision.detections import FloatArray


class Inference(Protocol):
    """Runs one network, a picture at a time; may be called by several threads."""

    def run(self, picture: NetworkInput) -> Sequence[FloatArray]:
        """Return the outputs for one picture, without batch axis.

        Raises:
            EngineFailed: if inference fails.
        """


def network_input(model: ModelSpec, picture_rgb: FloatArray) -> FloatArray:
    """Return a picture (H, W, 3) in the form a model takes: its order of colours, normalised, its axes in order."""
    form = model.picture
    colours: FloatArray = picture_rgb if form.colour == "rgb" else picture_rgb[..., ::-1]
    tensor: FloatArray = colours - np.array(form.mean, np.float32)
    tensor /= np.array(form.deviation, np.float32)
    return np.ascontiguousarray(tensor if model.is_channels_last else tensor.transpose(2, 0, 1), np.float32)
