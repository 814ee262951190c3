"""Whose turn it is at an access gate."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.selection.primary import CLEARLY_LARGER, HOLD_S, PrimaryPolicy, PrimaryTrack

POLICY = PrimaryPolicy(min_height_px=70, proper_height_px=140)


def chosen(*frames: dict[str, float], apart_s: float = HOLD_S) -> list[str | None]:
    primary = PrimaryTrack(POLICY)
    return [primary.choose(heights, number * apart_s) for number, heights in enumerate(frames)]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([{}], [None], id="nobody"),
        pytest.param([{"a": 69}], [None], id="too far"),
        pytest.param([{"a": 70}], ["a"], id="near enough"),
        pytest.param([{"a": 80, "b": 100}], ["b"], id="the larger"),
        pytest.param([{"a": 100, "b": 80}, {"a": 100, "b": 109}], ["a", "a"], id="hardly larger takes nothing over"),
        pytest.param([{"a": 100, "b": 80}, {"a": 100, "b": 111}], ["a", "b"], id="clearly larger does"),
        pytest.param([{"a": 100}, {"b": 80}], ["a", "b"], id="the next one when the first is gone"),
        pytest.param([{"a": 100}, {"a": 60, "b": 75}], ["a", "b"], id="the next one when the first went away"),
    ],
)
def test_the_nearest_face_counts(frames: Any, expected: Any) -> None:
    assert chosen(*frames) == expected


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([{"a": 100, "b": 90}, {"b": 90}, {"a": 100, "b": 90}], ["a", None, "a"], id="it blinks"),
        pytest.param([{"a": 100, "b": 90}, *[{"b": 90}] * 4], ["a", None, None, None, "b"], id="it does not come back"),
        pytest.param([{"a": 100, "b": 90}, {"b": 111}], ["a", "b"], id="the next one comes clearly nearer"),
        pytest.param([{"a": 100, "b": 90}, {"a": 60, "b": 90}], ["a", "b"], id="it is seen to go away"),
    ],
)
def test_the_turn_outlasts_a_moment_out_of_sight(frames: Any, expected: Any) -> None:
    assert chosen(*frames, apart_s=HOLD_S / 4) == expected


def test_the_turn_stays_with_a_track_that_is_known_under_another_id() -> None:
    primary = PrimaryTrack(POLICY)
    assert primary.choose({"face": 100}, 0.0) == "face"
    primary.merge("face", "human")
    assert primary.choose({"human": 100, "b": 105}, 0.04) == "human"


def test_the_turn_ends_with_its_track() -> None:
    primary = PrimaryTrack(POLICY)
    assert primary.choose({"a": 100}, 0.0) == "a"
    primary.end("a")
    assert primary.choose({"b": 90}, 0.04) == "b"


@pytest.mark.parametrize(("height", "is_proper"), [(139.9, False), (140, True)])
def test_a_face_is_sent_at_once_from_the_proper_size_on(height: float, is_proper: bool) -> None:
    assert PrimaryTrack(POLICY).is_proper(height) is is_proper


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), st.floats(1, 500)), max_size=20))
def test_the_chosen_is_seen_large_enough_and_nobody_is_clearly_larger(frames: Any) -> None:
    for heights, track_id in zip(frames, chosen(*frames), strict=True):
        if track_id is None:
            assert all(height < POLICY.min_height_px for height in heights.values())
        else:
            assert heights[track_id] >= POLICY.min_height_px
            assert max(heights.values()) < heights[track_id] * CLEARLY_LARGER or heights[track_id] == max(
                heights.values()
            )
