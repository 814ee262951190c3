"""People and photos: the rule that weighs checks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.selection.liveness import Check, LivenessPolicy, LivenessRecord

BOTH: Mapping[Check, float] = {"mask": 0.45, "flying_faces": 0.5}


def record(*scores: float, weights: Mapping[Check, float] = BOTH, **policy: Any) -> LivenessRecord:
    """Return a record after frames in which every check that is wanted gave these scores."""
    made = LivenessRecord(replace(LivenessPolicy(weights, 0, 3, 0.6), **policy))
    for score in scores:
        for check in made.wanted(1000):
            made.add(check, score)
    return made


@pytest.mark.parametrize(
    ("mode", "scores", "is_alive"),
    [
        pytest.param(0, [0.9] * 3 + [0.0] * 9, True, id="the first frames decide"),
        pytest.param(0, [0.0] * 3 + [0.9] * 9, False, id="and cannot be made up for"),
        pytest.param(1, [0.9] * 9 + [0.0] * 3, False, id="the last frames decide"),
        pytest.param(1, [0.0] * 9 + [0.9] * 3, True, id="whatever was before"),
        pytest.param(2, [0.0] * 2 + [0.9] * 9, True, id="all frames: mostly a person"),
        pytest.param(2, [0.9] * 2 + [0.0] * 9, False, id="all frames: mostly a photo"),
        pytest.param(0, [], False, id="nothing was checked"),
    ],
)
def test_the_mode_says_which_frames_count(mode: int, scores: Any, is_alive: bool) -> None:
    assert record(*scores, mode=mode).is_alive is is_alive


@pytest.mark.parametrize(
    ("weights", "threshold", "is_alive"),
    [
        pytest.param({"mask": 0.45, "flying_faces": 0.5}, 0.71, True, id="sum 0.7125"),
        pytest.param({"mask": 0.45, "flying_faces": 0.5}, 0.72, False, id="below the threshold"),
        pytest.param({"mask": 1.0}, 0.75, False, id="at the threshold is not above it"),
        pytest.param({"flying_faces": 1.0}, 0.74, True, id="one check alone"),
    ],
)
def test_the_weighted_sum_must_exceed_the_threshold(
    weights: Mapping[Check, float], threshold: float, is_alive: bool
) -> None:
    assert record(*[0.75] * 3, weights=weights, threshold=threshold).is_alive is is_alive


@pytest.mark.parametrize(
    ("mode", "seen", "is_decided"),
    [(0, 2, False), (0, 3, True), (1, 2, False), (1, 3, True), (2, 0, False), (2, 1, True)],
)
def test_it_is_decided_when_enough_frames_were_checked(mode: int, seen: int, is_decided: bool) -> None:
    assert record(*[0.9] * seen, mode=mode).is_decided is is_decided


def test_no_more_first_frames_are_checked_than_asked_for() -> None:
    assert record(0.9, 0.9).wanted(0) == ("mask", "flying_faces")
    assert record(0.9, 0.9, 0.9).wanted(0) == ()
    assert record(0.9, 0.9, 0.9, mode=1).wanted(0) == ("mask", "flying_faces")


def test_the_mask_check_waits_for_the_background() -> None:
    assert record(background_count=300).wanted(299) == ("flying_faces",)
    assert record(background_count=300).wanted(300) == ("mask", "flying_faces")


def test_a_count_of_zero_checks_one_frame() -> None:
    assert record(0.9, count=0).is_decided


def test_two_tracks_of_one_person_share_their_checks() -> None:
    made = record(0.9, 0.9)
    made.absorb(record(0.9))
    assert made.is_decided


def test_of_two_tracks_of_one_person_no_more_first_frames_count_than_asked_for() -> None:
    made = record(0.9, 0.9)
    made.absorb(record(0.9, 0.0, 0.0))
    assert made.is_alive


@given(
    st.sampled_from([0, 1, 2]),
    st.integers(-1, 6),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=25),
    st.integers(0, 30),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.floats(0, 1),
)
def test_a_person_is_whom_the_document_calls_one(
    mode: Any, count: int, frames: Any, background: int, weights: Any, threshold: float
) -> None:
    """Against lists of all scores: of N frames the first, the last or all, and the mask's once it is known."""
    policy = LivenessPolicy(dict(zip(BOTH, weights, strict=True)), mode, count, threshold, background)
    made = LivenessRecord(policy)
    for number, scores in enumerate(frames):
        told = dict(zip(BOTH, scores, strict=True))
        for check in made.wanted(number):
            made.add(check, told[check])
    known = [mask for number, (mask, _) in enumerate(frames) if number >= background], [face for _, face in frames]
    wanted = max(1, count)
    counted = [{0: scores[:wanted], 1: scores[-wanted:], 2: scores}[mode] for scores in known]
    total = sum(weight * sum(each) / max(1, len(each)) for weight, each in zip(weights, counted, strict=True))
    if abs(total - threshold) > 1e-9:
        assert made.is_alive is (total > threshold)
    assert made.is_decided is all(len(each) >= (1 if mode == 2 else wanted) for each in counted)


def test_a_face_that_is_checked_for_days_takes_no_more_memory_than_one_of_a_minute() -> None:
    made = record(mode=2)
    sizes = []
    for count in (1_000, 100_000):
        tracemalloc.start()
        for _ in range(count):
            made.add("mask", 0.9)
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert sizes[1] < sizes[0] + 2_000


@pytest.mark.parametrize(("weights", "can"), [({"mask": 0.6}, False), ({"mask": 0.61}, True), ({}, False)])
def test_weights_that_can_never_exceed_the_threshold_are_known(weights: Mapping[Check, float], can: bool) -> None:
    assert LivenessPolicy(weights, 0, 3, 0.6).can_confirm is can


@given(st.sampled_from([0, 1, 2]), st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 5))
def test_better_scores_never_make_a_photo_of_a_person(mode: Any, scores: Any, count: Any) -> None:
    before = record(*scores, mode=mode, count=count)
    after = record(*[min(1.0, score + 0.2) for score in scores], mode=mode, count=count)
    assert after.is_alive or not before.is_alive
