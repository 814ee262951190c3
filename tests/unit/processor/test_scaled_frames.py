"""With frame_processing_mode `scale`, best shots are cut from a smaller frame; boxes stay those of the source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from luna_processor.detections import Detections
from luna_processor.scene import Estimators, Found, Scene
from luna_processor.view import Picture, PixelRect, View
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
