"""A pipeline that is shown pictures, and pictures with faces and bodies that a detector of colours finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from luna_processor.frames import SourceInfo
from luna_processor.streams.pipeline import Pipeline, Stages
from luna_processor.streams.plan import Platform, make_plan
from luna_processor.streams.scene import Estimators
from luna_processor.streams.stats import StreamStats
from luna_processor.vision.view import Picture
from luna_streams.rest import v1, v2
from luna_streams.stream import MODE_FACES, Mode
from support.frames import ArrayFrame, EventList, PaintDetector, ToldLiveness, ToldMouth, ToldPose
from support.processor_builders import STREAM_ID
from support.streams_server import stream_v2

WIDTH, HEIGHT, FPS = 320, 240, 25
RED, GREEN = 0, 1
INFO = SourceInfo(WIDTH, HEIGHT, FPS, 0, 10.0)
PLATFORM = Platform("http://lp", 6, frozenset({"mask", "flying_faces"}))


class Film:
    """A pipeline and what came out of it."""

    def __init__(
        self,
        info: SourceInfo = INFO,
        kind: str = "videofile",
        stages: Mapping[str, Any] | None = None,
        platform: Platform = PLATFORM,
        **data: Any,
    ) -> None:
        self._changes = stages or {}
        self._platform = platform
        body = stream_v2("/clip.mp4" if kind == "videofile" else "rtsp://cam/1", kind=kind, **data.pop("analytics", {}))
        body["data"] |= data
        self.use(body, info)
        self.number = 0

    def use(self, body: dict[str, Any], info: SourceInfo = INFO, v1_mode: Mode = MODE_FACES) -> None:
        """Begin with another stream, of either version of the API."""
        taken = {**body, "stream_id": STREAM_ID, "version": 1}
        queued = v2.queued_stream(taken) if "analytics" in body["data"] else v1.queued_stream(taken, v1_mode)
        plan = make_plan(queued, self._platform)
        self.sink, self.stats = EventList(), StreamStats()
        self.faces, self.bodies = PaintDetector(RED), PaintDetector(GREEN)
        self.pose, self.mouth = ToldPose(), ToldMouth()
        self.mask, self.flying_faces = ToldLiveness(), ToldLiveness()
        estimators = Estimators(self.pose, self.mouth, {"mask": self.mask, "flying_faces": self.flying_faces})
        stages = replace(Stages(self.faces, self.bodies, estimators), **self._changes)
        self.pipeline = Pipeline(plan, info, stages, self.sink, self.stats)

    def show(self, pictures: Iterable[Picture], **frame: Any) -> None:
        for picture in pictures:
            self.pipeline.step(ArrayFrame(picture, self.number, self.number / FPS, **frame))
            self.number += 1

    def boxes(self) -> list[tuple[int, ...]]:
        faces = [event.shots[0].face for event in self.sink.events]
        return [tuple(int(side) for side in face.box_xyxy) for face in faces if face]


def face(x: int = 100, y: int = 80, width: int = 40, height: int = 60, noise: int = 40) -> Picture:
    """Return a picture with a red rectangle; the noise makes it sharp."""
    rng = np.random.default_rng(7)
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[y : y + height, x : x + width] = (255, 0, 0)
    picture[y : y + height, x : x + width, 2] = rng.integers(0, 1 + noise * 6, (height, width))
    return picture


def body(x: int = 85, y: int = 75, width: int = 70, height: int = 150, head: bool = False, noise: int = 40) -> Picture:
    """Return a picture with a green rectangle, and a red one at its top where the face is seen, too."""
    rng = np.random.default_rng(7)
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[y : y + height, x : x + width] = (0, 255, 0)
    picture[y : y + height, x : x + width, 2] = rng.integers(0, noise * 6, (height, width))
    if head:
        middle = slice(x + width // 2 - 15, x + width // 2 + 15)
        picture[y + 5 : y + 45, middle, :2] = (255, 0)
    return picture


def empty() -> Picture:
    return np.full((HEIGHT, WIDTH, 3), 90, np.uint8)


def two_faces(left: int, right: int) -> Picture:
    """Return a picture with two faces of these heights."""
    picture = face(x=20, y=40, width=60, height=left)
    picture[:, 160:] = face(x=200, y=40, width=60, height=right)[:, 160:]
    return picture
