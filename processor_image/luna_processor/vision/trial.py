"""Try every model once before streams come: what does not answer as its manifest says is refused at start.

A manifest names files, shapes and decoders; only an answer shows that they fit together. The picture is small, so the
try costs as much as a frame does. Whether the numbers are any good is another matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from luna_processor.engines.models import ModelSpec
from luna_processor.engines.port import Engine
from luna_processor.engines.preparation import NetworkInput
from luna_processor.errors import EngineFailed, StartupError
from luna_processor.vision.detections import FloatArray, ShapeError
from luna_processor.vision.detector import DetectorSettings, make_detector
from luna_processor.vision.estimators import HeadPoseEstimator, LivenessClassifier, MouthCoverEstimator
from luna_processor.vision.imaging import resize
from luna_processor.vision.view import Picture, PixelRect, View

WIDTH, HEIGHT = 64, 48
"""Of the picture, pixels."""


def try_out(model: ModelSpec, engine: Engine, settings: DetectorSettings) -> None:
    """Run a model on a picture of noise.

    Args:
        model: as the manifest describes it.
        engine: runs it.
        settings: of the search for faces and bodies.

    Raises:
        StartupError: if it fails, or answers otherwise than the manifest says.
    """
    picture = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    box_xyxy, alone = np.array([8, 8, 40, 40], np.float32), _Alone(engine)
    try:
        match model.task:
            case "faces" | "bodies":
                view = View(PixelRect(0, 0, WIDTH, HEIGHT), 0, WIDTH, HEIGHT)
                detector = make_detector(model, alone, settings)
                detector.detect(detector.picture(_Still(picture), view), view)
            case "head_pose":
                HeadPoseEstimator(alone).estimate(picture, box_xyxy)
            case "mouth_cover":
                MouthCoverEstimator(alone).estimate(picture, box_xyxy)
            case "liveness_mask" | "liveness_flying_faces":
                LivenessClassifier(model, alone).estimate(picture, box_xyxy)
    except EngineFailed as e:
        # Otherwise the runtime or the card failed, and says itself what to do.
        advice = "; compare decoder and outputs in its manifest" if isinstance(e.__cause__, ShapeError) else ""
        raise StartupError(f"model {model.name} failed when it was tried: {e}{advice}") from e


@dataclass(frozen=True, slots=True)
class _Alone:
    """Runs a network without others that wait for it."""

    engine: Engine

    def run(self, picture: NetworkInput) -> Sequence[FloatArray]:
        """Return the outputs for one picture."""
        return [output[0] for output in self.engine.run([picture])]


@dataclass(frozen=True, slots=True, eq=False)
class _Still:
    """The picture as a frame."""

    picture: Picture
    number: int = 0
    pts_s: float = 0.0
    captured_at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    is_keyframe: bool = True
    is_damaged: bool = False
    width: int = WIDTH
    height: int = HEIGHT

    def rgb(self) -> Picture:
        """Return the picture."""
        return self.picture

    def scaled_rgb(self, width: int, height: int) -> Picture:
        """Return the picture stretched to this size."""
        return resize(self.picture, width, height)

    def luma(self) -> Picture:
        """Return its brightness."""
        return np.asarray(self.picture.mean(axis=2), np.uint8)
