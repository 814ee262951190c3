"""Time within a source: seconds that begin with 0 and never go back, whatever the time stamps do.

Cameras leave time stamps out, count them from anywhere, set their clocks, or begin anew without a word. Tracks, search
periods and silences need a clock that goes on all the while.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_STEP_BACK_S = 1.0
"""A step back within this is a fault of the recording, time stands still over it; beyond it another count began."""
MAX_LIVE_GAP_S = 10.0
"""A live source that jumps ahead further than this, and than the clock on the wall, had its clock set."""


@dataclass(slots=True)
class Timeline:
    """The time of one connection.

    Args:
        interval_s: between two frames, where nothing better is known.
        is_live: whether a frame arrives when it was taken, so that the clock on the wall tells about gaps.
        has_stamps: whether the time stamps mean anything: bare JPEGs, for one, carry none, and FFmpeg invents some.
        origin_s: time stamp of the beginning; None takes that of the first frame.
    """

    interval_s: float
    is_live: bool
    has_stamps: bool = True
    origin_s: float | None = None
    _last_s: float | None = None
    _last_arrival_s: float = 0.0

    def at(self, stamp_s: float | None, arrival_s: float) -> float:
        """Return the time of the next frame.

        Args:
            stamp_s: its time stamp; None if it has none.
            arrival_s: a clock that never goes back.
        """
        waited_s = arrival_s - self._last_arrival_s
        self._last_arrival_s = arrival_s
        if stamp_s is None or not self.has_stamps:
            self._last_s = 0.0 if self._last_s is None else self._last_s + self._usual_step(waited_s)
            return self._last_s
        if self.origin_s is None:
            self.origin_s = stamp_s - (0.0 if self._last_s is None else self._last_s + self._usual_step(waited_s))
        now_s = stamp_s - self.origin_s
        if self._last_s is not None and self._is_another_count(now_s - self._last_s, waited_s):
            now_s = self._last_s + self._usual_step(waited_s)
            self.origin_s = stamp_s - now_s
        self._last_s = max(now_s, self._last_s if self._last_s is not None else 0.0)
        return self._last_s

    def _usual_step(self, waited_s: float) -> float:
        return waited_s if self.is_live else self.interval_s

    def _is_another_count(self, step_s: float, waited_s: float) -> bool:
        if step_s < -MAX_STEP_BACK_S:
            return True
        return self.is_live and step_s > MAX_LIVE_GAP_S + waited_s
