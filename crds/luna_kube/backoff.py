"""How long to wait before the next attempt of an endless loop: exponential, with jitter, reset by success."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffSettings:
    """The waits grow from `initial_s` by `factor` up to `limit_s`; each is drawn from the whole of it (full jitter).

    That keeps a hundred clients that lost the same server from coming back in the same moment. Half of `initial_s` is
    waited in any case, so that no loop runs hot.

    Source: M. Brooker, "Exponential Backoff And Jitter", 2015.
    """

    initial_s: float = 0.2
    limit_s: float = 30.0
    factor: float = 2.0


class Backoff:
    """The state of one loop."""

    def __init__(self, settings: BackoffSettings) -> None:
        self._settings = settings
        self._next_s = settings.initial_s

    def reset(self) -> None:
        """Begin again with the shortest wait: the last attempt was good for something."""
        self._next_s = self._settings.initial_s

    def next_s(self) -> float:
        """Return the seconds to wait now, and make the following wait longer."""
        current_s = self._next_s
        self._next_s = min(self._settings.limit_s, current_s * self._settings.factor)
        return random.uniform(self._settings.initial_s / 2, current_s)  # noqa: S311  jitter, not a secret
