"""ONNX Runtime behind the port of engines: on the CPU, and with CUDA or TensorRT on an NVIDIA GPU.

A session is opened on what was asked for or not at all: ONNX Runtime itself would go on with the CPU and say nothing.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from luna_processor.engines.failures import failure
from luna_processor.engines.models import ModelSpec, TensorSpec
from luna_processor.engines.preparation import NetworkInput, host_arrays
from luna_processor.engines.providers import CPU, Accelerator, Provider, Shapes, cpu_provider, gpu_providers
from luna_processor.errors import DeviceLost, EngineFailed, ProcessorError, StartupError
from luna_processor.vision.detections import FloatArray

# Since 1.32 ONNX Runtime reports its use to its makers, with a device id that it keeps in the home folder, unless this
# is set before it is loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# Else CUDA counts the fastest card first, while everything else (nvidia-smi, NVML) counts by slot.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

import onnxruntime

log = logging.getLogger(__name__)

ElementType = type[np.float32] | type[np.float16] | type[np.uint8]
_ELEMENT_TYPES: dict[str, ElementType] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
"""What a picture can be given as."""
_NUMBERS = re.compile(r"tensor\((float|float16|double|bool|u?int\d+)\)")
"""What can be read of an answer."""

Output = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class BoundTensor:
    """A dense tensor that another library has made, where it lies; it must live until the run is over."""

    pointer: int
    shape: tuple[int, ...]
    element_type: ElementType
    is_on_gpu: bool


class OnnxEngine:
    """One network in ONNX Runtime.

    On the CPU one thread per call: callers bring the parallelism, one per core. One session serves them all, since
    sessions are safe to be called by several threads and each would hold the weights once more.

    Args:
        model: as the manifest describes it.
        content: of its file.
        providers: of ONNX Runtime, best first; the first must be there. `accelerator` says what for.
        accelerator: None on the CPU.

    Raises:
        StartupError: if the file is no network of these names and shapes, or the first provider cannot be had.
    """

    def __init__(
        self,
        model: ModelSpec,
        content: bytes,
        providers: Sequence[Provider] = (cpu_provider(),),
        accelerator: Accelerator | None = None,
    ) -> None:
        self._session = _open(model, content, providers)
        _compare(model, "input", (model.input,), self._session.get_inputs())
        _compare(model, "output", model.outputs, self._session.get_outputs())
        _refuse_further_inputs(model, [tensor.name for tensor in self._session.get_inputs()])
        _refuse_what_is_no_number(model, self._session.get_outputs())
        self.element_type = _element_type(model, self._session.get_inputs()[0].type)
        self._model = model
        self._outputs = [output.name for output in model.outputs]
        self._accelerator = accelerator

    def run(self, batch: Sequence[NetworkInput]) -> Sequence[FloatArray]:
        """Return every output in the order of the manifest."""
        arrays = filled_up(host_arrays(batch), self._model.fixed_batch)
        # On a CPU nearly every batch is a single picture, which need not be copied.
        stacked = arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
        tensor = as_element_type(stacked, self.element_type)
        run = partial(self._session.run, self._outputs, {self._model.input.name: tensor})
        return self._answers(self._guarded(tensor.shape, run), len(arrays), len(batch))

    def run_bound(self, tensor: BoundTensor, count: int) -> Sequence[FloatArray]:
        """Return every output for a tensor that is not copied; outputs come to the host.

        Args:
            tensor: whose first axis is the batch.
            count: pictures in it; what is beyond only fills a batch of fixed size.
        """
        outputs = self._guarded(tensor.shape, lambda: self._run_bound(tensor))
        return self._answers(outputs, tensor.shape[0], count)

    def _run_bound(self, tensor: BoundTensor) -> Sequence[Output]:
        gpu = self._accelerator.gpu_index if self._accelerator else 0
        device = "cuda" if tensor.is_on_gpu else "cpu"
        binding = self._session.io_binding()
        binding.bind_input(self._model.input.name, device, gpu, tensor.element_type, tensor.shape, tensor.pointer)
        for output in self._outputs:
            binding.bind_output(output, "cpu")
        self._session.run_with_iobinding(binding)
        outputs: Sequence[Output] = binding.copy_outputs_to_cpu()
        return outputs

    def _answers(self, outputs: Sequence[Output], given: int, count: int) -> Sequence[FloatArray]:
        """Return the outputs for the first `count` of the pictures that were given.

        Raises:
            EngineFailed: if one does not say something of each picture.
        """
        for name, output in zip(self._outputs, outputs, strict=True):
            if output.ndim == 0 or len(output) != given:
                raise EngineFailed(
                    f"output '{name}' of model {self._model.name} has shape {list(output.shape)} for a batch of {given}"
                )
        return [np.asarray(output, np.float32)[:count] for output in outputs]

    def _guarded(self, shape: tuple[int, ...], run: Callable[[], Sequence[Output]]) -> Sequence[Output]:
        """Run, and tell a picture that failed from a card that is lost."""
        try:
            return run()
        except Exception as e:  # the runtime's errors share no base class
            raise self._failure(f"model {self._model.name} failed on input {shape}", e) from e

    def _failure(self, doing: str, error: Exception) -> ProcessorError:
        found = failure(doing, str(error))
        if isinstance(found, DeviceLost) and self._accelerator is not None:
            self._accelerator.lost(str(found))
        return found


def open_on_cpu(model: ModelSpec, content: bytes) -> OnnxEngine:
    """Return a model on the CPU.

    Raises:
        StartupError: if the file is no network of these names and shapes.
    """
    return OnnxEngine(model, content)


def open_on_gpu(model: ModelSpec, content: bytes, accelerator: Accelerator, shapes: Shapes) -> OnnxEngine:
    """Return a model on a GPU.

    Raises:
        StartupError: if the GPU cannot be used, or the file is no network of these names and shapes.
    """
    is_quantized = b"DequantizeLinear" in content
    return OnnxEngine(model, content, gpu_providers(model, accelerator, shapes, is_quantized=is_quantized), accelerator)


def available_providers() -> Sequence[str]:
    """Return what the installed ONNX Runtime was built with, whether there is a card or not."""
    return list(onnxruntime.get_available_providers())


def load_gpu_libraries() -> None:
    """Load CUDA and cuDNN out of their Python packages: they lie where no linker looks."""
    preload: Callable[..., None] | None = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        preload(directory="")


def filled_up(batch: Sequence[FloatArray], fixed_batch: int | None) -> Sequence[FloatArray]:
    """Return the pictures, and empty ones up to the size of batch that a model insists on."""
    missing = (fixed_batch or 0) - len(batch)
    return [*batch, *[np.zeros_like(batch[0])] * missing]


def as_element_type(tensor: FloatArray, wanted: ElementType) -> npt.NDArray[np.generic]:
    """Return a tensor in the numbers a network takes; whole ones are rounded and cut to 0 to 255."""
    if wanted is np.uint8:
        return np.clip(np.rint(tensor), 0, 255).astype(np.uint8)
    return tensor.astype(wanted, copy=False)


def _open(model: ModelSpec, content: bytes, providers: Sequence[Provider]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[*providers])
    except Exception as e:  # the runtime's errors share no base class
        reason = str(e).splitlines()[0]
        raise StartupError(
            f"model {model.name} cannot be loaded by ONNX Runtime {onnxruntime.__version__}: {reason}"
        ) from e
    wanted, used = providers[0][0], session.get_providers()[0]
    if used != wanted:
        raise StartupError(
            f"model {model.name} should run on {wanted}, but ONNX Runtime offers {used} only: its libraries cannot be "
            "loaded, or there is no GPU they can use. Check the driver with nvidia-smi, or choose --device cpu"
            + ("" if wanted == CPU or "Tensorrt" not in wanted else " or --gpu-runtime cuda")
        )
    return session


class _Tensor(Protocol):
    name: str
    type: str
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
        if role == "input":
            _refuse_loose_sizes(model, tensor, shape)


def _refuse_loose_sizes(model: ModelSpec, tensor: TensorSpec, shape: Sequence[int | str | None]) -> None:
    """Refuse a size that the manifest calls variable and the file fixes: pictures of another size would fail later."""
    fixed = [
        have for want, have in zip(tensor.shape, shape, strict=True) if isinstance(want, str) and isinstance(have, int)
    ]
    if fixed:
        raise StartupError(
            f"input '{tensor.name}' of model {model.name} has the fixed shape {list(shape)}: write that into its "
            f"manifest instead of {list(tensor.shape)}"
        )


def _refuse_further_inputs(model: ModelSpec, names: Sequence[str]) -> None:
    others = [name for name in names if name != model.input.name]
    if others:
        raise StartupError(
            f"model {model.name} takes more than a picture: {', '.join(others)}; export it with one input only"
        )


def _refuse_what_is_no_number(model: ModelSpec, outputs: Sequence[_Tensor]) -> None:
    named = {output.name for output in model.outputs}
    for output in outputs:
        if output.name in named and not _NUMBERS.fullmatch(output.type):
            raise StartupError(
                f"output '{output.name}' of model {model.name} is a {output.type}, which holds no numbers; export the "
                "network without what comes after its last layer"
            )


def _element_type(model: ModelSpec, named: str) -> ElementType:
    found = _ELEMENT_TYPES.get(named)
    if found is None:
        raise StartupError(
            f"input '{model.input.name}' of model {model.name} is a {named}; pictures can be given as "
            f"{', '.join(_ELEMENT_TYPES)}"
        )
    return found
