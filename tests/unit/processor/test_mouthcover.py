"""How far a mouth is covered, with the real classifier on the sample clip."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

import luna_local.demo
from luna_processor.engines.batcher import Batcher
from luna_processor.engines.models import ModelLibrary, default_folder
from luna_processor.engines.onnx import OnnxEngine
from luna_processor.engines.port import BatchPolicy
from luna_processor.vision import mouthcover
from luna_processor.vision.detections import ShapeError
from luna_processor.vision.estimators import MouthCoverEstimator

CLIP = Path(luna_local.demo.__file__).parent / "faces.mp4"
FRAME = 120


@pytest.fixture(scope="module")
def picture_and_box() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    truth = json.loads(CLIP.with_suffix(".json").read_text())["frames"][FRAME][0]
    with av.open(str(CLIP)) as clip:
        frame = next(frame for number, frame in enumerate(clip.decode(video=0)) if number == FRAME)
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), np.array(truth["box_xyxy"], np.float32)


def measure(picture: npt.NDArray[np.uint8], box: npt.NDArray[np.float32]) -> float:
    library = ModelLibrary(default_folder())
    model = library.choose("mouth_cover", None)
    batcher = Batcher(OnnxEngine(model, library.read(model)), BatchPolicy(workers=1), "test")
    try:
        return MouthCoverEstimator(batcher).estimate(picture, box)
    finally:
        batcher.close()


def test_a_free_mouth_passes_the_strictest_documented_threshold(
    picture_and_box: tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]],
) -> None:
    assert measure(*picture_and_box) < 0.1


def test_a_covered_mouth_counts_as_more_covered_than_a_free_one(
    picture_and_box: tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]],
) -> None:
    picture, box = picture_and_box
    covered = picture.copy()
    left, top, right, bottom = (int(side) for side in box)
    covered[(top + bottom) // 2 : bottom, left:right] = (130, 170, 220)
    assert measure(covered, box) > 2 * measure(picture, box)


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param([[0.2, 0.8], [0.1]], id="two outputs"),
        pytest.param([[0.2, 0.3, 0.5]], id="three classes"),
        pytest.param([[np.nan, 0.8]], id="no number, which would pass any threshold"),
        pytest.param([[7.0, -3.0]], id="logits"),
    ],
)
def test_what_is_no_answer_of_a_classifier_of_masks_is_refused(outputs: list[list[float]]) -> None:
    with pytest.raises(ShapeError):
        mouthcover.decode([np.array(output, np.float32) for output in outputs])
