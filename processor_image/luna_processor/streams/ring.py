"""Hand frames from the decoding thread to the analysing one.

A live source overwrites the oldest frame when the analysis is slow (the newest picture is the one that matters, and
memory stays bounded); a file waits instead, since each of its frames is analysed.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

_Item = TypeVar("_Item")


class FrameRing(Generic[_Item]):
    """A bounded buffer between one writer and one reader.

    Args:
        capacity: items held at most.
        drops_oldest: whether a full ring loses its oldest item (live) or makes the writer wait (file).
    """

    def __init__(self, capacity: int, *, drops_oldest: bool) -> None:
        self._items: deque[_Item] = deque()
        self._capacity = capacity
        self._drops_oldest = drops_oldest
        self._changed = threading.Condition()
        self._is_finished = False
        self._is_stopped = False
        self._error: BaseException | None = None
        self.dropped_count = 0

    def put(self, item: _Item) -> bool:
        """Add an item; returns False when the reader has gone and the writer may stop."""
        with self._changed:
            if self._drops_oldest:
                while len(self._items) >= self._capacity:
                    self._items.popleft()
                    self.dropped_count += 1
            else:
                self._changed.wait_for(lambda: len(self._items) < self._capacity or self._is_stopped)
            if self._is_stopped:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> _Item | None:
        """Return the oldest item, waiting for one; None at the end.

        Raises:
            BaseException: what the writer gave to `finish`, after the last item.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_finished or self._is_stopped)
            if self._is_stopped:
                return None
            if self._items:
                item = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                raise self._error
            return None

    def keep_all(self) -> None:
        """Make the writer wait from now on, where the ring would have dropped (writer, before its first item)."""
        self._drops_oldest = False

    def is_closed(self) -> bool:
        """Return whether the reader has gone."""
        return self._is_stopped

    def finish(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes (writer)."""
        with self._changed:
            self._is_finished, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        """Throw away what is held and release both sides (reader, or whoever ends the stream)."""
        with self._changed:
            self._is_stopped = True
            self._items.clear()
            self._changed.notify_all()
