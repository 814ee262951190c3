"""When the shots of a track are sent: periods, silence, sets, on a clock that the test turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.selection.sending import DueSet, Moment, SendingPolicy, TrackHistory

FPS = 25


def at(seconds: float) -> Moment:
    return Moment(seconds, round(seconds * FPS))


def history(**policy: Any) -> TrackHistory[Any]:
    return TrackHistory(SendingPolicy(**policy), at(0))


def constant(shot: object) -> Callable[[], object]:
    return lambda: shot


def film(track: TrackHistory[Any], seconds: float, kind: str = "face") -> list[tuple[float, DueSet[Any]]]:
    """Show a track an equal candidate per frame, then end it; returns what was sent when."""
    sent = []
    for frame in range(round(seconds * FPS)):
        now = at(frame / FPS)
        consider = track.consider_face if kind == "face" else track.consider_body
        consider(now, 0.5, constant(now.pts_s))
        if found := track.due(now):
            sent.append((now.pts_s, found))
    if rest := track.rest():
        sent.append((seconds, rest))
    return sent


# -- periods ----------------------------------------------------------------------------------------------------------


def test_with_the_whole_track_as_period_nothing_is_due_before_its_end() -> None:
    track = history()
    track.consider_face(at(0), 0.9, lambda: "shot")
    assert not track.due(at(1e6))
    assert track.rest().faces == ("shot",)
    assert not track.rest()


@pytest.mark.parametrize("unit", ["sec", "frames"])
@pytest.mark.parametrize("kind", ["face", "body"])
@pytest.mark.parametrize(
    ("search_s", "silent_s", "times"),
    [
        pytest.param(2, 1, [2, 5, 8], id="silence between"),
        pytest.param(2, 0, [2, 4, 6, 8, 9], id="no silence"),
        pytest.param(2, -1, [2], id="silence for ever"),
        pytest.param(3, 4, [3, 9], id="the track ends within a search, and sends what it has"),
        pytest.param(20, 0, [9], id="longer than the track"),
    ],
)
def test_periods_and_silences_alternate(search_s: int, silent_s: int, times: Any, unit: Any, kind: str) -> None:
    factor = 1 if unit == "sec" else FPS
    silence = silent_s * factor if silent_s > 0 else silent_s
    sent = film(history(search_period=search_s * factor, silent_period=silence, unit=unit), 9, kind)
    assert [time for time, _ in sent] == pytest.approx(times)


@given(st.integers(0, 100_000), st.integers(0, 3), st.integers(1, 3), st.sampled_from([5, 10, 25, 30]))
def test_seconds_and_frames_are_the_same_where_frames_are_equally_far_apart(
    first: int, search_s: int, silent_s: int, fps: int
) -> None:
    moments = [Moment(number / fps, number) for number in range(first, first + 9 * fps)]
    units: tuple[tuple[Literal["sec", "frames"], int], ...] = (("sec", 1), ("frames", fps))
    sent: list[list[int]] = []
    for unit, factor in units:
        policy = SendingPolicy(search_period=search_s * factor, silent_period=silent_s * factor, unit=unit)
        track: TrackHistory[Any] = TrackHistory(policy, moments[0])
        sent.append([])
        for now in moments:
            track.consider_face(now, 0.5, constant(now))
            if track.due(now):
                sent[-1].append(now.frame_number)
    assert sent[0] == sent[1]


def test_a_frame_of_the_silence_is_never_sent() -> None:
    sent = film(history(search_period=2, silent_period=1), 9)
    assert [found.faces[0] for _, found in sent] == pytest.approx([0, 3, 6])


def test_a_period_without_a_shot_is_followed_by_another_at_once() -> None:
    track = history(search_period=1, silent_period=-1)
    assert not track.due(at(1))
    track.consider_face(at(1.5), 0.5, lambda: "late")
    assert track.due(at(2)).faces == ("late",)


def test_silence_without_end_lets_a_track_send_once() -> None:
    track = history(search_period=1, silent_period=-1)
    track.consider_face(at(0), 0.5, lambda: "first")
    assert track.due(at(1)).faces == ("first",)
    assert not track.consider_face(at(2), 0.9, lambda: "second")
    assert not track.due(at(1e6))
    assert not track.rest()


def test_frames_that_were_dropped_count_in_a_period_of_frames() -> None:
    track = history(search_period=10, unit="frames")
    track.consider_face(Moment(0, 0), 0.5, lambda: "shot")
    assert not track.due(Moment(0.1, 9))
    assert track.due(Moment(0.1, 10))


# -- sets of bodies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs_full", "count", "detections", "seen_s", "is_sent"),
    [
        pytest.param(True, 1, 3, 0.12, True, id="enough of both"),
        pytest.param(True, 1, 4, 0.12, False, id="too few detections"),
        pytest.param(True, 3, 0, 0.4, False, id="too few shots"),
        pytest.param(True, 3, 0, 0.6, True, id="enough shots"),
        pytest.param(False, 3, 100, 0.04, True, id="not asked for"),
    ],
)
def test_a_set_of_bodies_goes_out_when_it_is_full(
    needs_full: bool, count: int, detections: int, seen_s: float, is_sent: bool
) -> None:
    track = history(needs_full_body_set=needs_full, body_count=count, min_body_detections=detections)
    assert bool(film(track, seen_s, "body")) is is_sent


def test_a_set_that_is_not_full_goes_on_gathering_in_the_next_period() -> None:
    track = history(search_period=1, body_count=1, min_body_detections=40)
    assert [time for time, _ in film(track, 2.5, "body")] == pytest.approx([2, 2.5])


def test_faces_need_no_full_set() -> None:
    assert film(history(face_count=9, min_body_detections=9), 0.2)


def test_bodies_stay_after_sending_and_compete_with_later_ones() -> None:
    track = history(search_period=1, body_count=1)
    track.consider_body(at(0), 0.9, lambda: "good")
    assert track.due(at(1)).bodies == ("good",)
    track.consider_body(at(1.5), 0.5, lambda: "poor")
    assert track.due(at(2)).bodies == ("good",)
    assert not track.due(at(3)), "nothing was seen since"


def test_bodies_are_forgotten_after_sending_where_that_is_asked_for() -> None:
    track = history(search_period=1, body_count=1, forgets_bodies=True, min_body_detections=1)
    track.consider_body(at(0), 0.9, lambda: "good")
    assert track.due(at(1)).bodies == ("good",)
    track.consider_body(at(1.5), 0.5, lambda: "poor")
    assert track.due(at(2)).bodies == ("poor",)


def test_forgetting_empties_the_count_of_detections_too() -> None:
    track = history(search_period=1, forgets_bodies=True, min_body_detections=30)
    assert len(film(track, 2.9, "body")) == 1
    track = history(search_period=1, forgets_bodies=False, min_body_detections=30)
    assert len(film(track, 2.9, "body")) == 2


# -- near enough ------------------------------------------------------------------------------------------------------


def test_a_track_that_is_near_enough_sends_at_once_and_only_once() -> None:
    track = history()
    track.hurry()
    assert not track.due(at(0)), "there is no shot yet"
    track.consider_face(at(1), 0.5, lambda: "shot")
    assert track.due(at(1)).faces == ("shot",)
    assert not track.consider_face(at(2), 0.9, lambda: "later")
    assert not track.rest()


def test_periods_go_on_after_a_hurried_sending() -> None:
    track = history(search_period=2, silent_period=1)
    track.hurry()
    sent = film(track, 6.5)
    assert [time for time, _ in sent] == pytest.approx([0, 3, 6], abs=0.05)


# -- one out of two ---------------------------------------------------------------------------------------------------


def test_two_tracks_that_turn_out_to_be_one_send_their_shots_once() -> None:
    face, body = history(min_body_detections=2), history(min_body_detections=2)
    face.consider_face(at(0), 0.5, lambda: "face")
    body.consider_body(at(0), 0.5, lambda: "body")
    body.consider_body(at(1), 0.5, lambda: "body")
    face.absorb(body)
    assert face.rest() == DueSet(("face",), ("body",))


def test_who_was_sent_at_once_is_not_sent_again_under_an_older_id() -> None:
    older, face = history(), history()
    face.hurry()
    face.consider_face(at(0), 0.5, lambda: "face")
    assert face.due(at(0))
    older.absorb(face)
    assert not older.consider_face(at(1), 0.9, lambda: "again")
    assert not older.rest()


def test_a_silence_goes_on_under_an_older_id() -> None:
    older, face = history(search_period=1, silent_period=2), history(search_period=1, silent_period=2)
    face.consider_face(at(0), 0.5, lambda: "face")
    assert face.due(at(1))
    older.absorb(face)
    assert not older.is_searching(at(2.9))
    assert older.is_searching(at(3))


# -- whatever happens -------------------------------------------------------------------------------------------------

policies = st.builds(
    SendingPolicy,
    face_count=st.integers(1, 3),
    body_count=st.integers(1, 3),
    search_period=st.integers(-1, 40),
    silent_period=st.integers(-1, 40),
    unit=st.just("frames"),
    needs_full_body_set=st.booleans(),
    min_body_detections=st.integers(0, 10),
    forgets_bodies=st.booleans(),
)
frames = st.lists(st.tuples(st.sampled_from(["face", "body", "none"]), st.floats(0.01, 1)), max_size=120)


@given(policies, frames)
def test_no_face_is_sent_twice_no_set_is_too_large_and_sendings_keep_their_distance(policy: Any, shown: Any) -> None:
    track: TrackHistory[Any] = TrackHistory(policy, at(0))
    sent: list[tuple[int, DueSet[Any]]] = []
    for number, (kind, value) in enumerate(shown):
        now = Moment(number / FPS, number)
        if kind == "face":
            track.consider_face(now, value, constant(number))
        elif kind == "body":
            track.consider_body(now, value, constant(number))
        if found := track.due(now):
            sent.append((number, found))
    faces = [shot for _, found in sent for shot in found.faces] + list(track.rest().faces)
    assert len(set(faces)) == len(faces)
    distance = policy.search_period + max(0, policy.silent_period)
    for (earlier, _), (later, _) in itertools.pairwise(sent):
        assert later - earlier >= distance
    for _, found in sent:
        assert len(found.faces) <= policy.face_count
        assert len(found.bodies) <= policy.body_count
        assert policy.search_period >= 0
        if found.bodies and policy.needs_full_body_set:
            assert len(found.bodies) == policy.body_count
    if policy.silent_period == -1:
        assert len(sent) <= 1


@given(policies, frames)
def test_whoever_was_seen_well_is_sent(policy: Any, shown: Any) -> None:
    track: TrackHistory[Any] = TrackHistory(policy, at(0))
    found: DueSet[Any] = DueSet()
    for number, (kind, value) in enumerate(shown):
        now = Moment(number / FPS, number)
        if kind == "face":
            track.consider_face(now, value, constant(number))
        found = track.due(now) or found
    found = track.rest() or found
    assert bool(found.faces) is any(kind == "face" for kind, _ in shown)
