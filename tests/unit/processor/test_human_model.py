"""Humans, sets of bodies and liveness against a model of the document that shares nothing with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from luna_processor.engines.preparation import SearchedPicture
from luna_processor.frames import Frame
from luna_processor.streams.plan import Platform
from luna_processor.vision.detections import Detections
from luna_processor.vision.view import Picture, View
from support.films import FPS, HEIGHT, WIDTH, Film
from support.human_model import Event, HumanRules, Person, human_events

SCORES = (0.6, 0.75, 0.9, 1.0)
FACE, BODY = (105, 80, 135, 120), (85, 75, 155, 225)
PICTURE: Picture = np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
"""The same in every frame: so only scores make one shot better than another."""
BEST_SCORE_MIN = 0.7


class ToldDetector:
    """Finds one box in the frames it is told, as surely as it is told."""

    def __init__(self, box: tuple[int, int, int, int], scores: list[float | None]) -> None:
        self._box = box
        self._scores = scores
        self._number = 0

    def picture(self, frame: Frame, view: View) -> Picture:
        self._number = frame.number
        return PICTURE

    def detect(self, picture: SearchedPicture, view: View) -> Detections:
        score = self._scores[self._number]
        if score is None:
            return Detections.none()
        return Detections(np.array([self._box], np.float32), np.array([score], np.float32))


@dataclass(frozen=True)
class Shown:
    """What a frame shows: scores of face and body, None where they are hidden, and what the mask check says."""

    face: float | None = 1.0
    body: float | None = 1.0
    liveness: float = 0.9

    def person(self, min_face: float, min_body: float) -> Person:
        """Return what the model is told: of a constant picture, quality grows with the score."""
        face, body = (
            score**0.3 if score is not None and score >= least else None
            for score, least in ((self.face, min_face), (self.body, min_body))
        )
        return Person(face, body, self.liveness)


scores = st.sampled_from([None, *SCORES, *SCORES])
frames = st.builds(Shown, scores, scores, st.sampled_from([0.1, 0.9, 0.9]))
films = st.lists(frames, min_size=12, max_size=33).map(lambda rest: [Shown(), Shown(), *rest])
least = st.sampled_from([0.5, BEST_SCORE_MIN])
periods = st.sampled_from([-1, 0, 1, 3, 6, 12])
rules = st.builds(
    HumanRules,
    type=st.sampled_from([1, 2, 3, 3, 3, 4]),
    search=periods,
    silence=periods,
    faces=st.integers(1, 3),
    bodies=st.integers(1, 3),
    fps=st.just(FPS),
    needs_full_set=st.booleans(),
    forgets=st.booleans(),
    min_detections=st.sampled_from([0, 3, 10]),
    liveness_mode=st.sampled_from([None, None, 0, 1, 2]),
    checks=st.integers(0, 12),
    background=st.sampled_from([0, 6]),
)


def body_of(rules: HumanRules, min_face: float, min_body: float) -> dict[str, Any]:
    """Return the analytics as REST takes it."""
    return {
        "mode": 3,
        "filtering": {"min_score_face": min_face, "min_score_body": min_body},
        "sending": {
            "time_period_of_searching": rules.search,
            "silent_period": rules.silence,
            "type": "frames",
            "body": {"send_only_full_set": rules.needs_full_set, "delete_track_after_sending": rules.forgets},
            "bestshot_settings": {
                "type": rules.type,
                "face_bestshots_to_send": rules.faces,
                "body_bestshots_to_send": rules.bodies,
            },
        },
        "liveness": {
            "use_mask_liveness_filtration": rules.liveness_mode is not None,
            "livenesses_weights": [1, 0],
            "liveness_threshold": rules.threshold,
            "liveness_mode": rules.liveness_mode or 0,
            "number_of_liveness_checks": rules.checks,
            "mask_backgrounds_count": rules.background,
        },
    }


def shown(film: Film, frames: list[Shown]) -> list[Event]:
    """Show a film, and return what was sent when."""
    sent: list[Event] = []

    def note(at: int) -> None:
        for event in film.sink.events:
            sent.append((at, [(round((shot.pts_s or 0) * FPS), shot.kind) for shot in event.shots]))
        film.sink.events.clear()

    for number, frame in enumerate(frames):
        film.mask.score = frame.liveness
        film.show([PICTURE])
        note(number)
    film.pipeline.finish()
    note(len(frames))
    return sent


@settings(max_examples=40, deadline=None)
@given(films, rules, least, least)
def test_what_is_sent_of_a_human_is_what_the_document_says(
    frames: list[Shown], rules: HumanRules, min_face: float, min_body: float
) -> None:
    stages = {
        "faces": ToldDetector(FACE, [frame.face for frame in frames]),
        "bodies": ToldDetector(BODY, [frame.body for frame in frames]),
    }
    platform = Platform("http://lp", 6, frozenset({"mask"}), min_body_detections=rules.min_detections)
    film = Film(stages=stages, platform=platform, analytics=body_of(rules, min_face, min_body))
    expected = human_events([frame.person(min_face, min_body) for frame in frames], rules)
    assert shown(film, frames) == expected
