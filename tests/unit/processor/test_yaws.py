"""Frames whose yaw goes with nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.selection.yaws import MAX_DEVIATION_DEGREES, YawPolicy, YawWindow


def window(*yaws: float, **policy: Any) -> YawWindow:
    made = YawWindow(YawPolicy(**policy))
    for frame, yaw in enumerate(yaws):
        made.add(frame, yaw)
    return made


@pytest.mark.parametrize(
    ("yaws", "count", "outliers"),
    [
        pytest.param([0, 90], 1, set(), id="switched off"),
        pytest.param([80], 3, set(), id="one has nothing to go with"),
        pytest.param([0, 10, 5], 3, set(), id="alike"),
        pytest.param([0, 0, 40], 3, {2}, id="the last is turned"),
        pytest.param([40, 0, 0], 3, {0}, id="an earlier one turns out to be turned"),
        pytest.param([0, 40], 3, {0, 1}, id="of two, none is right"),
        pytest.param([80, 0, 0, 0], 3, set(), id="only the last frames are compared"),
        pytest.param([-20, 20, 0], 3, {0, 1}, id="both sides"),
    ],
)
def test_a_yaw_far_from_the_mean_is_an_outlier(yaws: Any, count: int, outliers: set[int]) -> None:
    assert window(*yaws, count=count).outliers() == outliers


@pytest.mark.parametrize(
    ("seen", "collects_first", "is_collecting"),
    [(2, True, True), (3, True, False), (9, True, False), (1, False, False)],
)
def test_collecting_ends_for_good_with_the_last_frame_that_is_asked_for(
    seen: int, collects_first: bool, is_collecting: bool
) -> None:
    assert window(*[0] * seen, count=3, collects_first=collects_first).is_collecting is is_collecting


def test_two_windows_of_one_head_are_one() -> None:
    made = window(0, 0, count=3, collects_first=True)
    made.absorb(window(0, count=3, collects_first=True))
    assert not made.is_collecting


@given(st.lists(st.floats(-90, 90), min_size=1, max_size=20), st.integers(2, 8))
def test_what_is_left_lies_within_twice_the_limit(yaws: Any, count: Any) -> None:
    outliers = window(*yaws, count=count).outliers()
    first = max(0, len(yaws) - count)
    left = [yaw for frame, yaw in enumerate(yaws) if frame >= first and frame not in outliers]
    assert not left or max(left) - min(left) <= 2 * MAX_DEVIATION_DEGREES + 1e-6
    assert all(frame >= first for frame in outliers)
