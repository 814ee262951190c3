"""The rule that chooses best shots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.bestshot import (
    CLEARLY_BETTER,
    SHOT_SPACING_S,
    FaceFilters,
    Look,
    Moment,
    Selection,
    SendingPolicy,
    frontality,
    quality,
    sharpness,
)
from luna_processor.headpose import HeadPose

GOOD = Look(score=0.9, sharpness=0.1, height_px=100, frontality=0.9, touches_edge=False)


def at(seconds: float, fps: int = 25) -> Moment:
    return Moment(seconds, round(seconds * fps))


def selection(**policy: Any) -> Selection[Any]:
    return Selection(SendingPolicy(**policy), at(0))


def constant(shot: object) -> Callable[[], object]:
    return lambda: shot


# -- quality ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "better",
    [
        pytest.param({"score": 0.95}, id="score"),
        pytest.param({"sharpness": 0.11}, id="sharpness"),
        pytest.param({"height_px": 120}, id="size"),
        pytest.param({"frontality": 1.0}, id="frontality"),
    ],
)
def test_each_virtue_raises_the_quality(better: Any) -> None:
    assert quality(replace(GOOD, **better)) > quality(GOOD)


def test_a_face_that_the_edge_cuts_is_worse_than_a_slightly_poorer_whole_one() -> None:
    assert quality(replace(GOOD, touches_edge=True)) < quality(replace(GOOD, score=0.7, sharpness=0.08))


def test_more_pixels_than_enough_do_not_count() -> None:
    assert quality(replace(GOOD, height_px=140)) == quality(replace(GOOD, height_px=600))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 4000), st.floats(0, 1), st.booleans())
def test_quality_is_between_0_and_1(score: Any, sharp: Any, height: Any, front: Any, edge: Any) -> None:
    assert 0 <= quality(Look(score, sharp, height, front, edge)) <= 1


def test_sharpness_falls_when_a_picture_is_blurred_and_not_when_it_is_darkened() -> None:
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 255, (16, 16)).astype(np.float32)
    crisp = np.kron(coarse, np.ones((8, 8))).astype(np.uint8)
    shifted = [np.roll(crisp.astype(np.float32), (dx, dy), (0, 1)) for dx in (-4, 0, 4) for dy in (-4, 0, 4)]
    blurred = np.mean(shifted, axis=0)
    assert sharpness(blurred.astype(np.uint8)) < 0.8 * sharpness(crisp)
    assert sharpness((crisp / 4).astype(np.uint8)) == pytest.approx(sharpness(crisp), rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 1), (0, 5)])
def test_degenerate_crops_have_no_sharpness(shape: Any) -> None:
    assert sharpness(np.zeros(shape, np.uint8)) == 0


def landmarks(nose_shift: float = 0.0, roll_degrees: float = 0.0) -> np.ndarray:
    points = np.array([[-20, 0], [20, 0], [nose_shift * 40, 20], [-15, 40], [15, 40]], np.float64)
    angle = np.radians(roll_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn.T + 100, np.float32)


def test_a_straight_face_is_frontal_and_turning_or_tilting_makes_it_less_so() -> None:
    assert frontality(landmarks()) == pytest.approx(1)
    assert 0.4 < frontality(landmarks(nose_shift=0.3)) < 0.6
    assert frontality(landmarks(nose_shift=-0.3)) == pytest.approx(frontality(landmarks(nose_shift=0.3)))
    assert frontality(landmarks(nose_shift=0.8)) == 0
    assert frontality(landmarks(roll_degrees=30)) == pytest.approx(np.cos(np.radians(30)), abs=1e-3)
    assert frontality(landmarks(roll_degrees=180)) == 0
    assert frontality(np.zeros((5, 2), np.float32)) == 0


# -- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pose", "is_accepted"),
    [
        (HeadPose(0, 0, 0), True),
        (HeadPose(40, -40, 30), True),
        (HeadPose(-40.1, 0, 0), False),
        (HeadPose(0, 40.1, 0), False),
        (HeadPose(0, 0, -30.1), False),
    ],
)
def test_angles_up_to_the_threshold_are_accepted_in_both_directions(pose: Any, is_accepted: Any) -> None:
    assert FaceFilters().accepts_pose(pose) is is_accepted


@pytest.mark.parametrize(("score", "is_accepted"), [(0.5187, True), (0.5186, False)])
def test_scores_from_the_threshold_on_are_accepted(score: Any, is_accepted: Any) -> None:
    assert FaceFilters().accepts_score(score) is is_accepted


# -- selection --------------------------------------------------------------------------------------------------------


def test_the_best_of_the_track_remains() -> None:
    chosen = selection()
    for second, value in enumerate((0.3, 0.8, 0.5)):
        chosen.consider(at(second), value, constant(f"shot {value}"))
    assert chosen.rest() == ("shot 0.8",)
    assert chosen.rest() == ()


def test_a_slightly_better_candidate_is_not_even_made() -> None:
    chosen = selection()
    chosen.consider(at(0), 0.8, lambda: "first")
    assert not chosen.consider(at(1), 0.8 * CLEARLY_BETTER - 0.001, lambda: pytest.fail("made for nothing"))
    assert chosen.consider(at(1), 0.8 * CLEARLY_BETTER, lambda: "second")


def test_a_candidate_that_the_filters_refuse_changes_nothing() -> None:
    chosen = selection()
    chosen.consider(at(0), 0.5, lambda: "kept")
    assert not chosen.consider(at(1), 0.9, lambda: None)
    assert chosen.rest() == ("kept",)


def test_a_track_whose_candidates_are_all_refused_has_nothing_to_send() -> None:
    chosen = selection()
    chosen.consider(at(0), 0.9, lambda: None)
    assert chosen.rest() == ()


def test_several_shots_come_best_first_and_lie_apart() -> None:
    chosen = selection(shot_count=3)
    for second, value in ((0.0, 0.5), (0.04, 0.7), (1.0, 0.4), (2.0, 0.6), (3.0, 0.9)):
        chosen.consider(at(second), value, constant(str(value)))
    assert chosen.rest() == ("0.9", "0.7", "0.6")


def test_neighbouring_frames_count_as_one_shot() -> None:
    chosen = selection(shot_count=2)
    for second, value in ((0.0, 0.9), (SHOT_SPACING_S / 2, 0.8)):
        chosen.consider(at(second), value, constant(str(value)))
    assert chosen.rest() == ("0.9",)


def test_with_the_whole_track_as_period_nothing_is_due_before_its_end() -> None:
    chosen = selection()
    chosen.consider(at(0), 0.9, lambda: "shot")
    assert chosen.due(at(1e6)) == ()


@pytest.mark.parametrize("unit", ["sec", "frames"])
def test_periods_and_silences_alternate_in_seconds_and_frames(unit: Any) -> None:
    chosen = selection(search_period=2 if unit == "sec" else 50, silent_period=1 if unit == "sec" else 25, unit=unit)
    sent = []
    for frame in range(200):
        now = at(frame / 25)
        chosen.consider(now, 0.5, constant(now.pts_s))
        sent += [(now.pts_s, shot) for shot in chosen.due(now)]
    assert sent == [(2.0, 0.0), (5.0, pytest.approx(3.0, abs=0.05))]


def test_a_period_without_a_shot_is_followed_by_another_at_once() -> None:
    chosen = selection(search_period=1, silent_period=-1)
    assert chosen.due(at(1)) == ()
    chosen.consider(at(1.5), 0.5, lambda: "late")
    assert chosen.due(at(2)) == ("late",)


def test_silence_without_end_lets_a_track_send_once() -> None:
    chosen = selection(search_period=1, silent_period=-1)
    chosen.consider(at(0), 0.5, lambda: "first")
    assert chosen.due(at(1)) == ("first",)
    assert not chosen.consider(at(2), 0.9, lambda: "second")
    assert chosen.due(at(1e6)) == ()
    assert chosen.rest() == ()


def test_without_silence_periods_follow_each_other() -> None:
    chosen = selection(search_period=1, silent_period=0)
    sent: list[str] = []
    for frame in range(101):
        now = at(frame / 25)
        chosen.consider(now, 0.5, lambda: "shot")
        sent += chosen.due(now)
    assert len(sent) == 4


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=30), st.integers(1, 5))
def test_never_more_than_asked_for_never_close_together_and_the_best_is_never_far_off(
    candidates: Any, count: Any
) -> None:
    chosen = selection(shot_count=count)
    for seconds, value in candidates:
        chosen.consider(at(seconds), value, constant((value, seconds)))
    shots = chosen.rest()
    assert len(shots) <= count
    assert list(shots) == sorted(shots, key=lambda shot: -shot[0])
    best = max((value for _, value in candidates), default=0)
    if best > 0:
        assert shots[0][0] * CLEARLY_BETTER >= best * 0.999
