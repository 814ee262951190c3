"""Where things stand in an annotated picture: pure arithmetic.

The picture is the whole frame, turned upright as the stream's `rotation` says and made smaller. Boxes come in pixels of
the frame, as events have them; a picture in which they lie right so shows that the events are right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from luna_processor.vision.detections import FloatArray
from luna_processor.vision.view import Rotation


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle in an annotated picture, pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels."""
        return self.bottom - self.top

    def overlap(self, other: Rect) -> float:
        """Return the common area, pixels squared."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)


@dataclass(frozen=True, slots=True)
class Canvas:
    """The picture that is drawn on."""

    frame_width: int
    frame_height: int
    rotation: Rotation
    width: int
    height: int

    @classmethod
    def of(cls, frame_width: int, frame_height: int, rotation: Rotation, longest_side: int) -> Self:
        """Return the canvas of frames of this size; its sides are even, since video encoders ask for that."""
        is_turned = rotation in (90, 270)
        width, height = (frame_height, frame_width) if is_turned else (frame_width, frame_height)
        factor = min(1.0, longest_side / max(width, height))
        return cls(frame_width, frame_height, rotation, _even(width * factor), _even(height * factor))

    @property
    def unturned_size(self) -> tuple[int, int]:
        """Width and height of the picture before it is turned upright."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)

    def place(self, box_xyxy: FloatArray) -> Rect:
        """Return where a box of the frame lies in the picture."""
        left, top, right, bottom = (float(side) for side in box_xyxy)
        width, height = self.frame_width, self.frame_height
        turned = {
            0: (left, top, right, bottom),
            90: (height - bottom, left, height - top, right),
            180: (width - right, height - bottom, width - left, height - top),
            270: (top, width - right, bottom, width - left),
        }[self.rotation]
        is_turned = self.rotation in (90, 270)
        factor_x = self.width / (height if is_turned else width)
        factor_y = self.height / (width if is_turned else height)
        return Rect(turned[0] * factor_x, turned[1] * factor_y, turned[2] * factor_x, turned[3] * factor_y)


def label_rect(box: Rect, size: tuple[float, float], canvas: Canvas, taken: Sequence[Rect]) -> Rect:
    """Return where the label of a box stands: inside the picture, and on no other label where that can be.

    Args:
        box: what is labelled.
        size: width and height of the label.
        canvas: of the picture.
        taken: the labels that stand already.
    """
    places = [_inside(place, canvas) for place in _around(box, size)]
    return min(places, key=lambda place: sum(place.overlap(other) for other in taken))


def _around(box: Rect, size: tuple[float, float]) -> Iterable[Rect]:
    """Yield the places for a label, the best one first: above, below, inside at the top, right, left."""
    width, height = size
    for left, top in (
        (box.left, box.top - height),
        (box.left, box.bottom),
        (box.left, box.top),
        (box.right, box.top),
        (box.left - width, box.top),
    ):
        yield Rect(left, top, left + width, top + height)


def _inside(place: Rect, canvas: Canvas) -> Rect:
    """Return the place, moved into the picture; what is larger than it begins at its upper left corner."""
    left = max(0.0, min(place.left, canvas.width - place.width))
    top = max(0.0, min(place.top, canvas.height - place.height))
    return Rect(left, top, left + place.width, top + place.height)


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))
