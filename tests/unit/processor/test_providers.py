"""What ONNX Runtime is asked for on a GPU, and what a failure there means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luna_processor.engines.failures import failure
from luna_processor.engines.models import ModelSpec
from luna_processor.engines.port import cpu_policy, gpu_policy
from luna_processor.engines.providers import (
    CPU,
    CUDA,
    TENSORRT,
    Accelerator,
    Shapes,
    choose_runtime,
    gpu_providers,
    tensorrt_profile,
)
from luna_processor.errors import DeviceLost, EngineFailed, StartupError

CACHE = Path("/cache")


def a_model(*shape: int | str) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": "mine",
            "task": "bodies",
            "decoder": "yolov8",
            "file": "mine.onnx",
            "sha256": "0" * 64,
            "input": {"name": "images", "shape": shape},
            "outputs": [{"name": "output0", "shape": ["n", 84, 8400]}],
        }
    )


def an_accelerator(**changes: Any) -> Accelerator:
    values: dict[str, Any] = {
        "gpu_index": 1,
        "runtime": "cuda",
        "is_half_precision": True,
        "cache_folder": CACHE,
        "lost": lambda reason: None,
    }
    return Accelerator(**(values | changes))


FIXED, OPEN = a_model(1, 3, 640, 640), a_model("n", 3, "height", "width")


@pytest.mark.parametrize(
    ("wanted", "has_tensorrt", "cache", "expected"),
    [
        ("auto", True, CACHE, "tensorrt"),
        ("auto", True, None, "cuda"),
        ("auto", False, CACHE, "cuda"),
        ("cuda", True, CACHE, "cuda"),
        ("tensorrt", True, None, "tensorrt"),
    ],
)
def test_tensorrt_is_taken_by_itself_only_where_what_it_builds_is_kept(
    wanted: Any, has_tensorrt: bool, cache: Path | None, expected: str
) -> None:
    assert choose_runtime(wanted, has_tensorrt=has_tensorrt, cache_folder=cache) == expected


def test_tensorrt_that_is_asked_for_and_missing_ends_the_start() -> None:
    with pytest.raises(StartupError, match=r"libraries are not installed .*--gpu-runtime cuda"):
        choose_runtime("tensorrt", has_tensorrt=False, cache_folder=CACHE)


def test_the_card_that_is_named_comes_first_and_the_cpu_last() -> None:
    providers = gpu_providers(OPEN, an_accelerator(), Shapes(8, 640), is_quantized=False)
    assert [name for name, _ in providers] == [CUDA, CPU]
    assert providers[0][1]["device_id"] == "1"
    tensorrt = gpu_providers(OPEN, an_accelerator(runtime="tensorrt"), Shapes(8, 640), is_quantized=True)
    assert [name for name, _ in tensorrt] == [TENSORRT, CUDA, CPU]
    options = tensorrt[0][1]
    assert options["trt_fp16_enable"] == options["trt_int8_enable"] == "True"
    assert options["trt_engine_cache_path"] == "/cache"
    assert options["device_id"] == "1"


def test_tensorrt_keeps_nothing_without_a_folder() -> None:
    accelerator = an_accelerator(runtime="tensorrt", cache_folder=None, is_half_precision=False)
    options = gpu_providers(FIXED, accelerator, Shapes(1, 640), is_quantized=False)[0][1]
    assert not [name for name in options if "cache" in name]
    assert options["trt_fp16_enable"] == options["trt_int8_enable"] == "False"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(OPEN, ("1x3x32x32", "8x3x384x640", "8x3x640x640"), id="all open"),
        pytest.param(a_model("n", 300, 300, 3), ("1x300x300x3", "8x300x300x3", "8x300x300x3"), id="batch open"),
        pytest.param(a_model(1, 3, "h", "w"), ("1x3x32x32", "1x3x384x640", "1x3x640x640"), id="size open"),
    ],
)
def test_tensorrt_builds_once_for_all_shapes_that_come(model: ModelSpec, expected: tuple[str, str, str]) -> None:
    profile = tensorrt_profile(model, Shapes(8, 640))
    assert [profile[f"trt_profile_{name}_shapes"] for name in ("min", "opt", "max")] == [
        f"images:{shape}" for shape in expected
    ]


def test_a_fixed_shape_needs_no_profile() -> None:
    assert tensorrt_profile(FIXED, Shapes(8, 640)) == {}


def test_batches_follow_the_device_and_what_the_model_insists_on() -> None:
    assert (cpu_policy(OPEN, 4).workers, cpu_policy(OPEN, 4).max_batch) == (4, 1)
    assert cpu_policy(a_model(4, 3, 64, 64), 2).max_batch == 4
    assert (gpu_policy(OPEN, 16, 0.01).max_batch, gpu_policy(OPEN, 16, 0.01).deadline_s) == (16, 0.01)
    assert (gpu_policy(FIXED, 16, 0.01).max_batch, gpu_policy(FIXED, 16, 0.01).deadline_s) == (1, 0)


LOST = [
    "CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=node ; file=cuda_call.cc ; line=129",
    "CUDA failure 719: unspecified launch failure ; GPU=0 ; expr=cudaStreamSynchronize(stream)",
    "Error when calling `cudaStreamSynchronize(s)`\nCUDA runtime API error cudaErrorECCUncorrectable (214):\nECC",
    "CUDA driver API error CUDA_ERROR_NO_DEVICE (100):\nno CUDA-capable device is detected",
    "CUDA failure 999: unknown error ; GPU=0",
    "GPU is lost",
]
KEPT = [
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=node ; expr=cudaMalloc(&p, size)",
    "CUDA allocation failed",
    "Can't allocate 805306368 bytes on device 0.",
    "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 700",
    "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for input: images Got: 700 Expected: 719",
    "Non-zero status code returned while running Conv node. Name:'700'",
    "CUDA failure 1: invalid argument ; GPU=0",
    "",
]


@pytest.mark.parametrize("said", LOST)
def test_errors_after_which_nothing_runs_in_this_process_mean_that_the_card_is_lost(said: str) -> None:
    found = failure("model mine failed", said)
    assert isinstance(found, DeviceLost)
    assert "lost to this worker" in str(found)
    assert "\n" not in str(found)


@pytest.mark.parametrize("said", KEPT)
def test_other_errors_are_those_of_one_batch(said: str) -> None:
    found = failure("model mine failed", said)
    assert type(found) is EngineFailed
    assert str(found).startswith("model mine failed: ")


def test_a_full_memory_says_what_to_do() -> None:
    assert "smaller --max-batch" in str(failure("model mine failed", KEPT[0]))
