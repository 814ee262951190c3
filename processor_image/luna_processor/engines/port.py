"""Run networks: the port that the rest of the processor sees. The adapters are in `engines`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from luna_processor.engines.models import ModelSpec
from luna_processor.engines.preparation import NetworkInput
from luna_processor.vision.detections import FloatArray


class Engine(Protocol):
    """One network, ready to run; may be called by several threads at once."""

    def run(self, batch: Sequence[NetworkInput]) -> Sequence[FloatArray]:
        """Return every output for pictures of one shape, the first axis of all being the batch.

        Raises:
            EngineFailed: if the runtime fails.
            DeviceLost: if no engine of this process will ever run again.
        """


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How batches are made."""

    workers: int
    """Threads that run the engine."""
    max_batch: int = 1
    """Pictures per call."""
    deadline_s: float = 0.0
    """How long the first picture of a batch waits for others."""


def cpu_policy(model: ModelSpec, workers: int) -> BatchPolicy:
    """Return how batches are made on a CPU: what waits goes to whichever core is free, one by one.

    Larger batches are no faster there (the cores are busy with one picture already) and answer later.
    """
    return BatchPolicy(workers, max_batch=model.fixed_batch or 1)


def gpu_policy(model: ModelSpec, max_batch: int, deadline_s: float) -> BatchPolicy:
    """Return how batches are made on a GPU: as large as allowed, and no later than the deadline.

    One thread: it fills the next batch while the last one runs on the card.
    """
    size = model.fixed_batch or max_batch
    return BatchPolicy(1, size, deadline_s if size > 1 else 0.0)
