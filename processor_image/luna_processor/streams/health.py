"""When a source that fails is tried again and when it is given up: the healthcheck policy as a pure state machine.

Errors are counted within a sliding period. Below the limit the stream waits and reconnects; at the limit it fails.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MIN_RETRY_DELAY_S = 0.1
"""Shortest pause before another attempt: a stream that asks for none would do nothing but fail."""
_MAX_MOMENTS = 4096
"""Errors whose moments are kept one by one; of more, two neighbours at a time become one, the later."""


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """Parameters of `healthcheck`, in seconds."""

    max_error_count: int = 10
    """Errors within `period_s` at which the stream fails; 1 or less fails at the first."""
    period_s: float = 3600.0
    retry_delay_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Wait, then connect again."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The limit is reached: the stream fails."""

    error_count: int


Verdict = Retry | GiveUp


@dataclass(slots=True)
class Health:
    """The errors of one stream."""

    policy: HealthPolicy
    _moments: deque[tuple[float, int]] = field(default_factory=deque)
    """When errors happened, and how many at each moment."""

    def failed(self, now_s: float) -> Verdict:
        """Take in an error and say what to do.

        Args:
            now_s: a clock that never goes back.
        """
        self._moments.append((now_s, 1))
        while now_s - self._moments[0][0] > self.policy.period_s:
            self._moments.popleft()
        if len(self._moments) > _MAX_MOMENTS:
            self._merge_neighbours()
        count = sum(errors for _, errors in self._moments)
        if count >= self.policy.max_error_count:
            return GiveUp(count)
        return Retry(max(MIN_RETRY_DELAY_S, self.policy.retry_delay_s))

    def _merge_neighbours(self) -> None:
        """Halve what is kept; no error is forgotten before its time, some by a half thousandth of the period after."""
        moments = list(self._moments)
        pairs = zip(moments[::2], moments[1::2], strict=False)
        rest = moments[len(moments) // 2 * 2 :]
        self._moments = deque([(later, first + second) for (_, first), (later, second) in pairs] + rest)
