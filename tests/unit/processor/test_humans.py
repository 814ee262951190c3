"""Which face belongs to which body, and for how long."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.tracking.humans import TIE_FRAMES, UNTIE_FRAMES, Humans, Part, fit_costs
from luna_processor.tracking.subjects import SubjectsUpdate

BODY = (100, 50, 200, 350)


def part(track_id: str, box: tuple[float, float, float, float], detection: int = 0, *, sure: bool = True) -> Part:
    return Part(track_id, detection, np.array(box, np.float32), sure)


def face_on(body: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = body
    width, height = right - left, bottom - top
    return left + 0.35 * width, top + 0.02 * height, left + 0.65 * width, top + 0.15 * height


class Film:
    """Humans with ids H1, H2, ..."""

    def __init__(self) -> None:
        numbers = itertools.count(1)
        self.humans = Humans(lambda: f"H{next(numbers)}")

    def show(self, faces: dict[str, Any], bodies: dict[str, Any], *gone: str, times: int = 1) -> SubjectsUpdate:
        merged: list[tuple[str, str]] = []
        for _ in range(times):
            update = self.humans.update(
                [part(name, box, index) for index, (name, box) in enumerate(faces.items())],
                [part(name, box, index) for index, (name, box) in enumerate(bodies.items())],
                gone,
            )
            merged += update.merged
        return SubjectsUpdate(update.seen, tuple(merged), update.ended)


@pytest.mark.parametrize(
    ("face", "fits"),
    [
        pytest.param(face_on(BODY), True, id="head of a standing person"),
        pytest.param((130, 40, 170, 90), True, id="hair above the body's box"),
        pytest.param((105, 60, 195, 200), True, id="close-up"),
        pytest.param((190, 60, 230, 110), False, id="beside"),
        pytest.param((130, 0, 170, 40), False, id="above"),
        pytest.param((130, 280, 170, 330), False, id="at the feet"),
        pytest.param((80, 50, 220, 200), False, id="wider than the body"),
    ],
)
def test_a_face_sits_in_the_upper_part_of_its_body(face: Any, fits: bool) -> None:
    assert np.isfinite(fit_costs([np.array(face, np.float32)], [np.array(BODY, np.float32)])[0, 0]) == fits


def test_a_face_and_a_body_that_stay_together_are_one_human_under_the_older_id() -> None:
    film = Film()
    film.show({}, {"b": BODY})
    update = film.show({"f": face_on(BODY)}, {"b": BODY}, times=TIE_FRAMES)
    assert update.merged == (("H2", "H1"),)
    [human] = update.seen
    assert (human.track_id, human.face, human.body) == ("H1", 0, 0)


def test_one_frame_ties_nobody() -> None:
    update = Film().show({"f": face_on(BODY)}, {"b": BODY})
    assert len(update.seen) == 2


def test_a_face_that_turns_away_and_comes_back_is_the_same_human() -> None:
    film = Film()
    film.show({"f": face_on(BODY)}, {"b": BODY}, times=5)
    assert film.show({}, {"b": BODY}, "f").ended == ()
    update = film.show({"f2": face_on(BODY)}, {"b": BODY}, times=TIE_FRAMES)
    assert [human.track_id for human in update.seen] == ["H1"]


def test_a_human_ends_with_the_last_of_its_tracks() -> None:
    film = Film()
    film.show({"f": face_on(BODY)}, {"b": BODY}, times=5)
    assert film.show({"f": face_on(BODY)}, {}, "b").ended == ()
    [ended] = film.show({}, {}, "f").ended
    assert (ended.track_id, ended.is_confirmed) == ("H1", True)
    assert film.humans.confirmed_count == 0


def test_a_body_without_a_face_and_a_face_without_a_body_are_humans_of_their_own() -> None:
    update = Film().show({"f": (400, 50, 440, 100)}, {"b": BODY}, times=5)
    assert {(human.face, human.body) for human in update.seen} == {(0, None), (None, 0)}


def test_two_people_side_by_side_keep_their_own_faces() -> None:
    other = (180, 60, 280, 360)
    film = Film()
    update = film.show({"f2": face_on(other), "f1": face_on(BODY)}, {"b1": BODY, "b2": other}, times=5)
    assert {(human.face, human.body) for human in update.seen} == {(1, 0), (0, 1)}


def test_a_face_that_passes_before_a_tied_body_takes_nothing_over() -> None:
    film = Film()
    film.show({"f": face_on(BODY)}, {"b": BODY}, times=5)
    update = film.show({"f": face_on(BODY), "x": (130, 60, 160, 100)}, {"b": BODY}, times=5)
    assert (0, 0) in {(human.face, human.body) for human in update.seen}


def test_a_tie_breaks_when_both_are_seen_apart_for_a_while() -> None:
    film = Film()
    film.show({"f": face_on(BODY)}, {"b": BODY}, times=5)
    away = {"f": (500, 50, 530, 90)}
    assert len(film.show(away, {"b": BODY}, times=UNTIE_FRAMES - 1).seen) == 1
    update = film.show(away, {"b": BODY})
    assert {(human.track_id, human.face, human.body) for human in update.seen} == {("H1", None, 0), ("H3", 0, None)}


def test_a_human_is_confirmed_when_one_of_its_parts_is() -> None:
    humans = Humans(iter(["H1", "H2"]).__next__)
    for _ in range(TIE_FRAMES):
        update = humans.update([part("f", face_on(BODY), sure=False)], [part("b", BODY, sure=True)], ())
    assert [human.is_confirmed for human in update.seen] == [True]


boxes = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(
    lambda p: (p[0] * 60, p[1] * 60, p[0] * 60 + 80, p[1] * 60 + 240)
)
steps = st.lists(
    st.tuples(st.dictionaries(st.sampled_from("abc"), boxes), st.dictionaries(st.sampled_from("xyz"), boxes)),
    max_size=25,
)


@given(steps)
def test_every_part_belongs_to_one_human_and_nobody_is_lost(shown: Any) -> None:
    film = Film()
    alive: set[str] = set()
    seen_before: set[str] = set()
    for faces, bodies in shown:
        update = film.show({name: face_on(box) for name, box in faces.items()}, bodies)
        assert sorted(human.face for human in update.seen if human.face is not None) == list(range(len(faces)))
        assert sorted(human.body for human in update.seen if human.body is not None) == list(range(len(bodies)))
        ids = [human.track_id for human in update.seen]
        assert len(set(ids)) == len(ids)
        alive |= set(ids)
        alive -= {track_id for track_id, _ in update.merged}
        seen_before |= {*faces, *bodies}
    ended = film.show({}, {}, *seen_before).ended
    assert {human.track_id for human in ended} == alive
