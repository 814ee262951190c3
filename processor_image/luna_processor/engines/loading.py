"""Open a model on the device that the settings name, with the batches that suit it."""

from __future__ import annotations

from luna_processor.engines.card import Card
from luna_processor.engines.gpu import GpuEngine
from luna_processor.engines.models import ModelSpec, Task
from luna_processor.engines.onnx import open_on_cpu, open_on_gpu
from luna_processor.engines.port import BatchPolicy, Engine, cpu_policy, gpu_policy
from luna_processor.engines.preparation import input_form
from luna_processor.engines.providers import Shapes
from luna_processor.errors import StartupError
from luna_processor.settings import Settings

_SEARCHING: tuple[Task, ...] = ("faces", "bodies")
"""Tasks whose pictures are whole frames; the others take crops, which are made on the host."""


def open_engine(model: ModelSpec, content: bytes, settings: Settings, card: Card | None) -> tuple[Engine, BatchPolicy]:
    """Return a model, ready to run, and how its batches are made.

    Args:
        model: as the manifest describes it.
        content: of its file.
        settings: of the process.
        card: None for the CPU.

    Raises:
        StartupError: if the file is not what the manifest says, or the device cannot run it.
    """
    if card is None:
        return open_on_cpu(model, content), cpu_policy(model, settings.inference_workers)
    policy = gpu_policy(model, settings.max_batch, settings.batch_deadline)
    return _on_gpu(model, content, card, Shapes(policy.max_batch, settings.detector_size)), policy


def _on_gpu(model: ModelSpec, content: bytes, card: Card, shapes: Shapes) -> Engine:
    """Return a model on a GPU; where it searches frames, with what prepares them there."""
    accelerator = card.accelerator
    network = open_on_gpu(model, content, accelerator, shapes)
    if model.task not in _SEARCHING:
        return network
    try:
        # DALI is large and brings CUDA along: a process that computes on the CPU never imports it.
        from luna_processor.engines.dali import DaliPreparation

        preparation = DaliPreparation(input_form(model), network.element_type, shapes.max_batch, accelerator.gpu_index)
    except ImportError as e:
        raise StartupError(
            f"--device gpu: DALI cannot be loaded ({e}). Use the GPU image, or install "
            "luna-streams-operator[processor-gpu]"
        ) from e
    except (RuntimeError, MemoryError) as e:
        reason = str(e).splitlines()[0]
        raise StartupError(f"DALI cannot use GPU {accelerator.gpu_index}: {reason}; check the driver") from e
    return GpuEngine(network, preparation, model.fixed_batch, accelerator)
