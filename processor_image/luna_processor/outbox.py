"""Events that wait for delivery: bounded, and shared by analysis threads (which add) and the delivery (which removes).

It lives in memory: what has not been delivered when the process is killed is lost. Everything that knows where events
wait is in this file, so that keeping them on disk is a change of this file alone.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

from luna_processor.events import ShotEvent

_POLL_S = 0.2
"""How often a waiting thread looks whether its stream was stopped meanwhile."""
_SHARE: Final = 4
"""A platform may have this many times as many events waiting as there is room left: alone four fifths of the whole, two
of them four ninths each. One that is down so always leaves room for others. (The "dynamic threshold" by which switches
share their buffers: Choudhury and Hahne, 1998.)"""


class Account:
    """What one run of a stream has on its way, and what became of it.

    The next run of the same stream has an account of its own: what the last one lost is not its loss.
    """

    def __init__(self) -> None:
        self.waiting = 0
        """Events on their way; kept by the outbox."""
        self._lock = threading.Lock()
        self._trouble: str | None = None
        self._lost = 0
        self._last_reason = ""

    @property
    def trouble(self) -> str | None:
        """Why events are not delivered at present, if so.

        The text stays the same while the trouble does: it is reported, and a change would be written to the cluster.
        """
        return self._trouble if self.waiting else None

    @property
    def losses(self) -> str | None:
        """How many events were not delivered, and why the last of them was not."""
        with self._lock:
            if not self._lost:
                return None
            events = "1 event was" if self._lost == 1 else f"{self._lost} events were"
            return f"{events} not delivered; the last reason: {self._last_reason}"

    def meet(self, trouble: str | None) -> bool:
        """Take down what is in the way of the delivery, None for nothing; tell whether that is new."""
        is_new = trouble != self._trouble
        self._trouble = trouble
        return is_new

    def lose(self, reason: str) -> None:
        """Count an event that will not be delivered; called by any thread."""
        with self._lock:
            self._lost += 1
            self._last_reason = reason


class Outbox:
    """Counts and bounds the events on their way."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: Counter[str] = Counter()
        """By the origin of the platform."""
        self._changed = threading.Condition()

    @property
    def size(self) -> int:
        """Events that wait."""
        return self._waiting.total()

    def add(self, event: ShotEvent, account: Account, wait_unless: Callable[[], bool] | None) -> bool:
        """Accept an event; returns False when there is no room for it.

        Args:
            event: what waits from now on.
            account: of the run it comes from.
            wait_unless: None refuses at once when there is no room (live: pictures do not wait); otherwise the caller
                waits for it until this returns True.
        """
        with self._changed:
            while not self._has_room(event.target.origin):
                if wait_unless is None or wait_unless():
                    return False
                self._changed.wait(_POLL_S)
            self._waiting[event.target.origin] += 1
            account.waiting += 1
            return True

    def done(self, event: ShotEvent, account: Account) -> None:
        """Forget an event that was delivered or given up."""
        with self._changed:
            account.waiting -= 1
            self._waiting[event.target.origin] -= 1
            if not self._waiting[event.target.origin]:
                del self._waiting[event.target.origin]
            self._changed.notify_all()

    def wait_empty(self, account: Account, unless: Callable[[], bool]) -> bool:
        """Wait until no event of a run waits; returns False when `unless` became True before."""
        with self._changed:
            while account.waiting:
                if unless():
                    return False
                self._changed.wait(_POLL_S)
            return True

    def _has_room(self, origin: str) -> bool:
        left = self._capacity - self._waiting.total()
        return self._waiting[origin] < _SHARE * left
