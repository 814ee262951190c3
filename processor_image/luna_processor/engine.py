"""Run networks: the port that the rest of the processor sees, and ONNX Runtime on the CPU behind it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from luna_processor.detections import FloatArray
from luna_processor.errors import EngineFailed, StartupError
from luna_processor.models import ModelSpec, TensorSpec

# Since 1.32 ONNX Runtime reports its use to its makers, with a device id that it keeps in the home folder, unless this
# is set before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime


class Engine(Protocol):
    """One network, ready to run; may be called by several threads at once."""

    def run(self, batch: FloatArray) -> Sequence[FloatArray]:
        """Return every output for a batch, the first axis of all being the batch.

        Raises:
            EngineFailed: if the runtime fails.
        """


class CpuEngine:
    """ONNX Runtime on the CPU, one thread per call: callers bring the parallelism, one per core.

    Args:
        model: as the manifest describes it.
        content: of its file.

    Raises:
        StartupError: if the file is no network of these names and shapes.
    """

    def __init__(self, model: ModelSpec, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as e:  # the runtime's errors share no base class
            reason = str(e).splitlines()[0]
            raise StartupError(f"model {model.name} cannot be loaded by ONNX Runtime: {reason}") from e
        _compare(model, "input", (model.input,), self._session.get_inputs())
        _compare(model, "output", model.outputs, self._session.get_outputs())
        self._name = model.name
        self._input = model.input.name
        self._outputs = [output.name for output in model.outputs]

    def run(self, batch: FloatArray) -> Sequence[FloatArray]:
        """Return every output in the order of the manifest."""
        try:
            outputs = self._session.run(self._outputs, {self._input: batch})
        except Exception as e:  # as above
            raise EngineFailed(f"model {self._name} failed on input {batch.shape}: {e}") from e
        return [np.asarray(output, np.float32) for output in outputs]


class _Tensor(Protocol):
    name: str
    shape: list[int | str | None]


def _compare(model: ModelSpec, role: str, expected: Sequence[TensorSpec], actual: Sequence[_Tensor]) -> None:
    shapes = {tensor.name: tensor.shape for tensor in actual}
    for tensor in expected:
        shape = shapes.get(tensor.name)
        if shape is None:
            raise StartupError(
                f"model {model.name} has no {role} '{tensor.name}' as its manifest says; it has {', '.join(shapes)}"
            )
        if len(shape) != len(tensor.shape) or any(
            isinstance(want, int) and want != have for want, have in zip(tensor.shape, shape, strict=True)
        ):
            raise StartupError(
                f"{role} '{tensor.name}' of model {model.name} has shape {shape}, "
                f"its manifest says {list(tensor.shape)}"
            )
