"""Find faces and bodies in frames and measure faces: pictures in, numbers out, the engine in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from luna_processor.engines.models import Decoder, ModelSpec
from luna_processor.engines.preparation import (
    DevicePicture,
    NetworkInput,
    SearchedPicture,
    device_picture,
    picture_size,
    planes_of,
)
from luna_processor.errors import EngineFailed, StartupError
from luna_processor.frames import Frame
from luna_processor.streams.pipeline import Detector
from luna_processor.vision import centerface, headpose, mouthcover
from luna_processor.vision.detections import Detections, FloatArray, ShapeError
from luna_processor.vision.headpose import HeadPose
from luna_processor.vision.heads import (
    Head,
    HeadSettings,
    decode_classifier,
    decode_detr,
    decode_rtdetr,
    decode_ssd,
    decode_yolov8,
    decode_yolox,
)
from luna_processor.vision.imaging import resize
from luna_processor.vision.view import Picture, View, crop_rect

HEADS: Mapping[Decoder, Head] = {
    "ssd": decode_ssd,
    "yolox": decode_yolox,
    "yolov8": decode_yolov8,
    "detr": decode_detr,
    "rtdetr": decode_rtdetr,
}
"""Families of object detectors; CenterFace is read apart, since it gives landmarks, too."""


class Inference(Protocol):
    """Runs one network, a picture at a time; may be called by several threads."""

    def run(self, picture: NetworkInput) -> Sequence[FloatArray]:
        """Return the outputs for one picture, without batch axis.

        Raises:
            EngineFailed: if inference fails.
        """


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
        return CenterFaceDetector(batcher, settings)
    return ObjectDetector(model, batcher, settings)


class CenterFaceDetector:
    """CenterFace behind a batcher; used by all streams."""

    def __init__(self, batcher: Inference, settings: DetectorSettings) -> None:
        self._batcher = batcher
        self._settings = settings

    def picture(self, frame: Frame, view: View) -> SearchedPicture:
        """Return the view of a frame in the size that is searched."""
        size = centerface.input_size(view.width, view.height, _searched_side(self._settings, view))
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
        fixed = self._model.input_size
        return fixed or centerface.input_size(view.width, view.height, _searched_side(self._settings, view))

    def _to_input(self, picture: Picture, width: int, height: int) -> FloatArray:
        """Return the picture in the form the model takes: with borders, normalised, its axes in order."""
        whole = np.full((height, width, 3), self._model.picture.border, np.float32)
        whole[: picture.shape[0], : picture.shape[1]] = picture
        return _to_input(self._model, whole)


class HeadPoseEstimator:
    """WHENet behind a batcher; used by all streams, for candidates only."""

    def __init__(self, batcher: Inference) -> None:
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        """Return the pose of the head in a box of the view.

        Raises:
            EngineFailed: if inference fails.
        """
        crop = _crop(view_rgb, box_xyxy, headpose.CROP_MARGIN, (headpose.INPUT_SIDE, headpose.INPUT_SIDE))
        yaw, pitch, roll = self._batcher.run(headpose.to_input(crop))
        return headpose.decode(yaw, pitch, roll)


class MouthCoverEstimator:
    """A mask classifier behind a batcher; used by all streams that filter by it, for candidates only."""

    def __init__(self, batcher: Inference) -> None:
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return how far the mouth of the face in a box of the view is covered, 0 to 1.

        Raises:
            EngineFailed: if inference fails.
        """
        crop = _crop(view_rgb, box_xyxy, mouthcover.CROP_MARGIN, (mouthcover.INPUT_SIDE, mouthcover.INPUT_SIDE))
        return mouthcover.decode(*self._batcher.run(mouthcover.to_input(crop)))


class LivenessClassifier:
    """A classifier that the user supplies, behind a batcher; used by all streams that check liveness by it.

    Args:
        model: with the decoder `classifier`.
        batcher: runs it.

    Raises:
        StartupError: if the size of its input is not fixed.
    """

    def __init__(self, model: ModelSpec, batcher: Inference) -> None:
        if model.input_size is None:
            raise StartupError(f"the input of model {model.name} must have a fixed height and width")
        self._size = model.input_size
        self._model = model
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return how surely the face in a box of the view is a person's, 0 to 1.

        Raises:
            EngineFailed: if inference fails, or gives what is not the answer of a classifier.
        """
        crop = _crop(view_rgb, box_xyxy, self._model.crop_margin, self._size)
        outputs = self._batcher.run(_to_input(self._model, crop.astype(np.float32)))
        try:
            return decode_classifier(outputs[0], self._model.class_index, self._model.activation)
        except ShapeError as e:
            raise EngineFailed(f"model {self._model.name} does not answer like a classifier: {e}") from e


def _to_input(model: ModelSpec, picture_rgb: FloatArray) -> FloatArray:
    """Return a picture (H, W, 3) in the form a model takes: its order of colours, normalised, its axes in order."""
    form = model.picture
    colours: FloatArray = picture_rgb if form.colour == "rgb" else picture_rgb[..., ::-1]
    tensor: FloatArray = colours - np.array(form.mean, np.float32)
    tensor /= np.array(form.deviation, np.float32)
    return np.ascontiguousarray(tensor if model.is_channels_last else tensor.transpose(2, 0, 1), np.float32)


def _searched(frame: Frame, view: View, size: tuple[int, int], input_size: tuple[int, int]) -> SearchedPicture:
    """Return what is searched of a frame; one on a device stays there, to be prepared beside the network."""
    planes = planes_of(frame)
    return _scaled(frame, view, *size) if planes is None else device_picture(planes, view, size, input_size)


def _in_view(found: Detections, picture: SearchedPicture, view: View) -> Detections:
    width, height = picture_size(picture)
    return found.scaled(view.width / width, view.height / height)


def _searched_side(settings: DetectorSettings, view: View) -> int:
    return min(settings.longest_side, round(max(view.width, view.height) * settings.max_enlargement))


def _scaled(frame: Frame, view: View, width: int, height: int) -> Picture:
    """Return the view of a frame stretched to this size, without converting more of the frame than needed."""
    if not view.is_whole_frame:
        return resize(view.apply(frame.rgb()), width, height)
    if view.rotation in (90, 270):
        return view.turn(frame.scaled_rgb(height, width))
    return view.turn(frame.scaled_rgb(width, height))


def _crop(view_rgb: Picture, box_xyxy: FloatArray, margin: float, size: tuple[int, int]) -> Picture:
    """Cut a face with a margin (relative to the box) and bring it to a size (width, height)."""
    rect = crop_rect(box_xyxy, margin, view_rgb.shape[1], view_rgb.shape[0])
    return resize(view_rgb[rect.top : rect.bottom, rect.left : rect.right], *size)
