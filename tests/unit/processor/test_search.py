"""Which frames are searched, and that tracks, shots and counts do not suffer from those that are not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luna_processor.engines.batcher import Batcher
from luna_processor.engines.models import ModelLibrary, default_folder
from luna_processor.engines.onnx import OnnxEngine
from luna_processor.engines.port import BatchPolicy
from luna_processor.frames import Frame, SourceInfo
from luna_processor.streams.search import MAX_BLIND_S, SearchRhythm
from luna_processor.vision.detections import Detections
from luna_processor.vision.detector import CenterFaceDetector, DetectorSettings
from luna_processor.vision.view import Picture, PixelRect, View
from support.films import FPS, HEIGHT, WIDTH, Film, body, empty, face
from support.frames import ArrayFrame
from support.media import demo_pictures

STEPS = range(1, 8)


@given(st.integers(1, 30), st.lists(st.integers(1, 12), max_size=60), st.floats(1, 120))
def test_no_more_than_n_frames_nor_half_a_second_pass_without_a_search(
    every: int, steps: list[int], fps: float
) -> None:
    rhythm = SearchRhythm(every)
    numbers = [0, *np.cumsum(steps).tolist()]
    searched = [number for number in numbers if rhythm.is_due(number, number / fps, is_doubtful=False)]
    assert searched[0] == 0
    for number in numbers:
        last = max(each for each in searched if each <= number)
        assert number - last < every
        assert (number - last) / fps < MAX_BLIND_S
    if fps >= 60 and max(steps, default=1) == 1:
        assert all(later - earlier == every for earlier, later in pairwise(searched))


def test_what_cannot_wait_is_searched_and_the_rhythm_goes_on_from_there() -> None:
    rhythm = SearchRhythm(4)
    due = [number for number in range(12) if rhythm.is_due(number, number / 25, is_doubtful=number == 6)]
    assert due == [0, 4, 6, 10]


def test_another_recording_on_the_same_connection_is_searched_at_once() -> None:
    rhythm = SearchRhythm(5)
    assert rhythm.is_due(100, 4.0, is_doubtful=False)
    assert rhythm.is_due(0, 0.0, is_doubtful=False)


def test_somebody_who_stands_still_is_looked_for_in_every_nth_frame() -> None:
    film = Film(stages={"search_every": 5})
    film.show(face() for _ in range(100))
    assert film.stats.frames_searched == pytest.approx(20, abs=3)
    assert film.stats.detections_total == film.stats.frames_searched
    assert film.stats.detection_count == 1
    assert film.stats.live_tracks == 1


def test_somebody_new_is_confirmed_as_soon_as_without_a_rhythm() -> None:
    film = Film(stages={"search_every": 7})
    film.show([empty()] * 8 + [face()] * 8)
    assert film.stats.live_tracks == 1, "one search by the rhythm finds him, the next frame confirms"


def test_somebody_fast_is_looked_for_before_he_is_lost() -> None:
    film = Film(stages={"search_every": 12})
    film.show(face(x=4 + 9 * t) for t in range(30))
    film.pipeline.finish()
    assert film.stats.tracks_total == 1
    assert film.stats.frames_searched >= 7, "he moves by half his size in 4 frames"


def test_a_cut_ends_tracks_between_two_searches() -> None:
    other = np.full((HEIGHT, WIDTH, 3), 230, np.uint8)
    other[: HEIGHT // 2] = 0
    other[80:140, 100:140] = face()[80:140, 100:140]
    film = Film(stages={"search_every": 7})
    film.show([face()] * 17 + [other] * 17)
    film.pipeline.finish()
    assert film.stats.tracks_total == 2
    assert len({event.track_id for event in film.sink.events}) == 2


@pytest.mark.parametrize("every", [1, 3, 7])
def test_a_track_ends_after_the_same_time_whatever_the_rhythm(every: int) -> None:
    film = Film(stages={"search_every": every})
    film.show([face()] * 20 + [empty()] * 34)
    assert film.stats.tracks_total == 0
    film.show([empty()] * 12)
    assert film.stats.tracks_total == 1


@pytest.mark.parametrize("every", [1, 3, 7])
def test_periods_are_counted_in_frames_of_the_source_not_in_searches(every: int) -> None:
    sending = {"time_period_of_searching": 20, "silent_period": 30, "type": "frames"}
    film = Film(stages={"search_every": every}, analytics={"sending": sending})
    film.show(face() for _ in range(145))
    assert len(film.sink.events) == 3, "at 20, 70 and 120"


def test_humans_are_tied_and_untied_whatever_the_rhythm() -> None:
    film = Film(stages={"search_every": 7}, analytics={"mode": 3})
    film.show([body(head=True)] * 30)
    film.pipeline.finish()
    assert [shot.kind for event in film.sink.events for shot in event.shots] == ["human"]


def test_a_camera_of_one_picture_a_second_is_searched_in_each() -> None:
    film = Film(stages={"search_every": 7}, info=SourceInfo(WIDTH, HEIGHT, 1, 0, 100.0))
    for number in range(12):
        film.pipeline.step(ArrayFrame(face(x=100 + number), number, float(number)))
    film.pipeline.finish()
    assert film.stats.frames_searched == 12
    assert film.stats.tracks_total == 1


# -- a real clip -------------------------------------------------------------------------------------------------------


@dataclass
class Remembered:
    """What the real detector said of each picture, told again as often as wanted."""

    found: Sequence[Detections]
    searched: list[int]
    _number: int = 0

    def picture(self, frame: Frame, view: View) -> Picture:
        self._number = frame.number
        return frame.rgb()

    def detect(self, picture: Picture, view: View) -> Detections:
        self.searched.append(self._number)
        return self.found[self._number]


@pytest.fixture(scope="module")
def clip() -> Iterator[tuple[list[Picture], list[Detections]]]:
    """Six seconds of the sample clip, in which two faces pass, and what is found in them."""
    pictures = list(demo_pictures(5.0, 6.0, size=(480, 270)))
    library = ModelLibrary(default_folder())
    model = library.choose("faces", "centerface-int8")
    batcher = Batcher(OnnxEngine(model, library.read(model)), BatchPolicy(1), "faces")
    detector, view = CenterFaceDetector(batcher, DetectorSettings()), View(PixelRect(0, 0, 480, 270), 0, 480, 270)
    found = []
    for number, picture in enumerate(pictures):
        frame = ArrayFrame(picture, number)
        found.append(detector.detect(detector.picture(frame, view), view))
    yield pictures, found
    batcher.close()


def test_the_sample_clip_has_as_many_tracks_at_every_rhythm(clip: tuple[list[Picture], list[Detections]]) -> None:
    pictures, found = clip
    counts, searches = {}, {}
    for every in STEPS:
        detector = Remembered(found, [])
        film = Film(SourceInfo(480, 270, FPS, 0, 6.0), stages={"search_every": every, "faces": detector})
        film.show(pictures)
        film.pipeline.finish()
        counts[every], searches[every] = film.stats.tracks_total, len(detector.searched)
        sent = {round(shot.pts_s * FPS) for event in film.sink.events for shot in event.shots if shot.pts_s is not None}
        assert len(film.sink.events) == counts[every]
        assert sent <= set(detector.searched), "a shot shows what was found in its frame"
    assert set(counts.values()) == {2}, counts
    assert searches[1] == len(pictures)
    assert searches[7] < len(pictures) / 3
