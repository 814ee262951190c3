"""Small networks in ONNX, made for a test: the form of real ones, with an answer that is known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

IR_VERSION, OPSET = 8, 13
"""Old enough for every ONNX Runtime this project allows."""


def constant_network(shape: Sequence[int | str], outputs: dict[str, np.ndarray]) -> bytes:
    """Return a network that takes pictures of this shape under the name `image` and always gives the same answer.

    It adds nothing but the picture's mean times 0 to each output (1, ...), so that the input takes part.
    """
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
    ]
    constants = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    declared = []
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value[None].astype(np.float32), f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "nothing"], [name]))
        declared.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *value.shape]))
    return _serialized(shape, nodes, constants, declared)


def brightness_classifier(side: int | str) -> bytes:
    """Return a classifier of pictures (1, 3, side, side), 0 to 1: how bright is it, and how dark; a word is any."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["mean"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Reshape", ["mean", "column"], ["bright"]),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["probabilities"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 1], np.int64), "column"),
        numpy_helper.from_array(np.array(1, np.float32), "one"),
    ]
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2])
    return _serialized((1, 3, side, side), nodes, constants, [output])


def mean_colour_network(batch: int | str = "n", element_type: int = TensorProto.FLOAT, opset: int = OPSET) -> bytes:
    """Return a network that takes pictures (batch, 3, height, width) as `image` and gives the mean of each channel."""
    nodes = [
        helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["means"], axes=[2, 3], keepdims=0),
    ]
    output = helper.make_tensor_value_info("means", TensorProto.FLOAT, [batch, 3])
    content = _serialized((batch, 3, "height", "width"), nodes, [], [output], element_type)
    if opset == OPSET:
        return content
    model = onnx.load_from_string(content)
    model.opset_import[0].version = opset
    return bytes(model.SerializeToString())


def two_inputs_network() -> bytes:
    """Return the same, which wants the sizes of the pictures besides."""
    model = onnx.load_from_string(mean_colour_network())
    model.graph.input.append(helper.make_tensor_value_info("sizes", TensorProto.FLOAT, ["n", 3]))
    model.graph.node[1].output[0] = "plain"
    model.graph.node.append(helper.make_node("Add", ["plain", "sizes"], ["means"]))
    return bytes(model.SerializeToString())


def names_network() -> bytes:
    """Return a network that takes pictures (n, 3, height, width) and says a word for each number."""
    nodes = [helper.make_node("Cast", ["image"], ["names"], to=TensorProto.STRING)]
    output = helper.make_tensor_value_info("names", TensorProto.STRING, ["n", 3, "height", "width"])
    return _serialized(("n", 3, "height", "width"), nodes, [], [output])


def sums_network() -> bytes:
    """Return a network that takes pictures (n, 3, height, width) and adds up each colour of all of them, `sums` (3)."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["sums"], axes=[0, 2, 3], keepdims=0)]
    output = helper.make_tensor_value_info("sums", TensorProto.FLOAT, [3])
    return _serialized(("n", 3, "height", "width"), nodes, [], [output])


def add_model(folder: Path, content: bytes, **entry: Any) -> None:
    """Put a model into a folder, with the few lines of manifest that a user would write."""
    folder.mkdir(exist_ok=True)
    manifest = folder / "manifest.yaml"
    models = yaml.safe_load(manifest.read_text())["models"] if manifest.exists() else []
    file = f"{entry['name']}.onnx"
    (folder / file).write_bytes(content)
    models.append({"file": file, "sha256": hashlib.sha256(content).hexdigest(), **entry})
    manifest.write_text(yaml.safe_dump({"models": models}))


def _serialized(
    shape: Sequence[int | str], nodes: Any, constants: Any, outputs: Any, element_type: int = TensorProto.FLOAT
) -> bytes:
    image = helper.make_tensor_value_info("image", element_type, list(shape))
    graph = helper.make_graph(nodes, "made", [image], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
