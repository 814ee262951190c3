"""Counters of one stream: written by its threads, read by whoever shows them.

Each field has one writer, and a reader may see it a frame late; no lock is needed for that.
"""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field

_RATE_WINDOW = 50
"""Frames over which the rate is taken."""
LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Upper bounds of the classes in which latencies are counted; the last class has none."""


@dataclass(slots=True)
class StreamStats:
    """What happened in a stream since it began."""

    frames_read: int = 0
    frames_analysed: int = 0
    frames_searched: int = 0
    """Of those analysed: in which faces or bodies were looked for."""
    frames_dropped: int = 0
    source_errors: int = 0
    detection_count: int = 0
    """In the frame searched last."""
    detections_total: int = 0
    live_tracks: int = 0
    tracks_total: int = 0
    """Confirmed tracks that have ended."""
    progress_s: float = 0.0
    """Position of the frame analysed last, seconds since the start."""
    is_black: bool = False
    """The camera shows nothing."""
    is_frozen: bool = False
    """The camera shows one picture all the time."""
    _analysed_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RATE_WINDOW))
    _latency_counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BUCKETS_S) + 1))
    _latency_sum_s: float = 0.0

    def analysed(self, pts_s: float, latency_s: float) -> None:
        """Count a frame.

        Args:
            pts_s: its position.
            latency_s: from its decoding to the end of its analysis.
        """
        self._latency_counts[bisect_left(LATENCY_BUCKETS_S, latency_s)] += 1
        self._latency_sum_s += latency_s
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

    @property
    def latencies(self) -> tuple[list[tuple[str, float]], float]:
        """Return how many latencies were not above each bound, as Prometheus wants it, and their sum in seconds."""
        bounds = [*(str(bound) for bound in LATENCY_BUCKETS_S), "+Inf"]
        totals = itertools.accumulate(self._latency_counts)
        return [(bound, float(total)) for bound, total in zip(bounds, totals, strict=True)], self._latency_sum_s
