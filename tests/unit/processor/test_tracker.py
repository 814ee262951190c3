"""Tracks over made-up detections: identities, ends, evidence, and what must hold for any input."""

from __future__ import annotations

import itertools
from dataclasses import replace
from random import Random
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_processor.tracking.tracker import EndedTrack, Tracker, TrackerSettings, for_bodies
from luna_processor.vision.detections import Detections

SIZE = 60.0
FPS = 25


def faces(*centres: tuple[float, float], score: float = 0.9, size: float = SIZE) -> Detections:
    rows = [(x - size / 2, y - size / 2, x + size / 2, y + size / 2) for x, y in centres]
    count = len(rows)
    return Detections(
        np.array(rows, np.float32).reshape(-1, 4),
        np.full(count, score, np.float32),
        np.zeros((count, 5, 2), np.float32),
    )


class Film:
    """Feeds a tracker frame by frame and remembers who was where."""

    def __init__(self, fps: float = FPS, **changes: Any) -> None:
        ids = (str(number) for number in itertools.count())
        self.tracker = Tracker(replace(TrackerSettings(), **changes), lambda: next(ids))
        self.step_s = 1 / fps
        self.now_s = 0.0
        self.ended: list[EndedTrack] = []

    def show(self, detections: Detections) -> list[str]:
        """Return the track of each detection ("" for none), in their order."""
        update = self.tracker.update(detections, self.now_s)
        self.now_s += self.step_s
        self.ended += update.ended
        owners = {observation.detection: observation.track_id for observation in update.observations}
        return [owners.get(index, "") for index in range(len(detections))]

    def end(self) -> list[EndedTrack]:
        self.ended += self.tracker.end_all()
        return [track for track in self.ended if track.is_confirmed]


def test_a_moving_face_is_one_track() -> None:
    film = Film()
    owners = {film.show(faces((100 + 8 * t, 200)))[0] for t in range(50)}
    assert len(owners) == 1
    assert film.end()[0].detection_count == 50


def test_faces_that_pass_each_other_behind_one_another_keep_their_tracks() -> None:
    film = Film()
    first, second = film.show(faces((100, 200), (700, 210)))
    for t in range(1, 75):
        left, right = 100 + 8 * t, 700 - 8 * t
        is_hidden = abs(left - right) < SIZE * 0.8
        if is_hidden:
            assert film.show(faces((right, 210)))[0] in (first, second)
        else:
            owners = film.show(faces((left, 200), (right, 210)))
    assert owners == [first, second]
    assert len(film.end()) == 2


def test_a_face_behind_a_pillar_comes_out_as_the_same_track() -> None:
    film = Film()
    before = film.show(faces((100, 200)))
    for t in range(1, 60):
        x = 100 + 8 * t
        owners = film.show(faces() if 20 <= t < 45 else faces((x, 200)))
    assert owners == before


def test_the_box_that_a_pillar_narrowed_does_not_lose_the_face() -> None:
    film = Film()
    before = film.show(faces((100, 200)))
    for t in range(1, 20):
        film.show(faces((100 + 8 * t, 200)))
    for width in (40, 25, 15):
        narrow = Detections(
            np.array([[250, 170, 250 + width, 230]], np.float32),
            np.full(1, 0.5, np.float32),
            np.zeros((1, 5, 2), np.float32),
        )
        assert film.show(narrow) == before
    for _ in range(20):
        film.show(faces())
    assert film.show(faces((440, 200))) == before


def test_a_face_that_comes_back_after_the_lost_time_is_another_track() -> None:
    film = Film(max_lost_s=1.0)
    before = [film.show(faces((100, 200)))[0] for _ in range(5)][-1]
    for _ in range(26):
        film.show(faces())
    assert film.show(faces((100, 200)))[0] != before
    assert [track.track_id for track in film.ended] == [before]


def test_a_face_that_comes_back_within_the_lost_time_is_the_same_track() -> None:
    film = Film(max_lost_s=1.0)
    before = [film.show(faces((100, 200)))[0] for _ in range(5)][-1]
    for _ in range(23):
        film.show(faces())
    assert film.show(faces((100, 200)))[0] == before


def test_lost_time_is_time_not_frames() -> None:
    film = Film(fps=5, max_lost_s=1.0)
    before = [film.show(faces((100, 200)))[0] for _ in range(5)][-1]
    for _ in range(5):
        film.show(faces())
    assert film.show(faces((100, 200)))[0] != before


def test_a_face_faster_than_its_own_width_per_frame_is_followed() -> None:
    film = Film(fps=10)
    owners = {film.show(faces((100 + 70 * t, 200)))[0] for t in range(12)}
    assert len(owners) == 1


@pytest.mark.parametrize(("score", "frames"), [(0.9, 2), (0.8, 2), (0.6, 4)])
def test_clearer_faces_need_fewer_frames_to_count(score: Any, frames: Any) -> None:
    film = Film()
    for shown in range(1, frames + 1):
        film.show(faces((100, 200), score=score))
        assert film.tracker.confirmed_count == (1 if shown == frames else 0)


@pytest.mark.parametrize("fps", [1, 2, 5])
def test_a_camera_of_few_pictures_a_second_has_tracks_too(fps: float) -> None:
    film = Film(fps=fps)
    owners = {film.show(faces((100 + 2 * t, 200)))[0] for t in range(10)}
    assert len(owners) == 1
    assert film.end()[0].detection_count == 10


def test_a_flicker_between_few_pictures_a_second_is_no_track() -> None:
    film = Film(fps=2)
    for t in range(10):
        film.show(faces((100 + 400 * (t % 4), 200), score=0.7) if t % 3 == 0 else faces())
    assert film.end() == []


def test_one_flicker_is_no_track() -> None:
    film = Film()
    film.show(faces((100, 200), score=0.95))
    for _ in range(20):
        film.show(faces())
    assert film.end() == []


def test_weak_detections_continue_a_track_but_begin_none() -> None:
    film = Film()
    assert film.show(faces((100, 200), score=0.45)) == [""]
    [owner] = film.show(faces((100, 200), score=0.9))
    assert film.show(faces((102, 200), score=0.3)) == [owner]
    assert film.show(faces((104, 200), score=0.2)) == [""], "below the weak score"


def test_a_weak_ghost_beside_the_face_does_not_take_its_track() -> None:
    film = Film()
    [owner] = film.show(faces((100, 200)))
    film.show(faces((104, 200)))
    both = Detections(
        np.concatenate([faces((130, 200)).boxes_xyxy, faces((108, 200)).boxes_xyxy]),
        np.array([0.4, 0.9], np.float32),
        np.zeros((2, 5, 2), np.float32),
    )
    assert film.show(both) == ["", owner]


def test_time_that_stands_still_or_runs_backwards_ends_nothing() -> None:
    film = Film()
    [owner] = film.show(faces((100, 200)))
    film.now_s = -100.0
    assert film.show(faces((100, 200))) == [owner]
    film.step_s = 0
    assert film.show(faces((101, 200))) == [owner]


scenes = st.lists(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 6), st.floats(0.2, 1)), max_size=5, unique_by=lambda f: f[:2]
    ),
    max_size=12,
)


def build(scene: list[tuple[int, int, float]]) -> Detections:
    parts = faces(*((100.0 * column, 100.0 * row) for column, row, _ in scene))
    return Detections(parts.boxes_xyxy, np.array([s for *_, s in scene], np.float32), parts.landmarks_xy)


@settings(deadline=None)
@given(scenes)
def test_ids_are_never_reused_and_each_detection_has_at_most_one_track(film_scenes: Any) -> None:
    film = Film(fps=5)
    for scene in film_scenes:
        owners = [owner for owner in film.show(build(scene)) if owner]
        assert len(set(owners)) == len(owners)
        assert not set(owners) & {track.track_id for track in film.ended}
    film.end()
    ids = [track.track_id for track in film.ended]
    assert len(set(ids)) == len(ids)


@settings(deadline=None)
@given(scenes, st.randoms(use_true_random=False))
def test_the_order_of_detections_changes_no_track(film_scenes: Any, random: Random) -> None:
    """Shuffled detections make the same tracks: same place, same times, same number of detections."""
    straight, shuffled = Film(fps=5), Film(fps=5)
    for scene in film_scenes:
        order = list(range(len(scene)))
        random.shuffle(order)
        straight.show(build(scene))
        shuffled.show(build([scene[index] for index in order]))
    straight.end(), shuffled.end()

    def summary(film: Film) -> list[tuple[float, float, int, bool]]:
        return sorted((t.first_seen_s, t.last_seen_s, t.detection_count, t.is_confirmed) for t in film.ended)

    assert summary(straight) == summary(shuffled)


def test_a_tie_between_tracks_is_broken_by_place_not_by_order() -> None:
    """One face exactly between two others could be either of them; whoever came first in the list must not matter."""
    films = [Film(fps=5), Film(fps=5)]
    for film, both in zip(films, (faces((0, 0), (200, 0)), faces((200, 0), (0, 0))), strict=True):
        film.show(both)
        film.show(faces((100, 0)))
        film.show(faces((200, 0)))
        film.end()
    counts = [sorted(track.detection_count for track in film.ended) for film in films]
    assert counts[0] == counts[1]


# -- time stamps of bad cameras, crowds, bodies ------------------------------------------------------------------------


@pytest.mark.parametrize("jump_s", [-95443.7, -30.0, -0.7])
def test_a_track_ends_in_time_after_time_stamps_jumped_back(jump_s: float) -> None:
    film = Film(max_lost_s=1.0)
    film.now_s = 95443.7
    before = [film.show(faces((100, 200)))[0] for _ in range(5)][-1]
    film.now_s += jump_s
    assert film.show(faces((100, 200))) == [before], "he is still there"
    for _ in range(26 + round(max(0.0, FPS * -jump_s) if jump_s > -1 else 0)):
        film.show(faces())
    assert [track.track_id for track in film.ended] == [before]


def test_a_jump_forward_ends_what_was_before() -> None:
    film = Film(max_lost_s=1.0)
    before = [film.show(faces((100, 200)))[0] for _ in range(5)][-1]
    film.now_s += 60
    assert film.show(faces((100, 200))) != [before]
    assert [track.track_id for track in film.ended] == [before]


def test_jittering_time_stamps_split_no_track() -> None:
    film, random = Film(), Random(5)
    owners = set()
    for t in range(100):
        film.now_s = t / FPS + random.uniform(-0.1, 0.1)
        owners.add(film.show(faces((100 + 8 * t, 200)))[0])
    assert len(owners) == 1


@pytest.mark.parametrize("fps", [2, 3, 5])
def test_people_who_cross_at_few_pictures_a_second_stay_themselves(fps: float) -> None:
    """Two heads that pass each other at walking speed, five of their heights a second."""
    film = Film(fps=fps)
    step = 5 * SIZE / fps / 2
    owners = [film.show(faces((100 + step * t, 200), (900 - step * t, 200 + SIZE * 1.2))) for t in range(12)]
    assert len({pair[0] for pair in owners}) == 1
    assert len({pair[1] for pair in owners}) == 1


def test_who_comes_in_where_another_went_out_is_somebody_else() -> None:
    """Narrow bodies beside each other at the edge of the picture, half a second apart."""

    def body(x: float, height: float = 200.0) -> Detections:
        box = np.array([[x - 20, 300, x + 20, 300 + height]], np.float32)
        return Detections(box, np.full(1, 0.9, np.float32))

    film = Film()
    film.tracker = Tracker(for_bodies(TrackerSettings()), map(str, itertools.count()).__next__)
    leaving = {film.show(body(500 + 5 * t))[0] for t in range(28)}
    for _ in range(12):
        film.show(faces())
    coming = {film.show(body(610 - 5 * t, height=180))[0] for t in range(20)}
    assert len(leaving) == len(coming) == 1
    assert leaving != coming


def test_a_crowd_is_followed_in_little_time() -> None:
    film, places = Film(), [(60 + 90 * (n % 20), 60 + 90 * (n // 20)) for n in range(200)]
    owners, times = set(), []
    for t in range(12):
        began = process_time()
        owners |= set(film.show(faces(*((x + 2 * t, y) for x, y in places))))
        times.append(process_time() - began)
    assert len(owners) == 200
    assert sorted(times)[6] < 0.2, "seconds of CPU time, twenty times what it takes"
