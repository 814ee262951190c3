"""Frames made of arrays, and stages that see what a test tells them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from luna_processor.delivery.events import ShotEvent
from luna_processor.engines.preparation import SearchedPicture
from luna_processor.frames import Frame
from luna_processor.vision.detections import Detections, FloatArray
from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.imaging import resize
from luna_processor.vision.view import Picture, View

STRAIGHT = HeadPose(0, 0, 0)
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, eq=False)
class ArrayFrame:
    """A frame whose picture is there already."""

    picture: Picture = field(repr=False)
    number: int = 0
    pts_s: float = 0.0
    is_damaged: bool = False
    is_keyframe: bool = True

    @property
    def captured_at(self) -> datetime:
        return EPOCH + timedelta(seconds=self.pts_s)

    @property
    def width(self) -> int:
        return int(self.picture.shape[1])

    @property
    def height(self) -> int:
        return int(self.picture.shape[0])

    def rgb(self) -> Picture:
        return self.picture

    def scaled_rgb(self, width: int, height: int) -> Picture:
        return resize(self.picture, width, height)

    def luma(self) -> Picture:
        return np.asarray(self.picture.mean(axis=2), np.uint8)


class PaintDetector:
    """Finds rectangles of pure colour, one per connected column range; so a test sees which pixels were looked at.

    Args:
        channel: 0 finds red, 1 green.
    """

    score = 0.9

    def __init__(self, channel: int = 0) -> None:
        self._channel = channel
        self.calls = 0

    def picture(self, frame: Frame, view: View) -> Picture:
        return view.apply(frame.rgb())

    def detect(self, picture: SearchedPicture, view: View) -> Detections:
        assert isinstance(picture, np.ndarray), "made by `picture`"
        self.calls += 1
        is_painted = (picture[..., self._channel] > 200) & (picture[..., 1 - self._channel] < 60)
        columns = np.flatnonzero(is_painted.any(axis=0))
        if not len(columns):
            return Detections.none()
        runs = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
        boxes = []
        for run in runs:
            rows = np.flatnonzero(is_painted[:, run].any(axis=1))
            boxes.append((run[0], rows[0], run[-1] + 1, rows[-1] + 1))
        count = len(boxes)
        box = np.array(boxes, np.float32)
        eyes = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.8], [0.65, 0.8]], np.float32)
        landmarks = box[:, None, :2] + eyes[None] * (box[:, None, 2:] - box[:, None, :2])
        return Detections(box, np.full(count, self.score, np.float32), landmarks)


@dataclass
class ToldPose:
    """Says what it is told."""

    pose: HeadPose = STRAIGHT
    calls: int = 0
    yaws: list[float] = field(default_factory=list)
    """Of the first calls, before `pose` counts."""

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        self.calls += 1
        return HeadPose(self.yaws[self.calls - 1], 0, 0) if self.calls <= len(self.yaws) else self.pose


@dataclass
class ToldMouth:
    """Says what it is told."""

    cover: float = 0.0
    calls: int = 0

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        self.calls += 1
        return self.cover


@dataclass
class ToldLiveness:
    """Says what it is told."""

    score: float = 0.9
    calls: int = 0

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        self.calls += 1
        return self.score


@dataclass
class EventList:
    """A sink that remembers."""

    events: list[ShotEvent] = field(default_factory=list)

    def send(self, event: ShotEvent) -> None:
        self.events.append(event)
