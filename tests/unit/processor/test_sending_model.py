"""The whole pipeline against a model of the documented sending rules that shares nothing with it, on random films."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from luna_processor.engines.preparation import SearchedPicture
from luna_processor.vision.detections import Detections
from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.view import View
from support.films import FPS, Film, empty, face
from support.frames import PaintDetector
from support.sending_model import Rules, Seen, sendings

CONFIRMED_AT = 1
"""Two clear views make a track."""
NEAR_PX, FAR_PX, PROPER_PX = 150, 100, 140
SCORES = (0.6, 0.75, 0.9, 1.0)


class ScoredFaces(PaintDetector):
    """Finds painted faces and is as sure of them as it is told, frame by frame."""

    def __init__(self, scores: list[float]) -> None:
        super().__init__()
        self._scores = scores

    def detect(self, picture: SearchedPicture, view: View) -> Detections:
        self.score = self._scores[self.calls]
        return super().detect(picture, view)


@dataclass(frozen=True)
class Shown:
    """What a frame shows."""

    score: float = 1.0
    is_straight: bool = True
    is_visible: bool = True
    is_near: bool = False

    def seen(self, number: int) -> Seen:
        """Return what the model is told: quality grows with score and height, all else being the same."""
        passes = self.is_straight and self.is_visible
        height = NEAR_PX if self.is_near else FAR_PX
        quality = self.score**0.3 * min(1.0, height / PROPER_PX) ** 0.2
        return Seen(number, quality if passes else None, is_proper=self.is_visible and self.is_near)


mostly = st.sampled_from([True] * 9 + [False])
frames = st.builds(Shown, st.sampled_from(SCORES), st.booleans(), mostly, mostly.map(lambda often: not often))
films = st.lists(frames, min_size=1, max_size=35).map(lambda rest: [Shown(), Shown(), *rest])
periods = st.integers(-1, 15)


def shown(film: Film, frames: list[Shown]) -> list[tuple[int, list[int]]]:
    """Show a film, and return when which frames were sent."""
    sent: list[tuple[int, list[int]]] = []

    def note(at: int) -> None:
        for event in film.sink.events:
            sent.append((at, [round((shot.pts_s or 0) * FPS) for shot in event.shots]))
        film.sink.events.clear()

    pictures = {is_near: face(y=40, height=NEAR_PX if is_near else FAR_PX) for is_near in (True, False)}
    for number, frame in enumerate(frames):
        film.pose.pose = HeadPose(0 if frame.is_straight else 60, 0, 0)
        film.show([pictures[frame.is_near] if frame.is_visible else empty()])
        note(number)
    film.pipeline.finish()
    note(len(frames))
    return sent


@settings(max_examples=60, deadline=None)
@given(films, periods, periods, st.integers(1, 3), st.booleans())
def test_what_is_sent_is_what_the_document_says(
    frames: list[Shown], search: int, silence: int, count: int, is_gate: bool
) -> None:
    sending: dict[str, Any] = {
        "time_period_of_searching": search,
        "silent_period": silence,
        "type": "frames",
        "bestshot_settings": {"face_bestshots_to_send": count},
    }
    gate = {"use_primary_track_policy": is_gate, "best_shot_min_size": 50, "best_shot_proper_size": PROPER_PX}
    scored = ScoredFaces([frame.score for frame in frames])
    film = Film(stages={"faces": scored}, analytics={"sending": sending, "primary_track_policy": gate})
    rules = Rules(search, silence, count, FPS, CONFIRMED_AT)
    expected = sendings([frame.seen(number) for number, frame in enumerate(frames)], rules, is_gate=is_gate)
    assert shown(film, frames) == expected
