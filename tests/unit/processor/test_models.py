"""Models are used only if they are what the manifest says."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from onnx import TensorProto

from luna_processor.engines.models import MANIFEST, ModelLibrary, default_folder
from luna_processor.engines.onnx import OnnxEngine, open_on_gpu
from luna_processor.engines.providers import Accelerator, Shapes
from luna_processor.errors import EngineFailed, StartupError
from support.networks import (
    add_model,
    constant_network,
    mean_colour_network,
    names_network,
    sums_network,
    two_inputs_network,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the smallest real model."""
    shipped = default_folder()
    entries = yaml.safe_load((shipped / MANIFEST).read_text())["models"]
    entry = next(model for model in entries if model["name"] == "centerface-int8")
    shutil.copy(shipped / entry["file"], tmp_path)
    (tmp_path / MANIFEST).write_text(yaml.safe_dump({"models": [entry]}))
    return tmp_path


def change(folder: Path, **fields: Any) -> None:
    manifest = yaml.safe_load((folder / MANIFEST).read_text())
    manifest["models"][0] |= fields
    (folder / MANIFEST).write_text(yaml.safe_dump(manifest))


def load(folder: Path) -> OnnxEngine:
    library = ModelLibrary(folder)
    model = library.choose("faces", None)
    return OnnxEngine(model, library.read(model))


def test_every_shipped_model_is_what_the_manifest_says_and_has_its_licence() -> None:
    library = ModelLibrary(default_folder())
    for entry in yaml.safe_load((default_folder() / MANIFEST).read_text())["models"]:
        model = library.choose(entry["task"], entry["name"])
        OnnxEngine(model, library.read(model))
        assert (default_folder() / str(model.licence_file)).is_file()


def test_the_default_model_is_the_first_of_its_task() -> None:
    assert ModelLibrary(default_folder()).choose("faces", None).name == "centerface"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"manifest\.yaml cannot be read"):
        ModelLibrary(tmp_path / "none")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "centerface_i8.onnx").unlink()
    with pytest.raises(StartupError, match=r"centerface_i8\.onnx cannot be read"):
        load(folder)


def test_an_altered_file_is_refused(folder: Path) -> None:
    path = folder / "centerface_i8.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(StartupError, match=f"not the one its manifest describes.* write sha256: {digest}"):
        load(folder)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        pytest.param({"input": {"name": "image", "shape": ["n", 3, "h", "w"]}}, "no input 'image'", id="input name"),
        pytest.param({"input": {"name": "input.1", "shape": ["n", 3, "h", 64]}}, "has shape", id="input shape"),
        pytest.param({"outputs": [{"name": "537", "shape": ["n", 2, "h", "w"]}]}, "output '537'", id="output shape"),
        pytest.param({"outputs": [{"name": "boxes", "shape": ["n"]}]}, "no output 'boxes'", id="output name"),
        pytest.param({"outputs": [{"name": "537", "shape": ["n", 1]}]}, "has shape", id="dimensions"),
    ],
)
def test_another_form_than_the_manifest_says_is_refused(folder: Path, fields: Any, text: Any) -> None:
    change(folder, **fields)
    with pytest.raises(StartupError, match=text):
        load(folder)


def test_a_file_that_is_no_model_is_refused(folder: Path) -> None:
    (folder / "centerface_i8.onnx").write_bytes(b"not a model")
    change(folder, sha256=hashlib.sha256(b"not a model").hexdigest())
    with pytest.raises(StartupError, match="cannot be loaded"):
        load(folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"decoder": "whenet"},
        {"input": {"name": "input.1", "shape": ["n", 3]}},
        {"picture": {"deviation": [1, 0, 1]}},
        {"picture": {"colour": "grey"}},
        {"file": "../../etc/passwd"},
        {"sha256": "short"},
        {"task": "smell"},
        {"surplus": 1},
    ],
    ids=str,
)
def test_a_malformed_manifest_is_refused(folder: Path, fields: Any) -> None:
    change(folder, **fields)
    with pytest.raises(StartupError, match="not a valid list of models"):
        load(folder)


def test_a_decoder_that_does_not_fit_the_task_lists_those_that_do(folder: Path) -> None:
    change(folder, decoder="whenet")
    with pytest.raises(StartupError, match=r"decoder whenet is none for faces; those are centerface, ssd, yolox"):
        load(folder)


def test_models_of_a_folder_of_the_user_go_first_and_need_few_lines(tmp_path: Path) -> None:
    add_model(
        tmp_path,
        constant_network([1, 3, 64, 64], {"output0": np.zeros((6, 10), np.float32)}),
        name="mine",
        task="bodies",
        decoder="yolov8",
        input={"name": "image", "shape": [1, 3, 64, 64]},
        outputs=[{"name": "output0", "shape": [1, 6, 10]}],
    )
    library = ModelLibrary(tmp_path, default_folder())
    mine = library.choose("bodies", None)
    assert mine.name == "mine"
    OnnxEngine(mine, library.read(mine))
    shipped = library.choose("bodies", "coco-ssd-int8")
    assert library.read(shipped)
    assert library.find("faces") is not None
    assert library.find("liveness_mask") is None


def test_an_unknown_name_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(StartupError, match=r"named 'yolo' for faces .*centerface-int8"):
        ModelLibrary(folder).choose("faces", "yolo")


def mine(folder: Path, content: bytes, shape: list[int | str], **fields: Any) -> OnnxEngine:
    """Open a model of the user that says the mean of each colour."""
    entry: dict[str, Any] = {
        "name": "mine",
        "task": "bodies",
        "decoder": "yolov8",
        "input": {"name": "image", "shape": shape},
        "outputs": [{"name": "means", "shape": ["n", 3]}],
    }
    add_model(folder, content, **(entry | fields))
    library = ModelLibrary(folder)
    model = library.choose("bodies", "mine")
    return OnnxEngine(model, library.read(model))


ANY_SIZE: list[int | str] = ["n", 3, "height", "width"]


def grey(value: float) -> np.ndarray:
    return np.full((3, 8, 8), value, np.float32)


@pytest.mark.parametrize(
    ("element_type", "expected"),
    [
        pytest.param(TensorProto.FLOAT, 99.6, id="float"),
        pytest.param(TensorProto.FLOAT16, 99.625, id="half"),
        pytest.param(TensorProto.UINT8, 100, id="bytes, rounded"),
    ],
)
def test_pictures_are_given_in_the_numbers_a_model_takes(tmp_path: Path, element_type: int, expected: float) -> None:
    engine = mine(tmp_path, mean_colour_network(element_type=element_type), ANY_SIZE)
    [means] = engine.run([grey(99.6)])
    assert means.dtype == np.float32
    assert means[0].tolist() == pytest.approx([expected] * 3, abs=1e-4)


def test_values_beyond_a_byte_are_cut_not_wrapped(tmp_path: Path) -> None:
    engine = mine(tmp_path, mean_colour_network(element_type=TensorProto.UINT8), ANY_SIZE)
    [means] = engine.run([grey(300), grey(-5)])
    assert means[:, 0].tolist() == [255, 0]


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_fixed_batch_is_filled_up_and_answers_for_those_that_were_asked(tmp_path: Path, count: int) -> None:
    engine = mine(tmp_path, mean_colour_network(batch=4), [4, 3, "height", "width"])
    [means] = engine.run([grey(number) for number in range(count)])
    assert means[:, 0].tolist() == list(range(count))


@pytest.mark.parametrize(
    ("content", "shape", "text"),
    [
        pytest.param(
            mean_colour_network(batch=1), ANY_SIZE, r"has the fixed shape \[1, 3, .*write that", id="fixed, called open"
        ),
        pytest.param(mean_colour_network(), [1, 3, "h", "w"], "its manifest says", id="open, called fixed"),
        pytest.param(
            mean_colour_network(element_type=TensorProto.INT64), ANY_SIZE, r"is a tensor\(int64\)", id="numbers"
        ),
        pytest.param(two_inputs_network(), ANY_SIZE, "takes more than a picture: sizes", id="two inputs"),
        pytest.param(mean_colour_network(opset=99), ANY_SIZE, "cannot be loaded by ONNX Runtime .*opset", id="opset"),
    ],
)
def test_a_model_that_could_not_be_run_is_refused_at_start_with_a_reason(
    tmp_path: Path, content: bytes, shape: list[int | str], text: str
) -> None:
    with pytest.raises(StartupError, match=text) as caught:
        mine(tmp_path, content, shape)
    assert "model mine" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_provider_that_is_not_there_is_no_reason_to_compute_elsewhere(tmp_path: Path) -> None:
    """ONNX Runtime itself would take the CPU and say nothing."""
    mine(tmp_path, mean_colour_network(), ANY_SIZE)
    library = ModelLibrary(tmp_path)
    model = library.choose("bodies", "mine")
    accelerator = Accelerator(0, "cuda", False, None, lambda reason: None)
    with pytest.raises(StartupError, match=r"CUDAExecutionProvider|cannot be loaded"):
        open_on_gpu(model, library.read(model), accelerator, Shapes(4, 640))


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        pytest.param("", "it must begin with the line models:", id="empty"),
        pytest.param("- mine", "it must begin with the line models:", id="a list"),
        pytest.param("models: {}", "models must be a list", id="no list"),
        pytest.param("models: [mine]", "model 1 must be a group of fields", id="a name"),
        pytest.param("models: [{name: mine}]", "model 1: task is missing", id="a field is missing"),
    ],
)
def test_a_manifest_of_another_form_says_which_model_and_field(manifest: str, text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(StartupError, match=f"is not a valid list of models: {text}") as refused:
        ModelLibrary(tmp_path)
    assert "_Manifest" not in str(refused.value)


def test_a_sha256_may_be_written_in_capitals(folder: Path) -> None:
    entry = yaml.safe_load((folder / MANIFEST).read_text())["models"][0]
    change(folder, sha256=entry["sha256"].upper())
    assert load(folder)


def test_an_output_that_holds_no_numbers_is_refused(tmp_path: Path) -> None:
    outputs = [{"name": "names", "shape": ANY_SIZE}]
    with pytest.raises(
        StartupError, match=r"output 'names' of model mine is a tensor\(string\), which holds no numbers"
    ):
        mine(tmp_path, names_network(), ANY_SIZE, outputs=outputs)


def test_an_answer_that_leaves_out_pictures_fails_those_who_asked_and_says_which_output(tmp_path: Path) -> None:
    """As of a network with suppression inside: one list for the whole batch."""
    engine = mine(tmp_path, sums_network(), ANY_SIZE, outputs=[{"name": "sums", "shape": ["found"]}])
    with pytest.raises(EngineFailed, match=r"output 'sums' of model mine has shape \[3\] for a batch of 2"):
        engine.run([grey(1), grey(2)])


@pytest.mark.parametrize(
    "content", [b"models: [", b"models: 2024-13-45", b"\xff\xfe"], ids=["open", "month 13", "bytes"]
)
def test_a_manifest_that_is_no_yaml_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(StartupError, match="not a valid list of models") as refused:
        ModelLibrary(tmp_path)
    assert "\n" not in str(refused.value)
