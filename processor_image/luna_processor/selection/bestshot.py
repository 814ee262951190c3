"""Choose the best shots of a track: a pure rule, with every threshold named.

Read aloud: a face is a *candidate* when it is confident, lies wholly inside the DROI and was found by the filters to
look at the camera. Its *quality* is the weighted product of score, sharpness, size and frontality, lowered when the
edge of the picture cuts it. A candidate takes the place of a kept shot only when it is clearly better (hysteresis), so
that angles are measured and pictures cut a few times per track, not at every frame. Bodies are chosen alike, by fewer
virtues. When the shots are sent is the business of `sending`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from luna_processor.vision.detections import FloatArray
from luna_processor.vision.headpose import HeadPose

FULL_SIZE_PX = 140.0
"""Height of a face from which on more pixels do not make it better (LUNA's best_shot_proper_size)."""
FULL_BODY_SIZE_PX = 300.0
"""Height of a body from which on more pixels do not make it better."""
FULL_SHARPNESS = 0.12
"""Sharpness of a face in focus, see `sharpness`."""
SHARPNESS_SIDE_PX = 64
"""Faces are compared at about this size, so that a large soft one does not beat a small sharp one by its pixels."""
FULL_PROFILE = 0.6
"""Shift of the nose from the middle of the eyes, in eye distances, at which a face is seen from the side."""
SCORE_WEIGHT, SHARPNESS_WEIGHT, SIZE_WEIGHT, FRONTALITY_WEIGHT = 0.3, 0.25, 0.2, 0.25
CUT_PENALTY = 0.6
"""Factor for a face that touches the edge of the picture: part of it is probably not there."""
EDGE_PX = 2.0
CLEARLY_BETTER = 1.05
"""A candidate must be better than the worst kept shot by this factor."""
_ROUNDING_S = 1e-6
"""Times are binary fractions: 0.24 s - 0.04 s is less than 0.2 s."""
SHOT_SPACING_S = 0.2
"""Two shots of one set are at least this far apart: neighbouring frames show the same thing."""


@dataclass(frozen=True, slots=True)
class FaceFilters:
    """Documented filters of a candidate; angles in degrees, thresholds inclusive."""

    min_score: float = 0.5187
    max_yaw: float = 40.0
    max_pitch: float = 40.0
    max_roll: float = 30.0
    max_mouth_cover: float = 0.0
    """Covered part of the mouth, 0 to 1; 0 switches the filter off."""

    def accepts_score(self, score: float) -> bool:
        """Return whether the detection is confident enough."""
        return score >= self.min_score

    def accepts_pose(self, pose: HeadPose) -> bool:
        """Return whether the head looks at the camera closely enough."""
        return abs(pose.yaw) <= self.max_yaw and abs(pose.pitch) <= self.max_pitch and abs(pose.roll) <= self.max_roll

    @property
    def looks_at_mouths(self) -> bool:
        """Whether the mouth has to be measured at all."""
        return self.max_mouth_cover > 0


@dataclass(frozen=True, slots=True)
class BodyFilters:
    """Documented filters of a candidate; thresholds inclusive."""

    min_score: float = 0.5
    min_size_px: float = 0.0
    """Square root of width times height of the box, in pixels of the frame; 0 switches the filter off."""

    def accepts(self, score: float, width_px: float, height_px: float) -> bool:
        """Return whether a body is found surely enough and large enough."""
        return score >= self.min_score and math.sqrt(max(0.0, width_px * height_px)) >= self.min_size_px


def sharpness(luma: npt.NDArray[np.uint8]) -> float:
    """Return how sharp a crop (H, W) is: gradient (r.m.s.) at a common size relative to its contrast, about 0 to 0.3.

    Dividing by the contrast keeps a dark face from counting as blurred.
    Source: Tenengrad (Krotkov 1987), with plain differences.
    """
    step = max(1, min(luma.shape) // SHARPNESS_SIDE_PX)
    rows, columns = luma.shape[0] // step, luma.shape[1] // step
    if rows < 2 or columns < 2:
        return 0.0
    blocks = luma[: rows * step, : columns * step].reshape(rows, step, columns, step)
    small = blocks.mean(axis=(1, 3), dtype=np.float32)
    contrast = float(small.std())
    if contrast < 1.0:
        return 0.0
    across, down = np.diff(small, axis=1)[:-1], np.diff(small, axis=0)[:, :-1]
    # Squares: blurring an edge spreads it out, which leaves the sum of its differences as it was.
    gradient = float(np.sqrt((across**2 + down**2).mean()))
    scale: float = min(rows, columns) / SHARPNESS_SIDE_PX
    return gradient / (4 * contrast) * scale


def frontality(landmarks_xy: FloatArray) -> float:
    """Return how straight a face looks into the camera and stands upright, 0 to 1, from its landmarks (5, 2).

    A cheap guess for every detection; the angles that the filters compare are measured for candidates only.
    """
    left_eye, right_eye, nose = (landmarks_xy[index].astype(np.float64) for index in range(3))
    across = right_eye - left_eye
    distance = float(np.hypot(*across))
    if distance < 1.0:
        return 0.0
    shift = abs(float(np.dot(nose - (left_eye + right_eye) / 2, across))) / distance**2
    uprightness = max(0.0, float(across[0]) / distance)
    return uprightness * max(0.0, 1.0 - shift / FULL_PROFILE)


@dataclass(frozen=True, slots=True)
class Look:
    """What the quality of a face or body is made of."""

    score: float
    """Of the detection."""
    sharpness: float
    """As `sharpness` returns it."""
    height_px: float
    """Of the box, in pixels of the frame."""
    touches_edge: bool
    """Whether the box reaches the edge of the picture."""
    frontality: float = 1.0
    """As `frontality` returns it; 1 where nothing is known about it."""


def face_quality(look: Look) -> float:
    """Return the quality of a face, 0 to 1: the larger, the better a shot it is."""
    return _quality(look, FULL_SIZE_PX)


def body_quality(look: Look) -> float:
    """Return the quality of a body, 0 to 1; which way it faces does not count."""
    return _quality(look, FULL_BODY_SIZE_PX)


def _quality(look: Look, full_size_px: float) -> float:
    size = min(1.0, max(0.0, look.height_px) / full_size_px)
    # Floors keep a profile or a face without contrast, which the filters may well allow, from counting as no shot.
    focus = min(1.0, max(0.001, look.sharpness / FULL_SHARPNESS))
    front = max(0.1, look.frontality)
    product: float = (
        max(0.0, look.score) ** SCORE_WEIGHT * focus**SHARPNESS_WEIGHT * size**SIZE_WEIGHT * front**FRONTALITY_WEIGHT
    )
    return product * (CUT_PENALTY if look.touches_edge else 1.0)


_Shot = TypeVar("_Shot")


@dataclass(frozen=True, slots=True)
class Kept(Generic[_Shot]):
    """A shot of a set."""

    quality: float
    pts_s: float
    shot: _Shot


class Selection(Generic[_Shot]):
    """The best shots of one track so far; knows nothing of pictures, only of their quality and time.

    Args:
        size: how many are kept.
        spacing_s: how far two of them are apart at least; 0 for no matter how near.
    """

    def __init__(self, size: int, spacing_s: float = SHOT_SPACING_S) -> None:
        self._size = size
        self._spacing_s = spacing_s
        self._kept: list[Kept[_Shot]] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_full(self) -> bool:
        """Whether as many are kept as are wanted."""
        return len(self._kept) >= self._size

    def consider(self, pts_s: float, value: float, take: Callable[[], _Shot | None]) -> bool:
        """Keep a candidate if it is clearly better than what is kept.

        Args:
            pts_s: time of its frame.
            value: its quality.
            take: makes the shot, called only when it would be kept; None when the filters refuse it after all.

        Returns:
            Whether it is kept.
        """
        if value <= 0:
            return False
        rivals = self._rivals(pts_s)
        if any(value < rival.quality * CLEARLY_BETTER for rival in rivals):
            return False
        shot = take()
        if shot is None:
            return False
        self._kept = [kept for kept in self._kept if kept not in rivals]
        self._kept.append(Kept(value, pts_s, shot))
        return True

    def _rivals(self, pts_s: float) -> list[Kept[_Shot]]:
        """Return the shots that one of this time would replace; two, where it lies between neighbours."""
        near = [kept for kept in self._kept if abs(pts_s - kept.pts_s) < self._spacing_s - _ROUNDING_S]
        return near or ([min(self._kept, key=_by_quality)] if self.is_full else [])

    def best(self) -> tuple[_Shot, ...]:
        """Return what is kept, best first."""
        return tuple(kept.shot for kept in sorted(self._kept, key=_by_quality, reverse=True))

    def clear(self) -> None:
        """Forget what is kept: it was sent, or its track is over."""
        self._kept.clear()

    def discard(self, is_unwanted: Callable[[_Shot], bool]) -> None:
        """Forget some: later frames showed that they are no candidates."""
        self._kept = [kept for kept in self._kept if not is_unwanted(kept.shot)]

    def absorb(self, other: Selection[_Shot]) -> None:
        """Take over what another selection keeps: both tracks turned out to be one."""
        for kept in sorted(other._kept, key=_by_quality, reverse=True):
            self.consider(kept.pts_s, kept.quality, functools.partial(_same, kept.shot))


def _same(shot: _Shot) -> _Shot:
    return shot


def _by_quality(kept: Kept[_Shot]) -> float:
    return kept.quality
