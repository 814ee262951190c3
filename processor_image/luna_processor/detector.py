"""Find faces in frames and measure them: pictures in, numbers out, the engine in between."""

from __future__ import annotations

from dataclasses import dataclass

from luna_processor import centerface, headpose, mouthcover
from luna_processor.batcher import Batcher
from luna_processor.detections import Detections, FloatArray
from luna_processor.frames import Frame
from luna_processor.headpose import HeadPose
from luna_processor.imaging import resize
from luna_processor.view import Picture, View, crop_rect


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """How faces are looked for."""

    longest_side: int = 640
    """Pixels of the picture that is searched (FaceStream's scale-result-size)."""
    max_enlargement: float = 2.0
    """Small pictures are enlarged at most this much: beyond it costs time and finds nothing more."""
    min_score: float = 0.25
    """Detections below are noise."""
    max_iou: float = 0.3
    """Of two faces that overlap more, the weaker is the same face."""


class FaceDetector:
    """CenterFace behind a batcher; used by all streams."""

    def __init__(self, batcher: Batcher, settings: DetectorSettings) -> None:
        self._batcher = batcher
        self._settings = settings

    def picture(self, frame: Frame, view: View) -> Picture:
        """Return the view of a frame in the size that is searched, uint8 (H, W, 3)."""
        settings = self._settings
        side = min(settings.longest_side, round(max(view.width, view.height) * settings.max_enlargement))
        width, height = centerface.input_size(view.width, view.height, side)
        if not view.is_whole_frame:
            return resize(view.apply(frame.rgb()), width, height)
        if view.rotation in (90, 270):
            return view.turn(frame.scaled_rgb(height, width))
        return view.turn(frame.scaled_rgb(width, height))

    def detect(self, picture: Picture, view: View) -> Detections:
        """Return the faces of a picture made by `picture`, in pixels of the view.

        Raises:
            EngineFailed: if inference fails.
        """
        outputs = self._batcher.run(centerface.to_input(picture))
        found = centerface.decode(outputs, self._settings.min_score, self._settings.max_iou)
        return found.scaled(view.width / picture.shape[1], view.height / picture.shape[0])


class HeadPoseEstimator:
    """WHENet behind a batcher; used by all streams, for candidates only."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> HeadPose:
        """Return the pose of the head in a box of the view.

        Raises:
            EngineFailed: if inference fails.
        """
        crop = _face(view_rgb, box_xyxy, headpose.CROP_MARGIN, headpose.INPUT_SIDE)
        yaw, pitch, roll = self._batcher.run(headpose.to_input(crop))
        return headpose.decode(yaw, pitch, roll)


class MouthCoverEstimator:
    """A mask classifier behind a batcher; used by all streams that filter by it, for candidates only."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher

    def estimate(self, view_rgb: Picture, box_xyxy: FloatArray) -> float:
        """Return how far the mouth of the face in a box of the view is covered, 0 to 1.

        Raises:
            EngineFailed: if inference fails.
        """
        crop = _face(view_rgb, box_xyxy, mouthcover.CROP_MARGIN, mouthcover.INPUT_SIDE)
        return mouthcover.decode(*self._batcher.run(mouthcover.to_input(crop)))


def _face(view_rgb: Picture, box_xyxy: FloatArray, margin: float, side: int) -> Picture:
    """Cut a face with a margin (relative to the box) and bring it to a square of `side` pixels."""
    rect = crop_rect(box_xyxy, margin, view_rgb.shape[1], view_rgb.shape[0])
    return resize(view_rgb[rect.top : rect.bottom, rect.left : rect.right], side, side)
