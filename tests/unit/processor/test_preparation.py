"""Frames on a device: which part, which way up, which colours, in the figures that a library for GPUs is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.engines.preparation import (
    Colours,
    DevicePicture,
    Matrix,
    Placement,
    device_picture,
    host_arrays,
    picture_size,
    placement,
    planes_of,
    rgb_transform,
    thumbnail_of,
)
from luna_processor.errors import EngineFailed
from luna_processor.vision.view import PixelRect, Rotation, View
from support.device_frames import DeviceArrayFrame, some_planes


def turned_by_hand(frame: np.ndarray, quarter_turns: int, view: View) -> np.ndarray:
    """Return the view of a frame as the CPU makes it: upright first, then cut, then turned."""
    return view.apply(np.rot90(frame, -quarter_turns))


def turned_by_placement(frame: np.ndarray, place: Placement) -> np.ndarray:
    """Do on pixels what a library is told; resizing apart."""
    (top, left), (bottom, right) = place.start, place.end
    picture = frame[int(top) : int(bottom), int(left) : int(right)]
    picture = picture.T if place.is_transposed else picture
    picture = picture[:, ::-1] if place.mirrors_rows else picture
    return picture[::-1] if place.mirrors_columns else picture


@given(
    rotation=st.sampled_from((0, 90, 180, 270)),
    quarter_turns=st.integers(0, 3),
    sides=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    data=st.data(),
)
def test_a_view_on_a_device_is_the_part_that_the_cpu_cuts_and_turned_alike(
    rotation: Rotation, quarter_turns: int, sides: tuple[int, int], data: Any
) -> None:
    height, width = sides
    upright_width, upright_height = (height, width) if quarter_turns % 2 else (width, height)
    left = data.draw(st.integers(0, upright_width - 1))
    top = data.draw(st.integers(0, upright_height - 1))
    right = data.draw(st.integers(left + 1, upright_width))
    bottom = data.draw(st.integers(top + 1, upright_height))
    view = View(PixelRect(left, top, right, bottom), rotation, upright_width, upright_height)
    frame = np.arange(height * width).reshape(height, width)
    planes = some_planes(width=width, height=height, quarter_turns=quarter_turns)
    picture = device_picture(planes, view, (view.width, view.height), (view.width, view.height))
    place = placement(picture)
    expected = turned_by_hand(frame, quarter_turns, view)
    assert np.array_equal(turned_by_placement(frame, place), expected)
    rows, columns = place.size[::-1] if place.is_transposed else place.size
    assert (rows, columns) == expected.shape


@pytest.mark.parametrize(
    ("colours", "yuv", "rgb"),
    [
        pytest.param(Colours("bt601"), (16, 128, 128), (0, 0, 0), id="black"),
        pytest.param(Colours("bt709"), (235, 128, 128), (255, 255, 255), id="white"),
        pytest.param(Colours("bt601", is_full_range=True), (255, 128, 128), (255, 255, 255), id="white, full range"),
        # Pure colours by the recommendations' own tables, 8 bits.
        pytest.param(Colours("bt601"), (81, 90, 240), (255, 0, 0), id="red, BT.601"),
        pytest.param(Colours("bt601"), (145, 54, 34), (0, 255, 0), id="green, BT.601"),
        pytest.param(Colours("bt709"), (63, 102, 240), (255, 0, 0), id="red, BT.709"),
        pytest.param(Colours("bt709"), (32, 240, 118), (0, 0, 255), id="blue, BT.709"),
        pytest.param(Colours("bt2020"), (74, 97, 240), (255, 0, 0), id="red, BT.2020"),
    ],
)
def test_brightness_and_colour_differences_become_the_colours_they_stand_for(
    colours: Colours, yuv: tuple[int, ...], rgb: tuple[int, ...]
) -> None:
    matrix, offset = rgb_transform(colours)
    assert (matrix @ np.array(yuv) + offset).tolist() == pytest.approx(rgb, abs=2.5)


@pytest.mark.parametrize("matrix", ["bt601", "bt709", "bt2020"])
@pytest.mark.parametrize("is_full_range", [False, True])
def test_what_has_no_colour_stays_grey(matrix: Matrix, is_full_range: bool) -> None:
    transform, offset = rgb_transform(Colours(matrix, is_full_range=is_full_range))
    red, green, blue = transform @ np.array([120, 128, 128]) + offset
    assert red == pytest.approx(green, abs=1e-3)
    assert green == pytest.approx(blue, abs=1e-3)


def a_picture(**changes: Any) -> DevicePicture:
    values: dict[str, Any] = {"width": 64, "height": 36, "input_width": 64, "input_height": 64, "quarter_turns": 0}
    return DevicePicture(some_planes(), PixelRect(0, 0, 64, 36), **(values | changes))


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        pytest.param({"height": 20}, True, id="other proportions"),
        pytest.param({"quarter_turns": 2}, True, id="upside down"),
        pytest.param({"quarter_turns": 1}, False, id="on its side"),
        pytest.param({"input_height": 32}, False, id="another input"),
    ],
)
def test_pictures_of_one_batch_need_the_same_input_and_axes_only(change: dict[str, int], is_same: bool) -> None:
    assert (a_picture(**change).shape == a_picture().shape) is is_same


def test_a_picture_of_a_device_is_never_batched_with_one_of_the_host() -> None:
    assert a_picture().shape != np.zeros((3, 64, 64)).shape


def test_a_frame_on_a_device_needs_an_engine_there() -> None:
    array = np.zeros((3, 4, 4), np.float32)
    assert host_arrays([array])[0] is array
    with pytest.raises(EngineFailed, match="memory of a GPU, but the models run on the CPU"):
        host_arrays([array, a_picture()])


def test_what_was_searched_tells_its_size_and_shows_itself_once_it_was_prepared() -> None:
    picture = a_picture()
    assert picture_size(picture) == (64, 36)
    assert thumbnail_of(picture) is None
    picture.thumbnail = np.zeros((9, 16, 3), np.uint8)
    assert thumbnail_of(picture) is picture.thumbnail
    host = np.zeros((36, 64, 3), np.uint8)
    assert thumbnail_of(host) is host
    assert picture_size(host) == (64, 36)


def test_only_frames_on_a_device_have_planes_there() -> None:
    frame = DeviceArrayFrame(np.zeros((36, 64, 3), np.uint8))
    assert planes_of(frame) is frame.planes
    assert planes_of(object()) is None
