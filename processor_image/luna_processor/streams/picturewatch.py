"""Notice that a camera shows nothing: its picture is black, or it has been the same one for a while.

A covered lens, a dead sensor and an encoder that repeats its last frame all look like a healthy connection. Samples on
a grid are compared from keyframe to keyframe. Each is compressed by itself, so before a real camera most samples differ
by a level or more: noise of half a level survives every usual compression. Where the same picture comes in again, each
keyframe is nearer to the one before. (The frames between them tell nothing: an encoder leaves out what little changes,
noise or none.) Another picture, be it the digits of a clock in the corner, is alive whatever the noise.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from luna_processor.frames import Frame

AFTER_S = 10.0
"""A fault that lasts this long is told."""
EVERY_S = 0.5
"""Time between two looks."""
STILL_SHARE = 0.35
"""Most samples that change from keyframe to keyframe of a picture that is repeated. Measured with x264 (two presets,
quality 20 to 34, 5 and 25 frames a second): less from the sixth keyframe on, often 0, where the input stood still; 0.51
and more where it had noise of half a level."""
OTHER_LEVEL = 40
"""Levels (0 to 255) by which a sample is another one than before, whatever the compression did."""
OTHER_SHARE = 0.0002
"""Share of such samples that makes another picture: the digits of a clock."""
BLACK_LEVEL = 28
"""Brightest level of a picture that counts as black, but for two percent of it; most videos call black 16."""
_FEWEST = 2
"""Comparisons without which nothing is said: a camera that sends a keyframe in 10 s is judged after 20."""
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
        self._keyframe_due_s = 0.0
        self._keyframe: _Samples | None = None
        self._anchor: _Samples | None = None
        self._still_since_s = 0.0
        self._alike_count = 0
        """Comparisons since the picture stands still."""
        self._black_since_s: float | None = None
        self.fault: PictureFault | None = None
        """What is wrong now."""

    def look(self, frame: Frame) -> None:
        """Take in a frame; most are passed over."""
        now_s = frame.pts_s
        is_keyframe = frame.is_keyframe and now_s >= self._keyframe_due_s
        if now_s < self._due_s and not is_keyframe:
            return
        self._due_s = now_s + EVERY_S
        samples = _samples(frame)
        if float(np.percentile(samples, 98)) > BLACK_LEVEL:
            self._black_since_s = None
        elif self._black_since_s is None:
            self._black_since_s = now_s
        self._compare(samples, now_s, is_keyframe=is_keyframe)
        if self._black_since_s is not None and now_s - self._black_since_s >= AFTER_S:
            self.fault = "black"
        else:
            self.fault = "frozen" if self._notices_frozen and self._has_stopped(now_s) else None

    def _compare(self, samples: _Samples, now_s: float, *, is_keyframe: bool) -> None:
        anchor, keyframe = self._anchor, self._keyframe
        if anchor is None or anchor.shape != samples.shape or _is_other(anchor, samples):
            self._anchor, self._keyframe = samples, None
            self._still_since_s, self._alike_count = now_s, 0
        if not is_keyframe:
            return
        self._keyframe, self._keyframe_due_s = samples, now_s + EVERY_S
        if keyframe is not None and keyframe.shape == samples.shape:
            self._alike_count += 1
            if float(np.count_nonzero(samples != keyframe)) / samples.size > STILL_SHARE:
                self._still_since_s, self._alike_count = now_s, 0

    def _has_stopped(self, now_s: float) -> bool:
        return now_s - self._still_since_s >= AFTER_S and self._alike_count >= _FEWEST


def _is_other(anchor: _Samples, now: _Samples) -> bool:
    """Tell whether this is another picture than the one that the stillness began with."""
    return float(np.count_nonzero(np.abs(now - anchor) > OTHER_LEVEL)) / now.size > OTHER_SHARE


def _samples(frame: Frame) -> _Samples:
    """Return the brightness on a grid, int16; a copy, so that the frame can go."""
    step = max(1, frame.width // _COLUMNS)
    return frame.luma()[::step, ::step].astype(np.int16)
