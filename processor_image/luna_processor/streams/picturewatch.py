"""Notice that a camera shows nothing: its picture is black, or it has been the same one for a while.

A covered lens, a dead sensor and an encoder that repeats its last frame all look like a healthy connection. Twice a
second two frames in a row are compared on a grid of samples. A still scene before a real camera differs in a good part
of a percent of them, since noise survives every compression; a picture that is sent again differs in next to none. The
frames at the ends of a group of pictures differ in either case, so the median of many comparisons decides, and a clock
in the corner is enough to be alive.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import Literal

import numpy as np
import numpy.typing as npt

from luna_processor.frames import Frame

AFTER_S = 10.0
"""A fault that lasts this long is told."""
EVERY_S = 0.5
"""Time between two comparisons."""
STILL_SHARE = 0.0003
"""Median share of samples that change between two frames of a picture that is repeated. Measured with x264: 0.0001 and
less where the input stood still, 0.001 and more where it had noise of one level."""
MOVED_SHARE = 0.01
"""A comparison that changes more than this ends the stillness at once."""
OTHER_LEVEL = 40
"""Levels (0 to 255) by which a sample is another one than before, whatever the compression did."""
OTHER_SHARE = 0.0002
"""Share of such samples that makes another picture: the digits of a clock."""
BLACK_LEVEL = 28
"""Brightest level of a picture that counts as black, but for two percent of it; most videos call black 16."""
_COLUMNS = 160

PictureFault = Literal["black", "frozen"]
TEXTS: dict[PictureFault, str] = {
    "black": f"the picture is black for more than {AFTER_S:g} s",
    "frozen": f"the picture is frozen for more than {AFTER_S:g} s",
}
_Samples = npt.NDArray[np.int16]


class PictureWatch:
    """Looks at the frames of one connection to a camera.

    Args:
        notices_frozen: whether a picture that does not change is a fault; not where stills are sent one by one.
    """

    def __init__(self, *, notices_frozen: bool = True) -> None:
        self._notices_frozen = notices_frozen
        self._due_s = 0.0
        self._before: _Samples | None = None
        self._anchor: _Samples | None = None
        needed = round(AFTER_S / EVERY_S)
        self._changes: deque[float] = deque(maxlen=needed)
        self._black_since_s: float | None = None
        self.fault: PictureFault | None = None
        """What is wrong now."""

    def look(self, frame: Frame) -> None:
        """Take in a frame; most are passed over."""
        if frame.pts_s < self._due_s:
            return
        samples = _samples(frame)
        if self._before is None or self._before.shape != samples.shape:
            self._before = samples
            return
        before, self._before = self._before, None
        self._due_s = frame.pts_s + EVERY_S
        is_black = float(np.percentile(samples, 98)) <= BLACK_LEVEL
        if not is_black:
            self._black_since_s = None
        elif self._black_since_s is None:
            self._black_since_s = frame.pts_s
        has_stopped = self._has_stopped(before, samples)
        if self._black_since_s is not None and frame.pts_s - self._black_since_s >= AFTER_S:
            self.fault = "black"
        else:
            self.fault = "frozen" if self._notices_frozen and has_stopped else None

    def _has_stopped(self, before: _Samples, now: _Samples) -> bool:
        change = float(np.count_nonzero(now != before)) / now.size
        anchor = self._anchor
        if change > MOVED_SHARE or anchor is None or anchor.shape != now.shape or _is_other(anchor, now):
            self._anchor = now
            self._changes.clear()
        self._changes.append(change)
        return len(self._changes) == self._changes.maxlen and median(self._changes) <= STILL_SHARE


def _is_other(anchor: _Samples, now: _Samples) -> bool:
    """Tell whether this is another picture than the one that the stillness began with."""
    return float(np.count_nonzero(np.abs(now - anchor) > OTHER_LEVEL)) / now.size > OTHER_SHARE


def _samples(frame: Frame) -> _Samples:
    """Return the brightness on a grid, int16; a copy, so that the frame can go."""
    step = max(1, frame.width // _COLUMNS)
    return frame.luma()[::step, ::step].astype(np.int16)
