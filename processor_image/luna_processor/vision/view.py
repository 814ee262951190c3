"""Which part of a frame is looked at and which way is up: region of interest, rotation, and the way back.

A view is made of a frame by cutting the region of interest and then turning it. The pipeline works in pixels of the
view; what leaves the processor (boxes, the DROI test) is in pixels of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from luna_processor.errors import UnsuitableSource
from luna_processor.vision.detections import FloatArray

Rotation = Literal[0, 90, 180, 270]
"""Degrees clockwise."""
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle as a stream gives it; width or height 0 means the whole frame."""

    x: float
    y: float
    width: float
    height: float
    is_percent: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether it stands for the whole frame."""
        return self.width == 0 or self.height == 0


@dataclass(frozen=True, slots=True)
class PixelRect:
    """A rectangle inside a frame, in whole pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels."""
        return self.bottom - self.top

    def contains(self, box_xyxy: FloatArray) -> bool:
        """Return whether a box lies wholly inside."""
        left, top, right, bottom = (float(side) for side in box_xyxy)
        return left >= self.left and top >= self.top and right <= self.right and bottom <= self.bottom


def resolve(region: Region, frame_width: int, frame_height: int, name: str) -> PixelRect:
    """Return the pixels of a region in a frame of this size; what reaches out of the frame is cut off.

    Raises:
        UnsuitableSource: if no pixel of the frame lies in the region.
    """
    if region.is_whole:
        return PixelRect(0, 0, frame_width, frame_height)
    factor_x, factor_y = (frame_width / 100, frame_height / 100) if region.is_percent else (1.0, 1.0)
    rect = PixelRect(
        left=round(region.x * factor_x),
        top=round(region.y * factor_y),
        right=min(frame_width, round((region.x + region.width) * factor_x)),
        bottom=min(frame_height, round((region.y + region.height) * factor_y)),
    )
    if rect.width < 1 or rect.height < 1:
        fault = "lies outside" if rect.left >= frame_width or rect.top >= frame_height else "covers no pixel of"
        raise UnsuitableSource(f"{name} {fault} the frame of {frame_width}x{frame_height}")
    return rect


@dataclass(frozen=True, slots=True)
class View:
    """The cut-out of a frame, turned upright."""

    cut: PixelRect
    rotation: Rotation
    frame_width: int
    frame_height: int
    longest_side: int = 0
    """Pixels that the picture of the view is made smaller to before anything is cut from it; 0 keeps its size."""

    @property
    def picture_scale(self) -> float:
        """How much smaller its picture is than the view, at most 1."""
        return min(1.0, self.longest_side / max(self.width, self.height)) if self.longest_side else 1.0

    @property
    def is_whole_frame(self) -> bool:
        """Whether nothing is cut off; the picture may still be turned."""
        return (self.cut.width, self.cut.height) == (self.frame_width, self.frame_height)

    @property
    def width(self) -> int:
        """Pixels of the view."""
        return self.cut.height if self.rotation in (90, 270) else self.cut.width

    @property
    def height(self) -> int:
        """Pixels of the view."""
        return self.cut.width if self.rotation in (90, 270) else self.cut.height

    def apply(self, picture: Picture) -> Picture:
        """Return the view of a whole frame (H, W) or (H, W, 3)."""
        return self.turn(picture[self.cut.top : self.cut.bottom, self.cut.left : self.cut.right])

    def turn(self, picture: Picture) -> Picture:
        """Return a picture that was cut (or scaled) already, turned upright."""
        return np.rot90(picture, k=-self.rotation // 90)

    def to_frame(self, box_xyxy: FloatArray) -> FloatArray:
        """Return a box of the view in pixels of the frame, float32 (4,)."""
        left, top, right, bottom = (float(side) for side in box_xyxy)
        width, height = self.cut.width, self.cut.height
        turned = {
            0: (left, top, right, bottom),
            90: (top, height - right, bottom, height - left),
            180: (width - right, height - bottom, width - left, height - top),
            270: (width - bottom, left, width - top, right),
        }[self.rotation]
        offset = np.array([self.cut.left, self.cut.top] * 2, np.float32)
        return np.array(turned, np.float32) + offset


def crop_rect(box_xyxy: FloatArray, margin: float, width: int, height: int) -> PixelRect:
    """Return a box with a margin on each side (relative to the box), as pixels inside a picture of this size."""
    left, top, right, bottom = (float(side) for side in box_xyxy)
    margin_x, margin_y = margin * (right - left), margin * (bottom - top)
    first_column = min(max(0, int(np.floor(left - margin_x))), width - 1)
    first_row = min(max(0, int(np.floor(top - margin_y))), height - 1)
    return PixelRect(
        left=first_column,
        top=first_row,
        right=min(width, max(first_column + 1, int(np.ceil(right + margin_x)))),
        bottom=min(height, max(first_row + 1, int(np.ceil(bottom + margin_y)))),
    )
