"""The rule that chooses best shots."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.selection.bestshot import (
    CLEARLY_BETTER,
    SHOT_SPACING_S,
    BodyFilters,
    FaceFilters,
    Look,
    Selection,
    body_quality,
    face_quality,
    frontality,
    sharpness,
)
from luna_processor.vision.headpose import HeadPose

GOOD = Look(score=0.9, sharpness=0.1, height_px=100, frontality=0.9, touches_edge=False)


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
    assert face_quality(replace(GOOD, **better)) > face_quality(GOOD)


def test_a_face_that_the_edge_cuts_is_worse_than_a_slightly_poorer_whole_one() -> None:
    assert face_quality(replace(GOOD, touches_edge=True)) < face_quality(replace(GOOD, score=0.7, sharpness=0.08))


def test_more_pixels_than_enough_do_not_count() -> None:
    assert face_quality(replace(GOOD, height_px=140)) == face_quality(replace(GOOD, height_px=600))


def test_a_body_may_be_larger_than_a_face_before_more_pixels_do_not_count() -> None:
    assert body_quality(replace(GOOD, height_px=300)) > body_quality(replace(GOOD, height_px=200))
    assert body_quality(replace(GOOD, height_px=300)) == body_quality(replace(GOOD, height_px=900))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 4000), st.floats(0, 1), st.booleans())
def test_quality_is_between_0_and_1(score: Any, sharp: Any, height: Any, front: Any, edge: Any) -> None:
    assert 0 <= face_quality(Look(score, sharp, height, edge, front)) <= 1


def test_a_face_without_contrast_or_seen_from_the_side_is_poor_but_not_nothing() -> None:
    assert 0 < face_quality(replace(GOOD, sharpness=0.0, frontality=0.0)) < face_quality(GOOD) / 2


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


@pytest.mark.parametrize(
    ("filters", "is_accepted"),
    [
        pytest.param(BodyFilters(min_score=0.6), True, id="score at the threshold"),
        pytest.param(BodyFilters(min_score=0.61), False, id="score below it"),
        pytest.param(BodyFilters(min_size_px=90.5), True, id="the documented example: sqrt(64 x 128) = 90.5"),
        pytest.param(BodyFilters(min_size_px=90.6), False, id="smaller than asked for"),
        pytest.param(BodyFilters(min_size_px=0), True, id="zero switches it off"),
    ],
)
def test_bodies_are_filtered_by_score_and_size(filters: BodyFilters, is_accepted: bool) -> None:
    assert filters.accepts(0.6, 64, 128) is is_accepted


# -- selection --------------------------------------------------------------------------------------------------------


def test_the_best_of_the_track_remains() -> None:
    chosen: Selection[Any] = Selection(1)
    for second, value in enumerate((0.3, 0.8, 0.5)):
        chosen.consider(second, value, constant(f"shot {value}"))
    assert chosen.best() == ("shot 0.8",)
    chosen.clear()
    assert chosen.best() == ()


def test_a_slightly_better_candidate_is_not_even_made() -> None:
    chosen: Selection[Any] = Selection(1)
    chosen.consider(0, 0.8, lambda: "first")
    assert not chosen.consider(1, 0.8 * CLEARLY_BETTER - 0.001, lambda: pytest.fail("made for nothing"))
    assert chosen.consider(1, 0.8 * CLEARLY_BETTER, lambda: "second")


def test_a_candidate_that_the_filters_refuse_changes_nothing() -> None:
    chosen: Selection[Any] = Selection(1)
    chosen.consider(0, 0.5, lambda: "kept")
    assert not chosen.consider(1, 0.9, lambda: None)
    assert chosen.best() == ("kept",)


def test_several_shots_come_best_first_and_lie_apart() -> None:
    chosen: Selection[Any] = Selection(3)
    for second, value in ((0.0, 0.5), (0.04, 0.7), (1.0, 0.4), (2.0, 0.6), (3.0, 0.9)):
        chosen.consider(second, value, constant(str(value)))
    assert chosen.best() == ("0.9", "0.7", "0.6")


def test_neighbouring_frames_count_as_one_shot() -> None:
    chosen: Selection[Any] = Selection(2)
    for second, value in ((0.0, 0.9), (SHOT_SPACING_S / 2, 0.8)):
        chosen.consider(second, value, constant(str(value)))
    assert chosen.best() == ("0.9",)
    assert not chosen.is_full


def test_a_shot_between_two_takes_the_place_of_both_or_of_none() -> None:
    """Times run backwards where yaws are compared again, and where two tracks become one."""
    chosen: Selection[Any] = Selection(3)
    for second, value in ((0.0, 0.5), (0.3, 0.8)):
        chosen.consider(second, value, constant(value))
    assert not chosen.consider(0.15, 0.82, constant(0.82)), "clearly better than one only"
    assert chosen.consider(0.15, 0.9, constant(0.9))
    assert chosen.best() == (0.9,)


def test_without_spacing_neighbouring_frames_are_shots_of_their_own() -> None:
    chosen: Selection[Any] = Selection(3, spacing_s=0.0)
    for second, value in ((0.0, 0.9), (0.04, 0.8), (0.08, 0.7)):
        chosen.consider(second, value, constant(value))
    assert chosen.best() == (0.9, 0.8, 0.7)


def test_frames_that_are_far_enough_apart_by_their_numbers_are_two_shots() -> None:
    selection: Selection[object] = Selection(2)
    assert all(selection.consider(frame / 25, 0.9, constant(frame)) for frame in (1, 6))


def test_what_turned_out_to_be_no_candidate_is_forgotten() -> None:
    chosen: Selection[Any] = Selection(2)
    for second, value in ((0.0, 0.9), (1.0, 0.8)):
        chosen.consider(second, value, constant(value))
    chosen.discard(lambda shot: shot == 0.9)
    assert chosen.best() == (0.8,)


def test_of_two_selections_that_become_one_the_best_remain() -> None:
    chosen: Selection[Any] = Selection(2)
    other: Selection[Any] = Selection(2)
    for second, value in ((0.0, 0.5), (1.0, 0.8)):
        chosen.consider(second, value, constant(value))
        other.consider(second + 10, value + 0.1, constant(value + 0.1))
    chosen.absorb(other)
    assert chosen.best() == (0.9, 0.8)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1)), max_size=30), st.integers(1, 5))
def test_never_more_than_asked_for_never_close_together_and_the_best_is_never_far_off(
    candidates: Any, count: Any
) -> None:
    chosen: Selection[Any] = Selection(count)
    for seconds, value in candidates:
        chosen.consider(seconds, value, constant((value, seconds)))
    shots = chosen.best()
    assert len(shots) <= count
    times = sorted(seconds for _, seconds in shots)
    assert all(later - earlier > SHOT_SPACING_S - 1e-5 for earlier, later in itertools.pairwise(times))
    assert list(shots) == sorted(shots, key=lambda shot: -shot[0])
    best = max((value for _, value in candidates), default=0)
    if best > 0:
        assert shots[0][0] * CLEARLY_BETTER >= best * 0.999
