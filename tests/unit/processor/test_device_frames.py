"""Frames in the memory of a GPU on their way through the stages: they stay there until the host needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from luna_processor.engines.models import ModelSpec
from luna_processor.engines.preparation import DevicePicture, NetworkInput, SearchedPicture, device_picture
from luna_processor.frames import Frame
from luna_processor.vision.detections import Detections, FloatArray
from luna_processor.vision.detector import CenterFaceDetector, DetectorSettings, ObjectDetector
from luna_processor.vision.view import Picture, PixelRect, View
from support.device_frames import DeviceArrayFrame
from support.films import FPS, Film, empty, face
from support.frames import PaintDetector

FRAME = np.full((240, 640, 3), 50, np.uint8)


@dataclass
class NotingInference:
    """Remembers what a network was given, and finds nothing."""

    outputs: Sequence[FloatArray]
    given: list[NetworkInput] = field(default_factory=list)

    def run(self, picture: NetworkInput) -> Sequence[FloatArray]:
        self.given.append(picture)
        return self.outputs


def a_view(left: int = 0, right: int = 640) -> View:
    return View(PixelRect(left, 0, right, 240), 0, 640, 240)


def test_a_detector_of_faces_leaves_a_frame_on_its_device() -> None:
    maps = [np.zeros((channels, 64, 160), np.float32) for channels in (1, 2, 2, 10)]
    inference = NotingInference(maps)
    detector = CenterFaceDetector(inference, DetectorSettings())
    picture = detector.picture(DeviceArrayFrame(FRAME), a_view())
    assert isinstance(picture, DevicePicture)
    assert (picture.width, picture.height) == (picture.input_width, picture.input_height) == (640, 256)
    assert len(detector.detect(picture, a_view())) == 0
    assert inference.given == [picture]


@pytest.mark.parametrize(("fit", "height"), [("letterbox", 24), ("stretch", 64)])
def test_a_detector_of_bodies_says_how_the_frame_fits_its_network(fit: str, height: int) -> None:
    model = ModelSpec.model_validate(
        {
            "name": "mine",
            "task": "bodies",
            "decoder": "yolov8",
            "file": "mine.onnx",
            "sha256": "0" * 64,
            "input": {"name": "image", "shape": [1, 3, 64, 64]},
            "outputs": [{"name": "output0", "shape": [1, 5, 1]}],
            "picture": {"fit": fit},
        }
    )
    box = np.array([[32, height / 2, 64, height, 0.9]], np.float32).T
    inference = NotingInference([box])
    detector = ObjectDetector(model, inference, DetectorSettings())
    view = a_view(0, 640)
    picture = detector.picture(DeviceArrayFrame(FRAME), view)
    assert isinstance(picture, DevicePicture)
    assert (picture.width, picture.height) == (64, height)
    assert (picture.input_width, picture.input_height) == (64, 64)
    found = detector.detect(picture, view)
    assert found.boxes_xyxy[0].tolist() == pytest.approx([0, 0, 640, 240], abs=1), "the whole view"


class ShyDetector:
    """Sees what is painted only when it searches, as a GPU does; a thumbnail is all that comes back."""

    def __init__(self) -> None:
        self._paint = PaintDetector()

    def picture(self, frame: Frame, view: View) -> SearchedPicture:
        self._view = view.apply(frame.rgb())
        planes = DeviceArrayFrame(frame.rgb()).planes
        size = (view.width, view.height)
        return device_picture(planes, view, size, size)

    def detect(self, picture: SearchedPicture, view: View) -> Detections:
        assert isinstance(picture, DevicePicture)
        picture.thumbnail = self._view[::3, ::3]
        return self._paint.detect(self._view, view)


def cut_film(every: int) -> Film:
    film = Film(stages={"faces": ShyDetector(), "search_every": every})
    film.show(face() for _ in range(10))
    film.show(inverted(face()) for _ in range(10))
    return film


def inverted(picture: Picture) -> Picture:
    """Return another scene around the same face."""
    rows, columns = np.indices(picture.shape[:2])
    is_face = (picture[..., 0] > 200)[..., None]
    stripes = np.where(((rows + columns) // 30) % 2 == 0, 250, 5).astype(np.uint8)
    return np.where(is_face, picture, np.stack([np.minimum(stripes, 180), stripes, stripes], axis=2))


@pytest.mark.parametrize("every", [1, 4])
def test_a_cut_is_noticed_by_the_thumbnail_and_ends_the_tracks(every: int) -> None:
    film = cut_film(every)
    assert len(film.sink.events) == 1, "the track before the cut"
    film.pipeline.finish()
    assert len({event.track_id for event in film.sink.events}) == 2


def test_nothing_is_cut_while_the_scene_goes_on() -> None:
    film = Film(stages={"faces": ShyDetector()})
    film.show(face(x=100 + t) for t in range(10))
    assert film.sink.events == []
    film.show(empty() for _ in range(2 * FPS))
    assert len(film.sink.events) == 1
