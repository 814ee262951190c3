"""How long a container that ended waits before it is started again.

Kubernetes restarts at once, then after 10 s, doubling up to 300 s, and forgets after ten quiet minutes. A killed
processor must be back within seconds here, so the same rule runs with smaller figures: at once, then 0.5 s doubling
to 10 s, forgotten after a run of 20 s (twice the longest wait, as there).
"""

from __future__ import annotations

from dataclasses import dataclass

BASE_S = 0.5
LONGEST_S = 10.0
FORGOTTEN_AFTER_S = 2 * LONGEST_S


@dataclass(frozen=True, slots=True)
class RestartBackoff:
    """The waiting time of the next restart, in seconds; 0 for the first."""

    delay_s: float = 0.0

    def after_run(self, ran_for_s: float) -> RestartBackoff:
        """Return the state for the restart after a run of this length; its `delay_s` is what to wait now."""
        return RestartBackoff() if ran_for_s >= FORGOTTEN_AFTER_S else self

    def next(self) -> RestartBackoff:
        """Return the state for the restart after this one."""
        return RestartBackoff(min(max(self.delay_s * 2, BASE_S), LONGEST_S))
