"""The time of a source, whatever its time stamps do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.sources.timeline import Timeline

STEP_S = 0.5


def times(
    stamps: list[float | None], arrivals: list[float] | None = None, *, is_live: bool = False, **changes: Any
) -> list[float]:
    timeline = Timeline(STEP_S, is_live, **changes)
    moments = arrivals or [STEP_S * number for number in range(len(stamps))]
    return [round(timeline.at(stamp, at), 6) for stamp, at in zip(stamps, moments, strict=True)]


@pytest.mark.parametrize("is_live", [False, True])
@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        pytest.param([100.0, 100.5, 101.0], [0, 0.5, 1.0], id="count from anywhere"),
        pytest.param([-3.0, -2.5, -2.0], [0, 0.5, 1.0], id="below zero"),
        pytest.param([None, None, None], [0, 0.5, 1.0], id="none at all"),
        pytest.param([7.0, None, 8.0], [0, 0.5, 1.0], id="one is missing"),
        pytest.param([None, 7.0, 7.5], [0, 0.5, 1.0], id="the first is missing"),
        pytest.param([0.0, 0.5, 0.4, 1.0], [0, 0.5, 0.5, 1.0], id="a small step back stands still"),
        pytest.param([50.0, 50.5, 0.0, 0.5], [0, 0.5, 1.0, 1.5], id="the count begins anew"),
        pytest.param([0.0, 4.0, 4.5], [0, 4.0, 4.5], id="a pause"),
    ],
)
def test_time_begins_with_zero_and_goes_on(stamps: list[float | None], expected: list[float], is_live: bool) -> None:
    assert times(stamps, is_live=is_live) == expected


def test_a_recording_may_have_long_gaps_but_a_camera_only_had_its_clock_set() -> None:
    assert times([0.0, 0.5, 3600.0, 3600.5]) == [0, 0.5, 3600.0, 3600.5]
    assert times([0.0, 0.5, 3600.0, 3600.5], is_live=True) == [0, 0.5, 1.0, 1.5]


def test_a_camera_that_really_was_silent_keeps_its_time() -> None:
    assert times([0.0, 0.5, 60.5], [0.0, 0.5, 58.0], is_live=True) == [0, 0.5, 60.5]


def test_pictures_without_time_stamps_are_timed_by_their_arrival() -> None:
    assert times([0.0, 0.04, 0.08], [10.0, 10.2, 11.0], is_live=True, has_stamps=False) == [0, 0.2, 1.0]


def test_a_file_may_say_itself_where_it_begins() -> None:
    assert times([2.0, 2.5], origin_s=1.5) == [0.5, 1.0]


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), max_size=30), st.booleans(), st.booleans())
def test_time_never_goes_back_and_is_never_negative(
    stamps: list[float | None], is_live: bool, has_stamps: bool
) -> None:
    found = times(stamps, is_live=is_live, has_stamps=has_stamps)
    assert found == sorted(found)
    assert all(moment >= 0 for moment in found)
