"""People on real streets are told apart as well as before: floors under figures of benchmarks/tracking_quality.py."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from luna_processor.tracking.tracker import Tracker, TrackerSettings, for_bodies
from luna_processor.vision.detections import Detections, FloatArray
from support.annotations import Damage, Follow, Owned, damaged, judged, people_of

BODIES = for_bodies(TrackerSettings())
HEADS = TrackerSettings()


def tracker(settings: TrackerSettings) -> Follow:
    ids = itertools.count()
    tracker = Tracker(settings, lambda: str(next(ids)))

    def follow(found: Detections, now_s: float) -> tuple[Sequence[int], FloatArray]:
        seen = [each for each in tracker.update(found, now_s).observations if each.is_confirmed]
        return [int(each.track_id) for each in seen], found.boxes_xyxy[[each.detection for each in seen]]

    return follow


def heads(people: Sequence[Owned]) -> list[Owned]:
    """Return boxes where the heads of the people are about: small, and fast for their size."""
    found = []
    for picture in people:
        boxes = picture.boxes_xyxy
        middle, side = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 3] - boxes[:, 1]) * 0.14
        corners = [middle - side * 0.4, boxes[:, 1], middle + side * 0.4, boxes[:, 1] + side]
        found.append(Owned(picture.owners, np.stack(corners, axis=1).astype(np.float32)))
    return found


@pytest.mark.parametrize(
    ("damage", "bodies_idf1", "heads_idf1"),
    [
        pytest.param(Damage(), 0.97, 0.97, id="as drawn"),
        pytest.param(Damage(jitter=0.05), 0.94, 0.96, id="jitter of 5 %"),
        pytest.param(Damage(jitter=0.03, missed=0.15), 0.81, 0.86, id="15 % missed"),
        pytest.param(Damage(jitter=0.03, missed=0.1, ghosts=0.5, weak=0.3), 0.78, 0.84, id="ghosts and weak scores"),
        pytest.param(Damage(jitter=0.03, missed=0.05, every=3), 0.86, 0.8, id="8 pictures a second"),
        pytest.param(Damage(jitter=0.03, missed=0.05, every=6), 0.78, 0.72, id="4 pictures a second"),
    ],
)
def test_people_of_tud_campus_are_told_apart(damage: Damage, bodies_idf1: float, heads_idf1: float) -> None:
    truth = people_of("TUD-Campus")
    for people, settings, floor in ((truth, BODIES, bodies_idf1), (heads(truth), HEADS, heads_idf1)):
        results = [judged(people, damaged(people, damage, s), tracker(settings), damage.every) for s in range(3)]
        idf1 = sum(result.idf1 for result in results) / len(results)
        assert idf1 >= floor, f"{idf1:.3f}"
