"""The GPU of a process: found and checked at start, watched for its loss afterwards.

Whatever is missing (the packages, the driver, the card) ends the start with one sentence; nothing falls back to the CPU
by itself.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luna_processor.engines.figures import Nvml, NvmlUnavailable, card_names, open_nvml
from luna_processor.engines.onnx import available_providers, load_gpu_libraries
from luna_processor.engines.providers import CUDA, TENSORRT, Accelerator, choose_runtime
from luna_processor.errors import StartupError
from luna_processor.settings import Settings

log = logging.getLogger(__name__)

_TENSORRT_LIBRARIES = ("libnvinfer.so", "libnvinfer_plugin.so", "libnvonnxparser.so")
"""In this order: each needs those before it."""


class Condition:
    """Whether the card still works; told by the engines, heard by the process. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reason: str | None = None
        self._listener: Callable[[], object] | None = None

    @property
    def lost_because(self) -> str | None:
        """Why nothing will run on the card again; None while it works."""
        return self._reason

    def lost(self, reason: str) -> None:
        """Say that the card is lost; the first reason stays."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            listener = self._listener
        log.error("%s", reason)
        if listener is not None:
            listener()

    def listen(self, listener: Callable[[], object]) -> None:
        """Have a function called, by any thread, once the card is lost; at once if it is."""
        with self._lock:
            self._listener = listener
            is_lost = self._reason is not None
        if is_lost:
            listener()


@dataclass(frozen=True, slots=True)
class Card:
    """The GPU of this process."""

    name: str
    accelerator: Accelerator
    condition: Condition
    nvml: Nvml


def open_card(settings: Settings) -> Card:
    """Return the GPU that the settings name.

    Raises:
        StartupError: if it cannot be used, with what to do.
    """
    if CUDA not in available_providers():
        raise StartupError(
            "--device gpu: the installed ONNX Runtime knows no GPU. Use the GPU image, or install "
            "luna-streams-operator[processor-gpu] without onnxruntime beside it; --device cpu runs without a GPU"
        )
    try:
        nvml = open_nvml()
        names = card_names(nvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except NvmlUnavailable as e:
        raise StartupError(
            f"--device gpu: there is no NVIDIA GPU that this process can use ({e}). Check nvidia-smi, the container "
            "runtime and what the pod asks for; --device cpu runs without a GPU"
        ) from e
    index = settings.gpu_index
    if index >= len(names):
        seen = "; ".join(f"{number}: {name}" for number, name in enumerate(names)) or "none"
        raise StartupError(
            f"--gpu-index {index}: there is no such GPU. This process sees {seen}; CUDA_VISIBLE_DEVICES, where it is "
            "set, says which"
        )
    load_gpu_libraries()
    runtime = choose_runtime(
        settings.gpu_runtime,
        has_tensorrt=TENSORRT in available_providers() and _load_tensorrt(),
        cache_folder=_writable(settings.engine_cache_dir),
    )
    condition = Condition()
    accelerator = Accelerator(index, runtime, settings.tensorrt_fp16, settings.engine_cache_dir, condition.lost)
    log.info("models run on GPU %d, %s, by %s", index, names[index], runtime)
    return Card(names[index], accelerator, condition, nvml)


def _writable(folder: Path | None) -> Path | None:
    """Return a folder that exists.

    Raises:
        StartupError: if it cannot be made.
    """
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StartupError(f"--engine-cache-dir {folder} cannot be made: {e.strerror}") from e
    return folder


def _load_tensorrt() -> bool:
    """Load TensorRT's libraries, out of its Python package or from where the linker looks; tell whether they are there.

    ONNX Runtime's provider is linked with them and finds them once they are loaded.
    """
    package = importlib.util.find_spec("tensorrt_libs")
    folders = [Path(folder) for folder in (package.submodule_search_locations or ())] if package else []
    for library in _TENSORRT_LIBRARIES:
        found = [str(file) for folder in folders for file in sorted(folder.glob(f"{library}.*"))]
        try:
            ctypes.CDLL(found[0] if found else f"{library}.10", mode=ctypes.RTLD_GLOBAL)
        except OSError:
            return False
    return True
