"""An engine on a GPU: frames that lie in its memory are prepared there, others are handed to it as they are.

What is prepared goes to the network without a copy; only outputs and thumbnails come to the host.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from luna_processor.engines.failures import failure
from luna_processor.engines.onnx import BoundTensor
from luna_processor.engines.preparation import DevicePicture, NetworkInput
from luna_processor.engines.providers import Accelerator
from luna_processor.errors import DeviceLost
from luna_processor.vision.detections import FloatArray
from luna_processor.vision.view import Picture


class Network(Protocol):
    """Runs tensors of the host, or where they are."""

    def run(self, batch: Sequence[NetworkInput]) -> Sequence[FloatArray]:
        """Return every output for pictures of the host."""

    def run_bound(self, tensor: BoundTensor, count: int) -> Sequence[FloatArray]:
        """Return every output for a tensor that lies on the device."""


class Prepared(Protocol):
    """The input of a network."""

    @property
    def tensor(self) -> BoundTensor:
        """Where it lies."""

    @property
    def thumbnails(self) -> Sequence[Picture]:
        """One per picture, on the host."""


class Preparation(Protocol):
    """Makes the input of a network of frames on the device."""

    def prepare(self, pictures: Sequence[DevicePicture]) -> Prepared:
        """Return the input for pictures of one shape; it holds until the next call."""


class GpuEngine:
    """A network behind what prepares its pictures on the same card.

    Args:
        network: see there.
        preparation: see there; made for the batch below.
        fixed_batch: pictures that the network insists on, if it does.
        accelerator: the card.
    """

    def __init__(
        self, network: Network, preparation: Preparation, fixed_batch: int | None, accelerator: Accelerator
    ) -> None:
        self._network = network
        self._preparation = preparation
        self._fixed_batch = fixed_batch
        self._accelerator = accelerator
        self._turn = threading.Lock()

    def run(self, batch: Sequence[NetworkInput]) -> Sequence[FloatArray]:
        """Return every output for pictures of one shape, all of the host or all of the device."""
        pictures = [item for item in batch if isinstance(item, DevicePicture)]
        if not pictures:
            return self._network.run(batch)
        filled = [*pictures, *[pictures[-1]] * ((self._fixed_batch or 0) - len(pictures))]
        with self._turn:  # the tensor is the preparation's own until its next call
            prepared = self._prepared(filled)
            outputs = self._network.run_bound(prepared.tensor, len(pictures))
        for picture, thumbnail in zip(pictures, prepared.thumbnails, strict=False):
            picture.thumbnail = thumbnail
        return outputs

    def _prepared(self, pictures: Sequence[DevicePicture]) -> Prepared:
        try:
            return self._preparation.prepare(pictures)
        except Exception as e:  # DALI raises RuntimeError and what it finds in C++
            # Its first line only says that something failed, and where in the pipeline.
            found = failure("frames could not be prepared on the GPU", _last_words(str(e)))
            if isinstance(found, DeviceLost):
                self._accelerator.lost(str(found))
            raise found from e


def _last_words(said: str) -> str:
    """Return what DALI says after `encountered:`, which is where it comes to the point."""
    return said.rpartition("encountered:")[2].strip() or said
