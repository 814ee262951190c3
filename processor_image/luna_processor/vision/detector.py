"""Find faces and bodies in frames: pictures in, boxes out, the engine in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from luna_processor.engines.models import Decoder, ModelSpec
from luna_processor.engines.preparation import (
    DevicePicture,
    SearchedPicture,
    device_picture,
    picture_size,
    planes_of,
)
from luna_processor.errors import EngineFailed
from luna_processor.frames import Frame
from luna_processor.streams.pipeline import Detector
from luna_processor.vision import centerface
from luna_processor.vision.detections import Detections, FloatArray, ShapeError
from luna_processor.vision.heads import (
    Head,
    HeadSettings,
    decode_detr,
    decode_rtdetr,
    decode_ssd,
    decode_yolov8,
    decode_yolox,
)
from luna_processor.vision.imaging import resize
from luna_processor.vision.network import Inference, network_input
from luna_processor.vision.view import Picture, View

HEADS: Mapping[Decoder, Head] = {
    "ssd": decode_ssd,
    "yolox": decode_yolox,
    "yolov8": decode_yolov8,
    "detr": decode_detr,
    "rtdetr": decode_rtdetr,
}
"""Families of object detectors; CenterFace is read apart, since it gives landmarks, too."""


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How faces and bodies are looked for."""

    longest_side: int = 640
    """Pixels of the picture that is searched (FaceStream's scale-result-size), where the model leaves the choice."""
    max_enlargement: float = 2.0
    """Small pictures are enlarged at most this much: beyond it costs time and finds nothing more."""
    min_score: float = 0.25
    """Detections below are noise."""
    max_iou: float = 0.3
    """Of two faces that overlap more, the weaker is the same face."""
    max_iou_bodies: float = 0.55
    """The same of bodies: people stand before each other."""


def make_detector(model: ModelSpec, batcher: Inference, settings: DetectorSettings) -> Detector:
    """Return what finds faces or bodies with a model, whatever its family."""
    if model.decoder == "centerface":
        return CenterFaceDetector(batcher, settings, model.input_size)
    return ObjectDetector(model, batcher, settings)


class CenterFaceDetector:
    """CenterFace behind a batcher; used by all streams.

    Args:
        batcher: runs it.
        settings: of the search.
        input_size: width and height of its input, pixels; None where they may vary.
    """

    def __init__(
        self, batcher: Inference, settings: DetectorSettings, input_size: tuple[int, int] | None = None
    ) -> None:
        self._batcher = batcher
        self._settings = settings
        self._size = input_size

    def picture(self, frame: Frame, view: View) -> SearchedPicture:
        """Return the view of a frame in the size that is searched."""
        size = self._size or _fitting_size(self._settings, view)
        return _searched(frame, view, size, size)

    def detect(self, picture: SearchedPicture, view: View) -> Detections:
        """Return the faces of a picture made by `picture`, in pixels of the view.

        Raises:
            EngineFailed: if inference fails, or gives what is not CenterFace's answer.
        """
        given = picture if isinstance(picture, DevicePicture) else centerface.to_input(picture)
        outputs = self._batcher.run(given)
        try:
            found = centerface.decode(outputs, self._settings.min_score, self._settings.max_iou)
        except ShapeError as e:
            raise EngineFailed(f"the model of faces does not answer like CenterFace: {e}") from e
        return _in_view(found, picture, view)


class ObjectDetector:
    """A detector of a known family behind a batcher; used by all streams.

    Args:
        model: with a decoder that `HEADS` knows.
        batcher: runs it.
        settings: of the search.
    """

    def __init__(self, model: ModelSpec, batcher: Inference, settings: DetectorSettings) -> None:
        self._model = model
        self._batcher = batcher
        self._settings = settings
        self._head = HEADS[model.decoder]
        self._max_iou = settings.max_iou if model.task == "faces" else settings.max_iou_bodies

    def picture(self, frame: Frame, view: View) -> SearchedPicture:
        """Return the view of a frame in the size that is searched, without the model's borders."""
        width, height = input_size = self._input_size(view)
        if self._model.picture.fit == "letterbox":
            factor = min(width / view.width, height / view.height)
            width, height = max(1, round(view.width * factor)), max(1, round(view.height * factor))
        return _searched(frame, view, (width, height), input_size)

    def detect(self, picture: SearchedPicture, view: View) -> Detections:
        """Return the objects of a picture made by `picture`, in pixels of the view.

        Raises:
            EngineFailed: if inference fails, or gives what is not the answer of this family.
        """
        width, height = self._input_size(view)
        given = picture if isinstance(picture, DevicePicture) else self._to_input(picture, width, height)
        outputs = self._batcher.run(given)
        wanted = HeadSettings(width, height, self._model.class_index, self._settings.min_score, self._max_iou)
        try:
            found = self._head(outputs, wanted)
        except ShapeError as e:
            raise EngineFailed(f"model {self._model.name} does not answer like {self._model.decoder}: {e}") from e
        return _in_view(found, picture, view)

    def _input_size(self, view: View) -> tuple[int, int]:
        """Return width and height that the model takes: its own, or one that fits the view."""
        return self._model.input_size or _fitting_size(self._settings, view)

    def _to_input(self, picture: Picture, width: int, height: int) -> FloatArray:
        """Return the picture in the form the model takes: with borders, normalised, its axes in order."""
        whole = np.full((height, width, 3), self._model.picture.border, np.float32)
        whole[: picture.shape[0], : picture.shape[1]] = picture
        return network_input(self._model, whole)


def _searched(frame: Frame, view: View, size: tuple[int, int], input_size: tuple[int, int]) -> SearchedPicture:
    """Return what is searched of a frame; one on a device stays there, to be prepared beside the network."""
    planes = planes_of(frame)
    return _scaled(frame, view, *size) if planes is None else device_picture(planes, view, size, input_size)


def _in_view(found: Detections, picture: SearchedPicture, view: View) -> Detections:
    """Return what was found in a picture, in pixels of the view."""
    width, height = picture_size(picture)
    return found.inside(width, height).scaled(view.width / width, view.height / height)


def _fitting_size(settings: DetectorSettings, view: View) -> tuple[int, int]:
    """Return width and height in which a view is searched by a model that takes any."""
    longest = min(settings.longest_side, round(max(view.width, view.height) * settings.max_enlargement))
    return centerface.input_size(view.width, view.height, longest)


def _scaled(frame: Frame, view: View, width: int, height: int) -> Picture:
    """Return the view of a frame stretched to this size, without converting more of the frame than needed."""
    if not view.is_whole_frame:
        return resize(view.apply(frame.rgb()), width, height)
    if view.rotation in (90, 270):
        return view.turn(frame.scaled_rgb(height, width))
    return view.turn(frame.scaled_rgb(width, height))
