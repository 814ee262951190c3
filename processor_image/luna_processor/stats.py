"""Counters of one stream: written by its threads, read by whoever shows them.

Each field has one writer, and a reader may see it a frame late; no lock is needed for that.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field

_RATE_WINDOW = 50
"""Frames over which the rate is taken."""


@dataclass(slots=True)
class StreamStats:
    """What happened in a stream since it began."""

    frames_read: int = 0
    frames_analysed: int = 0
    frames_dropped: int = 0
    source_errors: int = 0
    detection_count: int = 0
    """In the frame analysed last."""
    detections_total: int = 0
    live_tracks: int = 0
    tracks_total: int = 0
    """Confirmed tracks that have ended."""
    progress_s: float = 0.0
    """Position of the frame analysed last, seconds since the start."""
    _analysed_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW))

    def analysed(self, pts_s: float) -> None:
        """Count a frame."""
        self.frames_analysed += 1
        self.progress_s = pts_s
        self._analysed_at_s.append(time.monotonic())

    @property
    def frames_per_second(self) -> float:
        """Rate of analysis of late; falls towards 0 when no frame comes."""
        times = list(self._analysed_at_s)
        if len(times) < 2:
            return 0.0
        return (len(times) - 1) / max(1e-6, time.monotonic() - times[0])
