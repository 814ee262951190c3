"""Real tracks that people annotated, made worse in known ways, and a judge of what a tracker makes of them.

The annotations are those of TUD-Campus and TUD-Stadtmitte (MOTChallenge, CC BY-NC-SA 3.0), pedestrians at 25 pictures a
second; they come with the package `motmetrics`, which is also the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from luna_processor.vision.detections import Detections, FloatArray, iou_matrix

FPS = 25.0
MIN_IOU = 0.5
"""A box that covers the truth less than this is not it (MOTChallenge)."""


@dataclass(frozen=True, slots=True, eq=False)
class Owned:
    """Boxes of one picture and whose they are."""

    owners: npt.NDArray[np.int64]
    boxes_xyxy: FloatArray


@dataclass(frozen=True, slots=True)
class Damage:
    """What a detector does to the truth; the same seed does the same."""

    jitter: float = 0.0
    """Standard deviation of each side of a box, in box sizes."""
    missed: float = 0.0
    """Part of the boxes that are not found, in runs of three pictures on average."""
    ghosts: float = 0.0
    """Boxes per picture where nobody is."""
    weak: float = 0.0
    """Part of the boxes whose score is only 0.3 to 0.5."""
    every: int = 1
    """Only every n-th picture is looked at."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What `motmetrics` says."""

    idf1: float
    mota: float
    switches: int
    fragments: int


Follow = Callable[[Detections, float], tuple[Sequence[int], FloatArray]]
"""A tracker: the detections of a picture and its time in seconds; whose they are, and their boxes."""


def people_of(sequence: str, file: str = "gt") -> list[Owned]:
    """Return the pictures of a sequence.

    Args:
        sequence: TUD-Campus or TUD-Stadtmitte.
        file: `gt`, the truth, or `test`, what a detector and tracker of 2014 made of the video.
    """
    package = find_spec("motmetrics")
    assert package is not None, "motmetrics is missing: pip install -e '.[test]'"
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "data" / sequence / f"{file}.txt"
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    boxes = rows[:, 2:6].astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    frames = rows[:, 0].astype(np.int64)
    return [
        Owned(rows[frames == frame, 1].astype(np.int64), boxes[frames == frame])
        for frame in range(1, int(frames.max()) + 1)
    ]


def damaged(truth: Sequence[Owned], damage: Damage, seed: int = 1) -> list[Detections]:
    """Return what a detector with these faults would find; pictures that are not looked at are left out."""
    rng = np.random.default_rng(seed)
    hidden_until: dict[int, int] = {}
    size = np.concatenate([picture.boxes_xyxy for picture in truth]).max(axis=0)[2:]
    found = []
    for number, picture in enumerate(truth):
        seen = []
        for owner in picture.owners.tolist():
            if rng.random() < damage.missed / 3 and hidden_until.get(owner, 0) <= number:
                hidden_until[owner] = number + int(rng.integers(1, 6))
            seen.append(hidden_until.get(owner, 0) <= number)
        boxes = picture.boxes_xyxy[np.array(seen, bool)]
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + rng.normal(0, damage.jitter, boxes.shape) * sides
        scores = np.where(rng.random(len(boxes)) < damage.weak, rng.uniform(0.3, 0.5, len(boxes)), 0.9)
        for _ in range(rng.poisson(damage.ghosts)):
            corner, extent = rng.uniform(0, 0.8, 2) * size, rng.uniform(0.1, 0.3, 2) * size
            boxes = np.vstack([boxes, np.concatenate([corner, corner + extent])])
            scores = np.append(scores, rng.uniform(0.4, 0.7))
        if number % damage.every == 0:
            found.append(Detections(boxes.astype(np.float32), scores.astype(np.float32)))
    return found


def judged(truth: Sequence[Owned], found: Sequence[Detections], follow: Follow, every: int = 1) -> Judgement:
    """Let a tracker follow what was found, and return how well it tells people apart."""
    import motmetrics  # costs half a second; only who judges pays it

    judge = motmetrics.MOTAccumulator(auto_id=True)
    for number, (picture, detections) in enumerate(zip(truth[::every], found, strict=True)):
        owners, boxes = follow(detections, number * every / FPS)
        overlaps = iou_matrix(picture.boxes_xyxy, boxes).astype(np.float64)
        judge.update(picture.owners.tolist(), list(owners), np.where(overlaps >= MIN_IOU, 1 - overlaps, np.nan))
    figures = motmetrics.metrics.create().compute(
        judge, metrics=["idf1", "mota", "num_switches", "num_fragmentations"], return_dataframe=False
    )
    return Judgement(
        float(figures["idf1"]),
        float(figures["mota"]),
        int(figures["num_switches"]),
        int(figures["num_fragmentations"]),
    )
