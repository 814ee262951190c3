"""Frames on a card go to the network without the host in between; a card that is lost is told once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from luna_processor.engines.card import Condition
from luna_processor.engines.gpu import GpuEngine
from luna_processor.engines.onnx import BoundTensor
from luna_processor.engines.preparation import DevicePicture, NetworkInput, device_picture
from luna_processor.engines.providers import Accelerator
from luna_processor.errors import DeviceLost, EngineFailed
from luna_processor.vision.detections import FloatArray
from luna_processor.vision.view import PixelRect, View
from support.device_frames import some_planes

TENSOR = BoundTensor(0, (1, 3, 36, 64), np.float32, is_on_gpu=True)


@dataclass
class FakeNetwork:
    """Remembers what it was given."""

    counts: list[int] = field(default_factory=list)
    host_batches: list[int] = field(default_factory=list)

    def run(self, batch: Sequence[NetworkInput]) -> Sequence[FloatArray]:
        self.host_batches.append(len(batch))
        return [np.zeros((len(batch), 1), np.float32)]

    def run_bound(self, tensor: BoundTensor, count: int) -> Sequence[FloatArray]:
        assert tensor is TENSOR
        self.counts.append(count)
        return [np.zeros((count, 1), np.float32)]


@dataclass
class FakePrepared:
    """A tensor that lies somewhere, and thumbnails by number."""

    thumbnails: Sequence[np.ndarray]
    tensor: BoundTensor = TENSOR


@dataclass
class FakePreparation:
    """Prepares nothing, or says what DALI would."""

    error: str | None = None
    counts: list[int] = field(default_factory=list)

    def prepare(self, pictures: Sequence[DevicePicture]) -> FakePrepared:
        self.counts.append(len(pictures))
        if self.error is not None:
            raise RuntimeError(self.error)
        return FakePrepared([np.full((9, 16, 3), number, np.uint8) for number in range(len(pictures))])


def pictures(count: int) -> list[DevicePicture]:
    view = View(PixelRect(0, 0, 64, 36), 0, 64, 36)
    return [device_picture(some_planes(), view, (64, 36), (64, 36)) for _ in range(count)]


def an_engine(
    preparation: FakePreparation,
    network: FakeNetwork,
    fixed: int | None = None,
    lost: Callable[[str], None] = lambda reason: None,
) -> GpuEngine:
    return GpuEngine(network, preparation, fixed, Accelerator(0, "cuda", False, None, lost))


def test_frames_on_the_card_are_prepared_there_and_show_themselves_afterwards() -> None:
    preparation, network, batch = FakePreparation(), FakeNetwork(), pictures(3)
    [output] = an_engine(preparation, network).run(batch)
    assert len(output) == 3
    assert network.counts == [3]
    assert network.host_batches == []
    assert [int(item.thumbnail[0, 0, 0]) for item in batch if item.thumbnail is not None] == [0, 1, 2]


def test_pictures_of_the_host_need_no_preparation() -> None:
    preparation, network = FakePreparation(), FakeNetwork()
    an_engine(preparation, network).run([np.zeros((3, 4, 4), np.float32)] * 2)
    assert network.host_batches == [2]
    assert preparation.counts == []


def test_a_batch_of_fixed_size_is_filled_up_and_only_what_was_asked_comes_back() -> None:
    preparation, network = FakePreparation(), FakeNetwork()
    [output] = an_engine(preparation, network, fixed=4).run(pictures(3))
    assert preparation.counts == [4]
    assert len(output) == 3


def test_a_failed_preparation_is_told_in_the_words_that_matter() -> None:
    said = (
        "Critical error in pipeline:\nError in GPU operator `resize`,\n\nencountered:\n\nCUDA failure 2: out of memory"
    )
    with pytest.raises(EngineFailed, match=r"prepared on the GPU: the memory is full.*: CUDA failure 2") as caught:
        an_engine(FakePreparation(error=said), FakeNetwork()).run(pictures(1))
    assert not isinstance(caught.value, DeviceLost)


def test_a_lost_card_is_told_to_whoever_listens_once() -> None:
    condition, heard = Condition(), []
    condition.listen(lambda: heard.append(condition.lost_because))
    engine = an_engine(
        FakePreparation(error="encountered:\nCUDA failure 700: illegal"), FakeNetwork(), None, condition.lost
    )
    for _ in range(3):
        with pytest.raises(DeviceLost):
            engine.run(pictures(1))
    assert len(heard) == 1
    assert "a kernel read or wrote where it must not" in str(heard[0])


def test_who_listens_late_hears_of_the_loss_at_once() -> None:
    condition, heard = Condition(), []
    condition.lost("gone")
    condition.listen(lambda: heard.append(True))
    assert heard == [True]
