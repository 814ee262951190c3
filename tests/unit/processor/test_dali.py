"""What DALI makes of frames is what numpy, swscale and Pillow make of them. On the CPU, where DALI needs no driver."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from luna_processor.engines.models import ModelLibrary, ModelSpec, PictureForm
from luna_processor.engines.onnx import BoundTensor, OnnxEngine
from luna_processor.engines.preparation import InputForm, device_picture, input_form
from luna_processor.engines.providers import Accelerator
from luna_processor.vision.view import PixelRect, Rotation, View
from support.device_frames import planes_of_picture, some_planes
from support.networks import add_model, mean_colour_network

pytest.importorskip("nvidia.dali", reason="DALI (nvidia-dali-cuda130) is not installed: nothing here was compared")

from luna_processor.engines.dali import DaliPreparation
from luna_processor.engines.gpu import GpuEngine


def a_form(**changes: Any) -> InputForm:
    values: dict[str, Any] = {
        "mean": (0.0, 0.0, 0.0),
        "deviation": (1.0, 1.0, 1.0),
        "is_blue_first": False,
        "is_channels_last": False,
        "border": 114.0,
    }
    return InputForm(**(values | changes))


def prepared(form: InputForm, *pictures: Any, element_type: Any = np.float32) -> tuple[np.ndarray, Any]:
    preparation = DaliPreparation(form, element_type, max_batch=4, gpu_index=None)
    found = preparation.prepare(pictures)
    return np.array(found.owner), found


def quarters() -> np.ndarray:
    """A frame of four colours, so that whatever is turned, cut or swapped wrongly shows."""
    frame = np.zeros((96, 160, 3), np.uint8)
    frame[:48, :80], frame[:48, 80:] = (200, 40, 40), (40, 200, 40)
    frame[48:, :80], frame[48:, 80:] = (40, 40, 200), (180, 180, 180)
    return frame


CENTRES = ((0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75))


def colours_at_centres(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return np.array([picture[int(y * height), int(x * width)] for y, x in CENTRES], np.float32)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_frame_is_turned_as_on_the_cpu_and_its_padding_is_not_seen(rotation: Rotation, quarter_turns: int) -> None:
    frame = quarters()
    upright = np.rot90(frame, -quarter_turns)
    view = View(PixelRect(0, 0, upright.shape[1], upright.shape[0]), rotation, upright.shape[1], upright.shape[0])
    size = (view.width // 2, view.height // 2)
    picture = device_picture(planes_of_picture(frame, quarter_turns), view, size, size)
    tensor, found = prepared(a_form(), picture)
    made = tensor[0].transpose(1, 2, 0)
    expected = view.apply(upright)[::2, ::2]
    assert made.shape == expected.shape
    assert np.abs(colours_at_centres(made) - colours_at_centres(expected)).max() < 4
    rows = [made.shape[0] // 4, made.shape[0] * 3 // 4]  # where no two colours meet
    at_edge = made[rows, -2:] - expected[rows, -2:].astype(np.float32)
    assert np.abs(at_edge).max() < 4, "the padding bleeds in"
    thumbnail = found.thumbnails[0]
    assert thumbnail.dtype == np.uint8
    assert max(thumbnail.shape[:2]) == 96
    assert np.abs(colours_at_centres(thumbnail) - colours_at_centres(expected)).max() < 5


def test_only_the_region_that_is_looked_at_is_seen() -> None:
    view = View(PixelRect(80, 0, 160, 48), 0, 160, 96)
    picture = device_picture(planes_of_picture(quarters()), view, (40, 24), (40, 24))
    tensor, _ = prepared(a_form(), picture)
    assert np.abs(tensor[0].transpose(1, 2, 0)[:-2, 2:] - (40, 200, 40)).max() < 6


def test_a_picture_becomes_the_numbers_that_the_host_would_give() -> None:
    """The whole way of `detector._to_input`: letterbox, blue first, mean and deviation."""
    form = a_form(mean=(10.0, 20.0, 30.0), deviation=(50.0, 60.0, 70.0), is_blue_first=True)
    whole = View(PixelRect(0, 0, 160, 96), 0, 160, 96)
    tensor, _ = prepared(form, device_picture(planes_of_picture(quarters()), whole, (80, 48), (80, 80)))
    padded = np.full((80, 80, 3), 114, np.float32)
    padded[:48, :80] = quarters()[::2, ::2]
    expected = (padded[..., ::-1] - np.array(form.mean)) / np.array(form.deviation)
    made = tensor[0].transpose(1, 2, 0)
    inner = [(10, 10), (10, 70), (40, 10), (40, 70), (60, 40), (79, 79)]
    for row, column in inner:
        assert made[row, column] == pytest.approx(expected[row, column], abs=0.08), (row, column)


def test_a_noisy_frame_differs_no_more_than_two_ways_of_scaling_do() -> None:
    random = np.random.default_rng(7)
    coarse = random.integers(0, 255, (12, 20, 3)).astype(np.uint8)
    frame = np.kron(coarse, np.ones((16, 16, 1), np.uint8)).astype(np.uint8)
    planes = planes_of_picture(frame)
    height, width = frame.shape[:2]
    view = View(PixelRect(0, 0, width, height), 0, width, height)
    tensor, _ = prepared(a_form(), device_picture(planes, view, (160, 96), (160, 96)))
    from av.video.frame import VideoFrame

    scaled = VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="nv12")
    expected = scaled.reformat(width=160, height=96, format="rgb24").to_ndarray().astype(np.float32)
    difference = np.abs(tensor[0].transpose(1, 2, 0) - expected)
    assert difference.mean() < 6
    assert np.percentile(difference, 90) < 20


@pytest.mark.parametrize(("element_type", "tolerance"), [(np.float32, 1e-3), (np.float16, 0.2), (np.uint8, 0.5)])
def test_the_numbers_are_of_the_type_that_the_network_takes(element_type: Any, tolerance: float) -> None:
    view = View(PixelRect(0, 0, 64, 36), 0, 64, 36)
    tensor, found = prepared(
        a_form(is_channels_last=True),
        device_picture(some_planes(), view, (64, 36), (64, 36)),
        element_type=element_type,
    )
    assert tensor.dtype == element_type
    assert tensor.shape == found.tensor.shape == (1, 36, 64, 3)
    assert tensor.astype(np.float32) == pytest.approx(0, abs=tolerance)
    assert not found.tensor.is_on_gpu


def test_frames_of_many_sizes_make_one_batch_and_the_next_may_be_smaller() -> None:
    preparation = DaliPreparation(a_form(), np.float32, max_batch=3, gpu_index=None)
    pictures = []
    for width, height in ((64, 36), (160, 90), (320, 240)):
        frame = np.full((height, width, 3), 100, np.uint8)
        whole = View(PixelRect(0, 0, width, height), 0, width, height)
        pictures.append(device_picture(planes_of_picture(frame), whole, (64, round(64 * height / width)), (64, 64)))
    for count in (3, 1, 2):
        found = preparation.prepare(pictures[:count])
        tensor = np.array(found.owner)
        assert tensor.shape == (count, 3, 64, 64)
        assert tensor[:, :, 5, 5] == pytest.approx(100, abs=2)
        assert tensor[0, :, 60, 5] == pytest.approx(114), "below the picture is border"
        assert len(found.thumbnails) == count


def test_a_batch_that_failed_does_not_spoil_the_next() -> None:
    preparation = DaliPreparation(a_form(), np.float32, max_batch=2, gpu_index=None)
    view = View(PixelRect(0, 0, 64, 36), 0, 64, 36)
    good = device_picture(some_planes(), view, (64, 36), (64, 36))
    broken = device_picture(some_planes(), view, (64, 36), (64, 36))
    broken.planes = replace(broken.planes, width=65)  # more than there is
    with pytest.raises(RuntimeError):
        preparation.prepare([broken])
    assert np.array(preparation.prepare([good]).owner).shape == (1, 3, 36, 64)


class UnreadablePlane:
    """A plane that there is no memory for."""

    shape = (18, 32, 2)

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise MemoryError("std::bad_alloc")


def test_a_frame_of_which_one_plane_failed_does_not_lend_its_brightness_to_the_next() -> None:
    preparation = DaliPreparation(a_form(), np.float32, max_batch=2, gpu_index=None)
    view = View(PixelRect(0, 0, 64, 36), 0, 64, 36)
    good = device_picture(some_planes(), view, (64, 36), (64, 36))
    broken = device_picture(some_planes(), view, (64, 36), (64, 36))
    white = np.full_like(np.asarray(broken.planes.luma), 235)
    broken.planes = replace(broken.planes, luma=white, chroma=UnreadablePlane())
    expected = np.array(preparation.prepare([good]).owner)
    with pytest.raises(MemoryError):
        preparation.prepare([broken])
    assert np.array_equal(np.array(preparation.prepare([good]).owner), expected)


def test_what_is_prepared_reaches_the_network_where_it_lies(tmp_path: Any) -> None:
    """ONNX Runtime is given DALI's memory; the network says which colours it saw."""
    add_model(
        tmp_path,
        mean_colour_network(),
        name="mean",
        task="bodies",
        decoder="yolov8",
        input={"name": "image", "shape": ["n", 3, "height", "width"]},
        outputs=[{"name": "means", "shape": ["n", 3]}],
    )
    library = ModelLibrary(tmp_path)
    model: ModelSpec = library.choose("bodies", None)
    assert model.picture == PictureForm()
    network = OnnxEngine(model, library.read(model))
    accelerator = Accelerator(0, "cuda", False, None, lambda reason: None)
    preparation = DaliPreparation(input_form(model), network.element_type, 4, gpu_index=None)
    engine = GpuEngine(network, preparation, model.fixed_batch, accelerator)
    view = View(PixelRect(0, 0, 64, 36), 0, 64, 36)
    pictures = [
        device_picture(planes_of_picture(np.full((36, 64, 3), colour, np.uint8)), view, (64, 36), (64, 36))
        for colour in ((200, 60, 30), (20, 150, 90))
    ]
    [means] = engine.run(pictures)
    assert means[0] == pytest.approx((200, 60, 30), abs=3)
    assert means[1] == pytest.approx((20, 150, 90), abs=3)
    assert [picture.thumbnail is not None for picture in pictures] == [True, True]
    [of_host] = engine.run([np.full((3, 8, 8), 7, np.float32)])
    assert of_host[0].tolist() == [7, 7, 7]
    assert isinstance(preparation.prepare(pictures).tensor, BoundTensor)
