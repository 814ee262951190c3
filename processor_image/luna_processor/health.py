"""When a source that fails is tried again and when it is given up: the healthcheck policy as a pure state machine.

Errors are counted within a sliding period. Below the limit the stream waits and reconnects; at the limit it fails.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


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
    _error_times_s: deque[float] = field(default_factory=deque)

    def failed(self, now_s: float) -> Verdict:
        """Take in an error and say what to do.

        Args:
            now_s: a clock that never goes back.
        """
        self._error_times_s.append(now_s)
        while self._error_times_s and now_s - self._error_times_s[0] > self.policy.period_s:
            self._error_times_s.popleft()
        count = len(self._error_times_s)
        if count >= self.policy.max_error_count:
            return GiveUp(count)
        return Retry(max(0.0, self.policy.retry_delay_s))
