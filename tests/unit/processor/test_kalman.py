"""The filter of a box."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.tracking.kalman import HEADS, BoxState, correct, predict, start


def box(x: float, y: float = 100.0, side: float = 40.0) -> np.ndarray:
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], np.float32)


def follow(positions: list[float], step_s: float) -> BoxState:
    state = start(box(positions[0]), HEADS)
    for x in positions[1:]:
        state = correct(predict(state, HEADS, step_s), HEADS, box(x))
    return state


def test_speed_is_learnt_and_carried_on() -> None:
    state = follow([100 + 5 * t for t in range(20)], 0.04)
    assert state.velocity[0] == pytest.approx(125, rel=0.05)
    assert predict(state, HEADS, 0.4).position[0] == pytest.approx(195 + 50, abs=4)


def test_the_same_motion_gives_the_same_speed_at_any_frame_rate() -> None:
    fast = follow([100 + 2 * t for t in range(50)], 0.02)
    slow = follow([100 + 20 * t for t in range(5)], 0.2)
    assert fast.velocity[0] == pytest.approx(slow.velocity[0], rel=0.1)


def test_a_shrinking_box_is_not_extrapolated() -> None:
    state = start(box(100, side=80), HEADS)
    for side in (70, 55, 40):
        state = correct(predict(state, HEADS, 0.04), HEADS, box(100, side=side))
    assert predict(state, HEADS, 1.0).position[2] == pytest.approx(state.position[2])


@given(st.lists(st.floats(0, 0.5), max_size=10), st.floats(5, 500))
def test_variances_stay_positive_and_grow_without_detections(steps: Any, side: Any) -> None:
    state = start(box(100, side=side), HEADS)
    for step in steps:
        following = predict(state, HEADS, step)
        assert (following.position_variance >= state.position_variance).all()
        assert (following.position_variance * following.velocity_variance >= following.covariance**2 * 0.999).all()
        state = following
    corrected = correct(state, HEADS, box(120, side=side))
    assert (corrected.position_variance > 0).all()
    assert (corrected.position_variance <= state.position_variance).all()
