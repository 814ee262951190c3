"""Notice that a picture has nothing to do with the one before: the video was cut, or the camera switched.

Across a cut, a face at the same place is another face; tracks must not go on. The measure is the mean change of a tiny
grey picture, compared with a fixed bound and with the changes of late, so that pans, flicker and low frame rates, whose
changes are large all the time, do not look like cuts. Where two pictures have nothing in common, less is enough.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from luna_processor.vision.view import Picture

CUT_CHANGE = 28.0
"""Mean change of brightness (0 to 255) that only a cut makes."""
CUT_RATIO = 4.0
"""A cut changes this many times more than the pictures before it."""
UNLIKE_RATIO = 2.0
"""The same where the pictures have nothing in common: something large passed before the cut."""
UNLIKE = 0.2
"""Correlation of two pictures that have nothing in common; what moves keeps more."""
_GRID = 24
"""Cells per side of the tiny picture."""
_MEMORY = 0.8
"""Weight of the past in the running mean of changes."""


class SceneCuts:
    """Compares each picture with the one before; one per stream."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.float32] | None = None
        self._usual_change = 0.0

    def is_cut(self, picture_rgb: Picture) -> bool:
        """Return whether a cut lies between the picture before and this one (H, W, 3)."""
        tiny = _tiny(picture_rgb)
        last, self._last = self._last, tiny
        if last is None:
            return False
        # Exposure changes shift everything alike; that is no cut.
        now, before = tiny - tiny.mean(), last - last.mean()
        change = float(np.abs(now - before).mean())
        ratio = UNLIKE_RATIO if _likeness(now, before) < UNLIKE else CUT_RATIO
        is_cut = change > CUT_CHANGE and change > ratio * self._usual_change
        self._usual_change = _MEMORY * self._usual_change + (1 - _MEMORY) * change
        return is_cut


def _likeness(now: npt.NDArray[np.float32], before: npt.NDArray[np.float32]) -> float:
    """Return the correlation of two pictures whose mean is 0."""
    energy = float(np.sqrt((now**2).sum() * (before**2).sum()))
    return float((now * before).sum()) / energy if energy > 0 else 1.0


def _tiny(picture_rgb: Picture) -> npt.NDArray[np.float32]:
    """Return the means of a grid of cells, from every fourth pixel; from more where the picture is a thumbnail."""
    step = max(1, min(4, min(picture_rgb.shape[:2]) // _GRID))
    red, green, blue = (picture_rgb[::step, ::step, colour] for colour in range(3))
    grey = (red.astype(np.float32) + green + blue) / np.float32(3)  # as mean(axis=2), which takes nine times as long
    rows, columns = (max(1, side // _GRID) for side in grey.shape)
    usable = grey[: grey.shape[0] // rows * rows, : grey.shape[1] // columns * columns]
    blocks = usable.reshape(usable.shape[0] // rows, rows, usable.shape[1] // columns, columns)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)
