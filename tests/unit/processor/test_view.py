"""Regions, rotation, and the way back to the frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.errors import UnsuitableSource
from luna_processor.vision.view import PixelRect, Region, View, crop_rect, resolve

FRAME = (64, 48)


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        pytest.param(Region(0, 0, 0, 0), PixelRect(0, 0, 64, 48), id="zero is the whole frame"),
        pytest.param(Region(10, 5, 0, 20), PixelRect(0, 0, 64, 48), id="zero width is the whole frame"),
        pytest.param(Region(10, 5, 20, 30), PixelRect(10, 5, 30, 35), id="pixels"),
        pytest.param(Region(50, 40, 100, 100), PixelRect(50, 40, 64, 48), id="cut at the frame"),
        pytest.param(Region(25, 50, 50, 50, is_percent=True), PixelRect(16, 24, 48, 48), id="percent"),
        pytest.param(Region(0, 0, 100, 100, is_percent=True), PixelRect(0, 0, 64, 48), id="all of it in percent"),
    ],
)
def test_regions_become_pixels(region: Any, expected: Any) -> None:
    assert resolve(region, *FRAME, "roi") == expected


def test_a_region_outside_the_frame_is_named() -> None:
    with pytest.raises(UnsuitableSource, match="droi lies outside the frame of 64x48"):
        resolve(Region(64, 0, 10, 10), *FRAME, "droi")


def test_a_region_smaller_than_a_pixel_is_named() -> None:
    with pytest.raises(UnsuitableSource, match="roi covers no pixel of the frame of 64x48"):
        resolve(Region(10, 10, 0.1, 50, is_percent=True), *FRAME, "roi")


@given(
    rotation=st.sampled_from([0, 90, 180, 270]),
    left=st.integers(0, 20),
    top=st.integers(0, 20),
    x=st.integers(0, 20),
    y=st.integers(0, 10),
)
def test_what_is_found_in_the_view_is_where_it_was_in_the_frame(
    rotation: Any, left: Any, top: Any, x: Any, y: Any
) -> None:
    """Paint a box into the frame, look it up in the view, and ask for it in pixels of the frame."""
    cut = PixelRect(left, top, left + 40, top + 25)
    picture = np.zeros((FRAME[1], FRAME[0], 3), np.uint8)
    painted = (cut.left + x, cut.top + y, cut.left + x + 12, cut.top + y + 9)
    picture[painted[1] : painted[3], painted[0] : painted[2]] = 255
    view = View(cut, rotation, *FRAME)
    seen = view.apply(picture)
    assert seen.shape == (view.height, view.width, 3)
    rows, columns = np.nonzero(seen[..., 0])
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    assert view.to_frame(box).tolist() == list(painted)


def test_rotation_is_clockwise() -> None:
    picture = np.zeros((2, 4), np.uint8)
    picture[0, 0] = 1
    turned = View(PixelRect(0, 0, 4, 2), 90, 4, 2).apply(picture)
    assert turned.shape == (4, 2)
    assert turned[0, 1] == 1, "the upper left corner comes to the upper right"


@pytest.mark.parametrize(
    ("box", "is_inside"),
    [((10, 10, 20, 20), True), ((10, 10, 30, 30), True), ((9.5, 10, 20, 20), False), ((10, 10, 30.5, 20), False)],
)
def test_a_detection_counts_only_wholly_inside(box: Any, is_inside: Any) -> None:
    assert PixelRect(10, 10, 30, 30).contains(np.array(box, np.float32)) is is_inside


@given(st.tuples(*[st.floats(-100, 200)] * 4), st.floats(0, 2), st.integers(1, 100), st.integers(1, 100))
def test_crops_are_never_empty_and_never_outside(corners: Any, margin: Any, width: Any, height: Any) -> None:
    box = np.array([*corners[:2], max(corners[0], corners[2]), max(corners[1], corners[3])], np.float32)
    rect = crop_rect(box, margin, width, height)
    assert 0 <= rect.left < rect.right <= width
    assert 0 <= rect.top < rect.bottom <= height
