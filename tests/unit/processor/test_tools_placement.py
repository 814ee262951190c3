"""Where annotations stand: the way from the frame to the picture is the way back of the pipeline's view."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.tools.placement import Canvas, Rect, label_rect
from luna_processor.vision.view import PixelRect, Rotation, View

ROTATIONS = get_args(Rotation)


def sides(rect: Rect) -> tuple[float, float, float, float]:
    return rect.left, rect.top, rect.right, rect.bottom


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        pytest.param(0, (10, 20, 30, 60), id="as it is"),
        pytest.param(90, (40, 10, 80, 30), id="clockwise: the left edge becomes the top"),
        pytest.param(180, (170, 40, 190, 80), id="upside down"),
        pytest.param(270, (20, 170, 60, 190), id="counterclockwise: the right edge becomes the top"),
    ],
)
def test_a_box_is_turned_with_its_frame(rotation: Rotation, expected: tuple[float, ...]) -> None:
    canvas = Canvas.of(200, 100, rotation, 1000)
    assert sides(canvas.place(np.array([10, 20, 30, 60], np.float32))) == expected


@given(
    rotation=st.sampled_from(ROTATIONS),
    size=st.tuples(st.integers(2, 300), st.integers(2, 300)).map(lambda size: (2 * size[0], 2 * size[1])),
    corners=st.tuples(*[st.floats(0, 1)] * 4),
)
def test_what_the_view_brings_back_to_the_frame_stands_where_the_view_had_it(
    rotation: Rotation, size: tuple[int, int], corners: tuple[float, float, float, float]
) -> None:
    width, height = size
    view = View(PixelRect(0, 0, width, height), rotation, width, height)
    canvas = Canvas.of(width, height, rotation, 10_000)
    across, down = sorted((corners[0], corners[2])), sorted((corners[1], corners[3]))
    box = np.array([across[0] * view.width, down[0] * view.height, across[1] * view.width, down[1] * view.height])
    placed = canvas.place(view.to_frame(box.astype(np.float32)))
    assert (canvas.width, canvas.height) == (view.width, view.height)
    assert sides(placed) == pytest.approx(tuple(box), abs=0.01)


@given(
    size=st.tuples(st.integers(16, 8000), st.integers(16, 8000)),
    rotation=st.sampled_from(ROTATIONS),
    longest=st.integers(16, 4000),
)
def test_a_canvas_is_even_no_longer_than_asked_for_and_holds_the_whole_frame(
    size: tuple[int, int], rotation: Rotation, longest: int
) -> None:
    canvas = Canvas.of(*size, rotation, longest)
    assert canvas.width % 2 == canvas.height % 2 == 0
    assert max(canvas.width, canvas.height) <= longest + 1
    whole = canvas.place(np.array([0, 0, *size], np.float32))
    assert sides(whole) == pytest.approx((0, 0, canvas.width, canvas.height), rel=1e-4, abs=0.01)


@given(
    box=st.tuples(st.floats(-50, 700), st.floats(-50, 400), st.floats(1, 300), st.floats(1, 300)),
    size=st.tuples(st.floats(5, 200), st.floats(5, 40)),
)
def test_a_label_lies_wholly_inside_the_picture(
    box: tuple[float, float, float, float], size: tuple[float, float]
) -> None:
    canvas = Canvas.of(640, 360, 0, 1280)
    left, top, width, height = box
    rect = label_rect(Rect(left, top, left + width, top + height), size, canvas, [])
    assert rect.left >= 0
    assert rect.top >= 0
    assert rect.right <= canvas.width + 1e-6
    assert rect.bottom <= canvas.height + 1e-6
    assert (rect.width, rect.height) == pytest.approx(size)


def test_labels_of_boxes_side_by_side_do_not_cover_each_other() -> None:
    canvas = Canvas.of(640, 360, 0, 1280)
    taken: list[Rect] = []
    for left in (100, 120, 140):
        taken.append(label_rect(Rect(left, 100, left + 60, 160), (80, 16), canvas, taken))
    assert sum(a.overlap(b) for a in taken for b in taken if a is not b) == 0


def test_a_label_stands_above_its_box_where_there_is_room() -> None:
    canvas = Canvas.of(640, 360, 0, 1280)
    assert sides(label_rect(Rect(100, 100, 160, 160), (80, 16), canvas, [])) == (100, 84, 180, 100)
    assert label_rect(Rect(100, 5, 160, 60), (80, 16), canvas, []).top == 0
