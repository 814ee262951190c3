"""Models are tried before streams come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luna_processor.engines.models import ModelLibrary, Task, default_folder
from luna_processor.engines.onnx import open_on_cpu
from luna_processor.errors import StartupError
from luna_processor.vision.detector import DetectorSettings
from luna_processor.vision.trial import try_out
from support.networks import add_model, brightness_classifier, constant_network


def tried(folder: Path, task: Task) -> None:
    library = ModelLibrary(folder)
    model = library.choose(task, None)
    try_out(model, open_on_cpu(model, library.read(model)), DetectorSettings())


@pytest.mark.parametrize("task", ["faces", "bodies", "head_pose", "mouth_cover"])
def test_the_shipped_models_answer_as_their_manifest_says(task: Task) -> None:
    tried(default_folder(), task)


def a_model(folder: Path, shape: list[int | str], outputs: dict[str, Any], **entry: Any) -> None:
    """Put a model into a folder that always answers the same; outputs are shapes, or arrays."""
    arrays = {
        name: value if isinstance(value, np.ndarray) else np.zeros(value, np.float32) for name, value in outputs.items()
    }
    add_model(
        folder,
        constant_network(shape, arrays),
        name="mine",
        input={"name": "image", "shape": shape},
        outputs=[{"name": name, "shape": [1, *array.shape]} for name, array in arrays.items()],
        **entry,
    )


@pytest.mark.parametrize(
    ("shape", "outputs", "entry", "text"),
    [
        pytest.param(
            [1, 3, 64, 64],
            {"output0": (6, 10)},
            {"task": "bodies", "decoder": "yolov8", "class_index": 2},
            "no class 2 among 2",
            id="a class that it does not know",
        ),
        pytest.param(
            [1, 3, 64, 64],
            {"output0": (6, 10)},
            {"task": "faces", "decoder": "yolox"},
            "does not answer like yolox",
            id="another family",
        ),
        pytest.param(
            [1, 3, 64, 64],
            {"output0": np.full((5, 10), 9, np.float32) * [[1], [1], [9], [9], [1]]},
            {"task": "bodies", "decoder": "yolov8"},
            "9 is no score of 0 to 1",
            id="logits",
        ),
        pytest.param(
            [1, 112, 112, 3],
            {"yaw": (120,), "pitch": (66,), "roll": (66,)},
            {"task": "head_pose", "decoder": "whenet"},
            "model mine failed on input",
            id="a size that poses are not measured in",
        ),
        pytest.param(
            [1, 224, 224, 3],
            {"prob": (3,)},
            {"task": "mouth_cover", "decoder": "mask_classifier"},
            "not the probabilities of mask and no mask",
            id="more than masks",
        ),
        pytest.param(
            [1, 3, 64, 64],
            {"prob": np.array([5, -5], np.float32)},
            {"task": "liveness_mask", "decoder": "classifier"},
            "does the model need activation",
            id="a classifier without its last layer",
        ),
    ],
)
def test_a_model_that_answers_otherwise_is_refused_before_streams_come(
    tmp_path: Path, shape: list[int | str], outputs: dict[str, Any], entry: dict[str, Any], text: str
) -> None:
    a_model(tmp_path, shape, outputs, **entry)
    with pytest.raises(StartupError, match=rf"model mine failed when it was tried: .*{text}") as refused:
        tried(tmp_path, entry["task"])
    has_run = "failed on input" not in text
    assert str(refused.value).endswith("compare decoder and outputs in its manifest") == has_run


def test_a_liveness_model_that_answers_well_is_taken(tmp_path: Path) -> None:
    add_model(
        tmp_path,
        brightness_classifier(32),
        name="mine",
        task="liveness_mask",
        decoder="classifier",
        input={"name": "image", "shape": [1, 3, 32, 32]},
        outputs=[{"name": "probabilities", "shape": [1, 2]}],
        picture={"deviation": [255, 255, 255]},
    )
    tried(tmp_path, "liveness_mask")
