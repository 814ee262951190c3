"""How a decoded picture has to be turned, mirrored and stretched to be seen as a player shows it.

Phones store pictures as the sensor lies and say how to turn them; anamorphic video (recorders of PAL and NTSC, some
cameras) stores samples that are not square. Networks that look for faces have seen neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.buffer import Buffer
from av.video.frame import VideoFrame

from luna_processor.sources.memory import MAX_PIXELS
from luna_processor.vision.view import Picture

_SQUARE_WITHIN = 0.05
"""A sample that is that near to a square is taken for one: sizes that were rounded make such; real ones begin at
16:15."""
_WIDEST = 4
"""What is wider or taller than that is no sample of a video, but a broken header."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What makes a stored picture one that is seen; applied in this order."""

    stretch: float = 1.0
    """Of the width, since heights stay whole lines."""
    is_mirrored: bool = False
    """Whether it is stored upside down: a mirror, together with the turn."""
    quarter_turns: int = 0
    """Clockwise."""

    @property
    def is_turned_only(self) -> bool:
        """Whether it is neither stretched nor mirrored."""
        return self.stretch == 1.0 and not self.is_mirrored

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height as seen of a picture that is stored in this size."""
        return self.swapped(round(width * self.stretch), height)

    def swapped(self, width: int, height: int) -> tuple[int, int]:
        """Return a size as it is before the turn, or the other way round."""
        return (height, width) if self.quarter_turns % 2 else (width, height)

    def upright(self, picture: Picture) -> Picture:
        """Return a picture (H, W) or (H, W, 3), stretched before, mirrored and turned; not copied."""
        return np.rot90(picture[::-1] if self.is_mirrored else picture, -self.quarter_turns)


def stretch_of(sample_aspect: Fraction | None, width: int, height: int) -> float:
    """Return by how much a picture is stretched in width.

    Args:
        sample_aspect: width by height of a sample; None or 0 where nobody says it.
        width: pixels, as stored.
        height: the same.
    """
    if not sample_aspect or not 1 / _WIDEST <= sample_aspect <= _WIDEST or abs(sample_aspect - 1) < _SQUARE_WITHIN:
        return 1.0
    stretch = float(sample_aspect)
    return stretch if 0 < round(width * stretch) * height <= MAX_PIXELS else 1.0


def geometry_of(frame: VideoFrame, stretch: float = 1.0, *, is_mirrored: bool | None = None) -> Geometry:
    """Return how a frame is to be seen.

    Args:
        frame: with its own marks.
        stretch: of its source.
        is_mirrored: where its file says it; None looks into the frame.
    """
    if is_mirrored is None:
        is_mirrored = _is_mirrored(frame)
    return Geometry(stretch, is_mirrored, round(-frame.rotation / 90) % 4)


def _is_mirrored(frame: VideoFrame) -> bool:
    """Tell whether the display matrix mirrors: its determinant is negative. Source: `ffplay.c`, autorotate."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        return False  # PyAV knows not all that may come with a frame, and refuses the rest with it
    if not isinstance(matrix, Buffer):
        return False
    a, b, _, c, d = (int(number) for number in np.frombuffer(bytes(matrix), np.int32)[:5])
    return a * d - b * c < 0
