"""With frame_processing_mode `scale`, best shots are cut from a smaller frame; boxes stay those of the source."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from luna_processor.streams.scene import Estimators, Found, Scene
from luna_processor.vision.detections import Detections
from luna_processor.vision.view import Picture, PixelRect, View
from support.films import INFO, Film, face
from support.frames import ArrayFrame, ToldMouth, ToldPose

WIDTH, HEIGHT = 400, 200
BOX = np.array([100, 40, 180, 120], np.float32)


@dataclass(frozen=True, eq=False)
class Counted(ArrayFrame):
    """A frame that must not be converted in full."""

    def rgb(self) -> Picture:
        raise AssertionError("the whole frame was converted")


def a_frame(kind: type[ArrayFrame] = ArrayFrame) -> ArrayFrame:
    """Return a black frame whose box is red."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[40:120, 100:180, 0] = 255
    return kind(picture)


def a_scene(frame: ArrayFrame, view: View) -> Scene:
    found = Detections(BOX[None], np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))
    return Scene(frame, view, Found(found, Detections.none()), Estimators(ToldPose(), ToldMouth()))


@pytest.mark.parametrize(("longest_side", "side"), [(0, 80), (100, 20), (1000, 80)], ids=["full", "scale", "larger"])
def test_the_picture_of_a_box_is_as_large_as_the_mode_allows(longest_side: int, side: int) -> None:
    scene = a_scene(a_frame(), View(PixelRect(0, 0, WIDTH, HEIGHT), 0, WIDTH, HEIGHT, longest_side))
    shot = scene.crop(BOX, 0.0, 800)
    assert shot.shape == (side, side, 3)
    assert shot[..., 0].mean() > 240
    assert tuple(scene.frame_box(BOX)) == tuple(BOX)


def test_a_frame_that_is_scaled_is_never_converted_in_full() -> None:
    scene = a_scene(a_frame(Counted), View(PixelRect(0, 0, WIDTH, HEIGHT), 0, WIDTH, HEIGHT, 100))
    assert scene.crop(BOX, 0.0, 800).shape == (20, 20, 3)


def test_it_is_the_region_of_interest_that_is_scaled_and_turned() -> None:
    view = View(PixelRect(100, 0, 300, HEIGHT), 90, WIDTH, HEIGHT, 100)
    assert a_scene(a_frame(), view).rgb.shape == (100, 100, 3)
    turned = View(PixelRect(0, 0, WIDTH, HEIGHT), 90, WIDTH, HEIGHT, 100)
    assert a_scene(a_frame(), turned).rgb.shape == (100, 50, 3)


@pytest.mark.parametrize(("mode", "side"), [("full", 1.0), ("auto", 1.0), ("scale", 0.5)])
def test_the_mode_of_a_stream_decides_how_large_its_best_shots_are(mode: str, side: float) -> None:
    def enlarged(picture: Picture) -> Picture:
        return picture.repeat(4, 0).repeat(4, 1)

    shown = enlarged(face())
    info = replace(INFO, width=shown.shape[1], height=shown.shape[0])
    film = Film(info=info, frame_processing_mode=mode)
    film.show(shown for _ in range(5))
    film.pipeline.finish()
    [shot] = film.sink.events[0].shots
    assert shot.face is not None
    box = shot.face.box_xyxy
    with Image.open(io.BytesIO(shot.jpeg)) as picture:
        scale = picture.width / (float(box[2] - box[0]) * 1.8)
    assert scale == pytest.approx(min(side, 800 / (float(box[3] - box[1]) * 1.8)), rel=0.1)
    assert float(box[2]) > info.width / 8, "boxes stay those of the source"
