"""Events that wait for delivery: bounded, and shared by analysis threads (which add) and the delivery (which removes).

It lives in memory: what has not been delivered when the process is killed is lost. Everything that knows where events
wait is in this file, so that keeping them on disk is a change of this file alone.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from luna_processor.events import ShotEvent

_POLL_S = 0.2
"""How often a waiting thread looks whether its stream was stopped meanwhile."""


class Outbox:
    """Counts and bounds the events on their way."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._pending: Counter[str] = Counter()
        self._changed = threading.Condition()

    @property
    def size(self) -> int:
        """Events that wait."""
        return self._pending.total()

    def pending(self, stream_id: str) -> int:
        """Return how many events of a stream wait."""
        return self._pending[stream_id]

    def add(self, event: ShotEvent, wait_unless: Callable[[], bool] | None) -> bool:
        """Accept an event; returns False when there is no room for it.

        Args:
            event: what waits from now on.
            wait_unless: None refuses at once when full (live: pictures do not wait); otherwise the caller waits for
                room until this returns True.
        """
        with self._changed:
            while self._pending.total() >= self._capacity:
                if wait_unless is None or wait_unless():
                    return False
                self._changed.wait(_POLL_S)
            self._pending[event.stream_id] += 1
            return True

    def done(self, event: ShotEvent) -> None:
        """Forget an event that was delivered or given up."""
        with self._changed:
            self._pending[event.stream_id] -= 1
            if not self._pending[event.stream_id]:
                del self._pending[event.stream_id]
            self._changed.notify_all()

    def wait_empty(self, stream_id: str, unless: Callable[[], bool]) -> bool:
        """Wait until no event of a stream waits; returns False when `unless` became True before."""
        with self._changed:
            while self._pending[stream_id]:
                if unless():
                    return False
                self._changed.wait(_POLL_S)
            return True
