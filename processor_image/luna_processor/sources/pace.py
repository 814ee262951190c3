"""When the frames of a source that comes in pieces are handed on: about as fast as they were taken.

HLS brings seconds of video at once and then nothing for as long; a file behind HTTP comes as fast as the network. A
ring that keeps the newest frames would lose nearly all of either.
"""

from __future__ import annotations

from dataclasses import dataclass

SPEED = 1.1
"""A little faster than life: a camera whose clock is ahead of ours never leaves a backlog."""
MAX_WAIT_S = 1.0
"""Longest wait for one frame; a gap in the time stamps is not sat through."""


@dataclass(slots=True)
class Pace:
    """The pace of one connection."""

    _pts_s: float = 0.0
    _at_s: float | None = None

    def wait_s(self, pts_s: float, now_s: float) -> float:
        """Return how long the next frame is held back, seconds.

        Args:
            pts_s: of the frame.
            now_s: a clock that never goes back.
        """
        if self._at_s is not None:
            wait_s = self._at_s + (pts_s - self._pts_s) / SPEED - now_s
            if 0 < wait_s <= MAX_WAIT_S:
                return wait_s
        # The first frame, a late one, or one after a gap: the count begins with it.
        self._pts_s, self._at_s = pts_s, now_s
        return 0.0
