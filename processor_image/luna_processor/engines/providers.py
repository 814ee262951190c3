"""What ONNX Runtime is asked for: which providers with which options. Pure; nothing here imports it.

Sources: ONNX Runtime's pages of the CUDA and TensorRT execution providers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luna_processor.engines.models import ModelSpec
from luna_processor.errors import StartupError
from luna_processor.vision.centerface import SIZE_MULTIPLE

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
Provider = tuple[str, dict[str, str]]
GpuRuntime = Literal["auto", "cuda", "tensorrt"]


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The GPU of this process."""

    gpu_index: int
    """As CUDA counts what it sees, by slot."""
    runtime: Literal["cuda", "tensorrt"]
    is_half_precision: bool
    """TensorRT only: let it compute in FP16."""
    cache_folder: Path | None
    """Where TensorRT keeps what it has built; it takes minutes, for each model and card."""
    lost: Callable[[str], None]
    """Called, by any thread, with a sentence once the card is gone."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Between which sizes the input of a model varies."""

    max_batch: int
    longest_side: int
    """Of a model that leaves the size of its picture open, pixels."""


def cpu_provider() -> Provider:
    """Return the provider for the CPU."""
    return (CPU, {})


def choose_runtime(wanted: GpuRuntime, *, has_tensorrt: bool, cache_folder: Path | None) -> Literal["cuda", "tensorrt"]:
    """Return what runs the models on a GPU; TensorRT is taken by itself only where what it builds is kept.

    Raises:
        StartupError: if TensorRT is asked for and not there.
    """
    if wanted == "tensorrt" and not has_tensorrt:
        raise StartupError(
            "--gpu-runtime tensorrt: TensorRT's libraries are not installed (pip install tensorrt-cu13); add them to "
            "the image, or choose --gpu-runtime cuda"
        )
    if wanted == "auto":
        return "tensorrt" if has_tensorrt and cache_folder is not None else "cuda"
    return wanted


def gpu_providers(
    model: ModelSpec, accelerator: Accelerator, shapes: Shapes, *, is_quantized: bool
) -> Sequence[Provider]:
    """Return the providers for a model on a GPU, best first; the CPU takes what operators the card has no code for."""
    cuda: Provider = (CUDA, _cuda_options(accelerator))
    if accelerator.runtime == "cuda":
        return (cuda, cpu_provider())
    options = _tensorrt_options(accelerator, is_quantized=is_quantized) | tensorrt_profile(model, shapes)
    return ((TENSORRT, options), cuda, cpu_provider())


def _cuda_options(accelerator: Accelerator) -> dict[str, str]:
    return {
        "device_id": str(accelerator.gpu_index),
        # The default doubles what it holds each time it needs more: many processes may share a card.
        "arena_extend_strategy": "kSameAsRequested",
        # The default tries every algorithm for every new shape, which holds streams up whenever a batch has a new size.
        "cudnn_conv_algo_search": "HEURISTIC",
    }


def _tensorrt_options(accelerator: Accelerator, *, is_quantized: bool) -> dict[str, str]:
    options = {
        "device_id": str(accelerator.gpu_index),
        "trt_fp16_enable": str(accelerator.is_half_precision),
        # Only for networks that bring their scales along (QDQ); others stay as they are.
        "trt_int8_enable": str(is_quantized),
    }
    if accelerator.cache_folder is not None:
        folder = str(accelerator.cache_folder)
        options |= {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": folder,
        }
    return options


def tensorrt_profile(model: ModelSpec, shapes: Shapes) -> dict[str, str]:
    """Return between which shapes TensorRT builds; without it, it would build anew for each shape it meets.

    Empty for a model whose shape is fixed.
    """
    if model.fixed_batch is not None and model.input_size is not None:
        return {}
    name, side = model.input.name, _round_up(shapes.longest_side)
    smallest = _shape(model, 1, SIZE_MULTIPLE, SIZE_MULTIPLE)
    # Most cameras are 16:9.
    usual = _shape(model, shapes.max_batch, side, _round_up(side * 9 / 16))
    largest = _shape(model, shapes.max_batch, side, side)
    return {
        "trt_profile_min_shapes": f"{name}:{smallest}",
        "trt_profile_opt_shapes": f"{name}:{usual}",
        "trt_profile_max_shapes": f"{name}:{largest}",
    }


def _shape(model: ModelSpec, batch: int, width: int, height: int) -> str:
    width, height = model.input_size or (width, height)
    batch = model.fixed_batch or batch
    axes = (batch, height, width, 3) if model.is_channels_last else (batch, 3, height, width)
    return "x".join(str(axis) for axis in axes)


def _round_up(side: float) -> int:
    return -(-int(side) // SIZE_MULTIPLE) * SIZE_MULTIPLE
