"""Models of every family, from a file and a few lines to boxes in the frame; the networks are made here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luna_processor.engines.batcher import Batcher
from luna_processor.engines.models import ModelLibrary, ModelSpec, Task
from luna_processor.engines.onnx import OnnxEngine
from luna_processor.engines.port import BatchPolicy
from luna_processor.errors import EngineFailed, StartupError
from luna_processor.vision.detector import DetectorSettings, ObjectDetector, make_detector
from luna_processor.vision.estimators import LivenessClassifier
from luna_processor.vision.view import PixelRect, Rotation, View
from support.frames import ArrayFrame
from support.networks import add_model, brightness_classifier, constant_network

FRAME = np.full((240, 640, 3), 50, np.uint8)
TRUTH = (64, 60, 192, 180)
"""Where the networks below say that somebody is, in pixels of the frame."""
RELATIVE = np.array([0.2, 0.5, 0.2, 0.5], np.float32)
"""The same as centre and size, relative to the frame."""
LETTERBOXED = RELATIVE * (1, 0.375, 1, 0.375)
"""The same in a square that the frame fills to 37.5 % of its height."""


def view(rotation: Rotation = 0) -> View:
    return View(PixelRect(0, 0, 640, 240), rotation, 640, 240)


@contextmanager
def opened(folder: Path, task: Task = "bodies") -> Iterator[tuple[ModelSpec, Batcher]]:
    library = ModelLibrary(folder)
    model = library.choose(task, None)
    batcher = Batcher(OnnxEngine(model, library.read(model)), BatchPolicy(1), "test")
    try:
        yield model, batcher
    finally:
        batcher.close()


def entry(outputs: dict[str, np.ndarray], decoder: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "task": "bodies",
        "decoder": decoder,
        "outputs": [{"name": name, "shape": [1, *value.shape]} for name, value in outputs.items()],
        **more,
    }


def yolov8() -> dict[str, np.ndarray]:
    return {"output0": np.array([[*(LETTERBOXED * 64), 0.1, 0.9]], np.float32).T}


def yolox() -> dict[str, np.ndarray]:
    rows = np.zeros((8 * 8 + 4 * 4 + 2 * 2, 6), np.float32)
    x, y, width, height = LETTERBOXED * 64
    row, column = int(y // 8), int(x // 8)
    rows[row * 8 + column] = (x / 8 - column, y / 8 - row, np.log(width / 8), np.log(height / 8), 1, 0.9)
    return {"output": rows}


def detr() -> dict[str, np.ndarray]:
    return {"logits": np.array([[-3, 3, 0]], np.float32), "pred_boxes": RELATIVE[None]}


NCHW: dict[str, Any] = {"name": "image", "shape": [1, 3, 64, 64]}
FAMILIES = [
    pytest.param(yolov8, "yolov8", {"picture": {"fit": "letterbox"}, "class_index": 1}, id="yolov8"),
    pytest.param(yolox, "yolox", {"picture": {"fit": "letterbox", "colour": "bgr"}}, id="yolox"),
    pytest.param(detr, "detr", {"class_index": 1}, id="detr"),
    pytest.param(detr, "rtdetr", {"class_index": 1}, id="rtdetr"),
]


@pytest.mark.parametrize(("answer", "decoder", "more"), FAMILIES)
def test_a_model_of_the_user_finds_what_it_says_where_it_is_in_the_frame(
    tmp_path: Path, answer: Any, decoder: str, more: dict[str, Any]
) -> None:
    outputs = answer()
    add_model(tmp_path, constant_network(NCHW["shape"], outputs), input=NCHW, **entry(outputs, decoder, **more))
    with opened(tmp_path) as (model, batcher):
        detector = make_detector(model, batcher, DetectorSettings())
        found = detector.detect(detector.picture(ArrayFrame(FRAME), view()), view())
    assert found.boxes_xyxy[0].tolist() == pytest.approx(TRUTH, abs=1)
    assert found.scores[0] > 0.85


def test_a_picture_keeps_its_proportions_where_the_model_wants_that(tmp_path: Path) -> None:
    outputs = yolov8()
    add_model(
        tmp_path,
        constant_network(NCHW["shape"], outputs),
        input=NCHW,
        **entry(outputs, "yolov8", picture={"fit": "letterbox"}),
    )
    with opened(tmp_path) as (model, batcher):
        detector = ObjectDetector(model, batcher, DetectorSettings())
        assert detector.picture(ArrayFrame(FRAME), view()).shape == (24, 64, 3)
        assert detector.picture(ArrayFrame(FRAME), view(90)).shape == (64, 24, 3)


@pytest.mark.parametrize(
    ("shape", "form", "pixel", "expected"),
    [
        pytest.param([1, 3, 32, 32], {}, (10, 20, 30), (10, 20, 30), id="as it is"),
        pytest.param([1, 3, 32, 32], {"colour": "bgr"}, (10, 20, 30), (30, 20, 10), id="blue first"),
        pytest.param([1, 32, 32, 3], {"deviation": [255, 255, 255]}, (51, 102, 255), (0.2, 0.4, 1), id="0 to 1"),
        pytest.param([1, 3, 32, 32], {"mean": [10, 0, 0], "deviation": [2, 1, 1]}, (30, 2, 3), (10, 2, 3), id="mean"),
    ],
)
def test_colours_reach_the_model_in_the_form_its_manifest_says(
    tmp_path: Path, shape: list[int], form: dict[str, Any], pixel: Any, expected: Any
) -> None:
    outputs = yolov8()
    image = {"name": "image", "shape": shape}
    add_model(tmp_path, constant_network(shape, outputs), input=image, **entry(outputs, "yolov8", picture=form))
    seen: list[np.ndarray] = []

    class Watched(OnnxEngine):
        def run(self, batch: Any) -> Any:
            seen.append(batch)
            return super().run(batch)

    library = ModelLibrary(tmp_path)
    model = library.choose("bodies", None)
    batcher = Batcher(Watched(model, library.read(model)), BatchPolicy(1), "test")
    detector = ObjectDetector(model, batcher, DetectorSettings())
    frame = ArrayFrame(np.full((48, 48, 3), pixel, np.uint8))
    square = View(PixelRect(0, 0, 48, 48), 0, 48, 48)
    detector.detect(detector.picture(frame, square), square)
    batcher.close()
    channels = seen[0][0] if shape[3] == 3 else seen[0][0].transpose(1, 2, 0)
    assert channels.shape == (32, 32, 3)
    assert channels[16, 16].tolist() == pytest.approx(expected)


def test_what_is_seen_in_the_border_of_a_letterbox_is_nobody(tmp_path: Path) -> None:
    outputs = {"output0": np.array([[32, 50, 20, 20, 0.1, 0.9], [32, 26, 20, 20, 0.1, 0.8]], np.float32).T}
    more = {"picture": {"fit": "letterbox"}, "class_index": 1}
    add_model(tmp_path, constant_network(NCHW["shape"], outputs), input=NCHW, **entry(outputs, "yolov8", **more))
    with opened(tmp_path) as (model, batcher):
        detector = make_detector(model, batcher, DetectorSettings())
        found = detector.detect(detector.picture(ArrayFrame(FRAME), view()), view())
    assert found.scores.tolist() == pytest.approx([0.8]), "who reaches into the picture, which is 24 pixels high, stays"


def test_a_centerface_of_a_fixed_size_is_given_that_size(tmp_path: Path) -> None:
    maps = {
        name: np.zeros((channels, 16, 16), np.float32) for name, channels in zip("sbol", (1, 2, 2, 10), strict=True)
    }
    maps["s"][0, 8, 4] = 0.9
    maps["b"][:, 8, 4] = np.log((32 / 4, 12.8 / 4))
    add_model(
        tmp_path, constant_network(NCHW["shape"], maps), input=NCHW, **(entry(maps, "centerface") | {"task": "faces"})
    )
    with opened(tmp_path, "faces") as (model, batcher):
        detector = make_detector(model, batcher, DetectorSettings())
        found = detector.detect(detector.picture(ArrayFrame(FRAME), view()), view())
    assert found.boxes_xyxy[0].tolist() == pytest.approx([116, 67.5, 244, 187.5], abs=1), "640x240 in 64x64"


def test_an_answer_of_another_family_says_which_model_and_what_is_wrong(tmp_path: Path) -> None:
    outputs = yolov8()
    add_model(tmp_path, constant_network(NCHW["shape"], outputs), input=NCHW, **entry(outputs, "yolox"))
    with opened(tmp_path) as (model, batcher):
        detector = make_detector(model, batcher, DetectorSettings())
        with pytest.raises(EngineFailed, match=r"model mine does not answer like yolox: .*YOLOX for 64x64"):
            detector.detect(detector.picture(ArrayFrame(FRAME), view()), view())


def liveness_entry(shape: list[int | str], **more: Any) -> dict[str, Any]:
    return {
        "name": "live",
        "task": "liveness_mask",
        "decoder": "classifier",
        "input": {"name": "image", "shape": shape},
        "outputs": [{"name": "probabilities", "shape": [1, 2]}],
        "picture": {"deviation": [255, 255, 255]},
        **more,
    }


@pytest.mark.parametrize(("index", "expected"), [(0, 0.8), (1, 0.2)])
def test_a_liveness_model_sees_the_face_and_gives_the_class_that_is_wanted(
    tmp_path: Path, index: int, expected: float
) -> None:
    add_model(tmp_path, brightness_classifier(32), **liveness_entry([1, 3, 32, 32], class_index=index, crop_margin=0.0))
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:60, 30:70] = 204
    with opened(tmp_path, "liveness_mask") as (model, batcher):
        score = LivenessClassifier(model, batcher).estimate(picture, np.array([30, 20, 70, 60], np.float32))
    assert score == pytest.approx(expected, abs=0.01)


def test_a_wider_margin_lets_the_model_see_the_surroundings(tmp_path: Path) -> None:
    add_model(tmp_path, brightness_classifier(32), **liveness_entry([1, 3, 32, 32], crop_margin=0.5))
    picture = np.zeros((100, 100, 3), np.uint8)
    picture[20:60, 30:70] = 204
    with opened(tmp_path, "liveness_mask") as (model, batcher):
        score = LivenessClassifier(model, batcher).estimate(picture, np.array([30, 20, 70, 60], np.float32))
    assert score == pytest.approx(0.2, abs=0.02), "a quarter of what is seen is bright"


def test_a_liveness_model_without_a_size_is_refused(tmp_path: Path) -> None:
    add_model(tmp_path, brightness_classifier("side"), **liveness_entry([1, 3, "h", "w"]))
    with (
        opened(tmp_path, "liveness_mask") as (model, batcher),
        pytest.raises(StartupError, match="input of model live must have a fixed height and width"),
    ):
        LivenessClassifier(model, batcher)
