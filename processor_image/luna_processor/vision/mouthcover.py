"""How far a mouth is covered, by a classifier of faces with and without a mask: prepare the crop, read the answer.

Pure numpy. Source of the network: face-mask-detector (MobileNetV2, two classes); what it gives is the probability of
a mask, which stands for the covered part of the mouth: the document's measure (1 is wholly covered) needs no more than
an order from free to covered, and hands or cups are taken for masks by it, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from luna_processor.vision.detections import FloatArray, ShapeError
from luna_processor.vision.heads import decode_classifier

INPUT_SIDE = 224
CROP_MARGIN = 0.1
"""Added on each side of the face box, relative to the box, as the network was trained."""


def to_input(crop_rgb: npt.NDArray[np.uint8]) -> FloatArray:
    """Return a crop (224, 224, 3) in the form the network takes: float32, -1 to 1, HWC."""
    return crop_rgb.astype(np.float32) / 127.5 - 1.0


def decode(outputs: Sequence[FloatArray]) -> float:
    """Return how far the mouth is covered, 0 to 1, from the probabilities (2,) of mask and no mask.

    Raises:
        ShapeError: if they are not of this shape, or no probabilities.
    """
    shapes = [output.shape for output in outputs]
    if shapes != [(2,)]:
        raise ShapeError(f"outputs of shapes {shapes} are not the probabilities of mask and no mask, (2,)")
    return decode_classifier(outputs[0], 0, "none")
