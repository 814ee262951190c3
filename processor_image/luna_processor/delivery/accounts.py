"""What a run of a stream has on its way to its platform, and what became of it."""

from __future__ import annotations

import threading


class Account:
    """The balance of one run.

    The next run of the same stream has an account of its own: what the last one lost is not its loss.

    Args:
        run_number: counts the runs of this version of the stream that were finished before.
    """

    def __init__(self, run_number: int = 0) -> None:
        self.run_number = run_number
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
