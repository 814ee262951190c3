"""How well people are told apart, beside open trackers on the same boxes.

    python -m venv build/quality
    build/quality/bin/pip install -e '.[processor,benchmark]'
    build/quality/bin/python benchmarks/tracking_quality.py

The boxes are those that people drew (TUD-Campus, TUD-Stadtmitte) as they are, made worse in known ways (seeded), with
fewer pictures a second, and those that a detector of 2014 found. Every tracker has the same lost time and its own
defaults for the rest. motmetrics judges; the figures of damaged boxes are means over several seeds. What is printed
last fails the benchmark: our mean IDF1 must not be below the best other tracker's.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ioutrack
import numpy as np
import supervision
import trackers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from luna_processor.tracking.tracker import Tracker, TrackerSettings, for_bodies
from luna_processor.vision.detections import Detections, FloatArray, iou_matrix
from support.annotations import FPS, Damage, Follow, Judgement, Owned, damaged, judged, people_of

SEQUENCES = ("TUD-Campus", "TUD-Stadtmitte")
SEEDS = range(5)
LOST_FRAMES = 36
CASES: Mapping[str, Damage] = {
    "as drawn": Damage(),
    "jitter 5 %": Damage(jitter=0.05),
    "jitter 10 %": Damage(jitter=0.1),
    "15 % missed": Damage(jitter=0.03, missed=0.15),
    "30 % missed": Damage(jitter=0.03, missed=0.3),
    "ghosts and weak scores": Damage(jitter=0.03, missed=0.1, ghosts=0.5, weak=0.3),
    "8 pictures a second": Damage(jitter=0.03, missed=0.05, every=3),
    "4 pictures a second": Damage(jitter=0.03, missed=0.05, every=6),
    "2 pictures a second": Damage(jitter=0.03, every=12),
}


def ours(_: int) -> Follow:
    numbers = itertools.count()
    settings = for_bodies(TrackerSettings(max_lost_s=LOST_FRAMES / FPS))
    tracker = Tracker(settings, lambda: str(next(numbers)))

    def follow(found: Detections, now_s: float) -> tuple[Sequence[int], FloatArray]:
        seen = [seen for seen in tracker.update(found, now_s).observations if seen.is_confirmed]
        return [int(each.track_id) for each in seen], found.boxes_xyxy[[each.detection for each in seen]]

    return follow


def roboflow(make: Callable[..., trackers.SORTTracker]) -> Callable[[int], Follow]:
    """Return how a tracker of the package `trackers` is made; its lost time counts pictures at 30 a second."""

    def new(every: int) -> Follow:
        tracker = make(lost_track_buffer=round(LOST_FRAMES * 30 / FPS), frame_rate=FPS / every)

        def follow(found: Detections, _now_s: float) -> tuple[Sequence[int], FloatArray]:
            given = supervision.Detections(xyxy=found.boxes_xyxy, confidence=found.scores)
            seen = tracker.update(given)
            is_track = seen.tracker_id >= 0
            return seen.tracker_id[is_track].tolist(), seen.xyxy[is_track].astype(np.float32)

        return follow

    return new


def ioutracked(make: Callable[..., ioutrack.BaseTracker]) -> Callable[[int], Follow]:
    """Return how a tracker of the package `ioutrack-rs` is made; it answers with boxes of its own, which count."""

    def new(every: int) -> Follow:
        tracker = make(max_age=LOST_FRAMES // every)

        def follow(found: Detections, _now_s: float) -> tuple[Sequence[int], FloatArray]:
            rows = tracker.update(np.column_stack([found.boxes_xyxy, found.scores]).astype(np.float32))
            return rows[:, 4].astype(int).tolist(), _nearest(rows[:, :4].astype(np.float32), found.boxes_xyxy)

        return follow

    return new


def _nearest(boxes_xyxy: FloatArray, found_xyxy: FloatArray) -> FloatArray:
    """Return the detection under each box: smoothing is no part of the comparison."""
    if not len(boxes_xyxy) or not len(found_xyxy):
        return boxes_xyxy
    nearest = iou_matrix(boxes_xyxy, found_xyxy).argmax(axis=1)
    return np.asarray(found_xyxy[nearest], np.float32)


TRACKERS: Mapping[str, Callable[[int], Follow]] = {
    "ours": ours,
    "trackers ByteTrack": roboflow(trackers.ByteTrackTracker),
    "trackers SORT": roboflow(trackers.SORTTracker),
    "trackers OC-SORT": roboflow(trackers.OCSORTTracker),
    "ioutrack ByteTrack": ioutracked(ioutrack.ByteTrack),
    "ioutrack SORT": ioutracked(ioutrack.Sort),
}


@dataclass(frozen=True, slots=True)
class Case:
    """Boxes to follow, as often as there are seeds."""

    name: str
    truth: Sequence[Owned]
    every: int
    founds: Sequence[Sequence[Detections]]


def cases() -> Iterator[Case]:
    for sequence in SEQUENCES:
        truth = people_of(sequence)
        for name, damage in CASES.items():
            seeds = SEEDS if damage != Damage() else range(1)
            yield Case(f"{sequence}, {name}", truth, damage.every, [damaged(truth, damage, seed) for seed in seeds])
        shown = people_of(sequence, "test")[: len(truth)]
        old = [Detections(each.boxes_xyxy, np.full(len(each.owners), 0.9, np.float32)) for each in shown]
        yield Case(f"{sequence}, detector of 2014", truth[: len(old)], 1, [old])


def judge(case: Case, make: Callable[[int], Follow]) -> list[Judgement]:
    return [judged(case.truth, found, make(case.every), case.every) for found in case.founds]


def milliseconds(make: Callable[[int], Follow], count: int = 200) -> float:
    """Return the median time for a picture with so many moving boxes."""
    rng = np.random.default_rng(3)
    places, speed = rng.uniform(0, 3800, (count, 2)), rng.normal(0, 4, (count, 2))
    follow, times = make(1), []
    for number in range(40):
        corners = places + speed * number
        boxes = np.concatenate([corners, corners + np.array([40, 90])], axis=1).astype(np.float32)
        began = time.perf_counter()
        follow(Detections(boxes, np.full(count, 0.9, np.float32)), number / FPS)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def main() -> int:
    means: dict[str, list[float]] = {name: [] for name in TRACKERS}
    print(f"IDF1 % / switches, mean of {len(SEEDS)} seeds\n")
    print("| boxes |", " | ".join(TRACKERS), "|")
    print("|---|" + "---|" * len(TRACKERS))
    for case in cases():
        cells = []
        for name, make in TRACKERS.items():
            results = judge(case, make)
            idf1 = statistics.mean(result.idf1 for result in results)
            means[name].append(idf1)
            cells.append(f"{100 * idf1:.1f} / {statistics.mean(result.switches for result in results):.1f}")
        print(f"| {case.name} |", " | ".join(cells), "|", flush=True)
    print("| **mean IDF1** |", " | ".join(f"**{100 * statistics.mean(each):.1f}**" for each in means.values()), "|")
    print("| ms per picture of 200 boxes |", " | ".join(f"{milliseconds(m):.1f}" for m in TRACKERS.values()), "|")
    best = max(statistics.mean(each) for name, each in means.items() if name != "ours")
    ratio = statistics.mean(means["ours"]) / best
    print(f"\nours / best other, mean IDF1: {ratio:.3f} (at least 1)")
    return 0 if ratio >= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
