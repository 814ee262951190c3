"""The thread that writes to the spool: what has gathered since the last time, in as few transactions as may be.

So a slow disk makes transactions larger, not analysing threads slower. What the disk does not take stays here and is
tried again; changes that make room do not wait for those that need it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from luna_processor.delivery.spool import Spool, SpoolFailed
from luna_processor.delivery.spool_records import Change, SettleEvent, StoreEvent
from luna_processor.delivery.waiting import WaitingEvent

log = logging.getLogger(__name__)

_RETRY_S: Final = 1.0
"""Pause after the disk took nothing."""
_IDLE_S: Final = 5.0
"""After this long without a change an empty spool is made small."""
_GROUP_BYTES: Final = 2**20
"""That go into one transaction, or one event that is larger."""
_CHANGE_BYTES: Final = 16384
"""That a change may add to the log: a page of the database."""

Task = WaitingEvent | Change
"""An event that is to be stored, or a change."""


class SpoolWriter:
    """Writes for the outbox.

    Args:
        spool: what is written to; closed with the writer.
        on_stored: called with the events that the spool has from now on.
        on_tried: called with events when it was tried to store them, whether that worked or not.
    """

    def __init__(
        self,
        spool: Spool,
        on_stored: Callable[[Sequence[WaitingEvent]], None],
        on_tried: Callable[[Sequence[WaitingEvent]], None],
    ) -> None:
        self.failures = 0
        """Transactions that the disk did not take."""
        self._spool = spool
        self._on_stored = on_stored
        self._on_tried = on_tried
        self._changed = threading.Condition()
        self._news: list[Task] = []
        self._left: list[Task] = []
        """What the disk has not taken yet; only the thread uses it."""
        self._is_failing = False
        self._retry_at_s = 0.0
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def put(self, task: Task) -> None:
        """Have something written; returns at once."""
        with self._changed:
            self._news.append(task)
            self._changed.notify()

    def close(self) -> None:
        """Write what is left, once more, and close the spool."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._spool.close()

    def _run(self) -> None:
        is_closed = False
        while not is_closed:
            with self._changed:
                if not self._news and not self._is_closed:
                    self._changed.wait(self._pause_s())
                news, self._news = self._news, []
                is_closed = self._is_closed
            try:
                self._take_in(news, is_closed=is_closed)
            except Exception:  # a bug must not stop the delivery: what could not be written goes out from memory
                log.exception("the spool failed")
                self._on_tried(_events(news))

    def _pause_s(self) -> float:
        return max(0.0, self._retry_at_s - time.monotonic()) if self._is_failing else _IDLE_S

    def _take_in(self, news: Sequence[Task], *, is_closed: bool) -> None:
        if self._is_failing and not is_closed and time.monotonic() < self._retry_at_s:
            self._left += news
        elif news or self._left:
            self._write([*self._left, *news])
        elif not is_closed:
            self._shrink()
        self._on_tried(_events(news))

    def _write(self, tasks: Sequence[Task]) -> None:
        """Write what is still worth it; if the disk does not take all of it, then at least what needs no room."""
        was_failing, self._is_failing = self._is_failing, False
        self._left = self._attempt(_without_settled(tasks), is_news=not was_failing)
        if (events := _events(self._left)) and len(events) < len(self._left):
            others = [task for task in self._left if not isinstance(task, WaitingEvent)]
            self._left = [*events, *self._attempt(others, is_news=False)]
        if self._left:
            self._is_failing, self._retry_at_s = True, time.monotonic() + _RETRY_S
        elif was_failing:
            log.warning("the spool takes events again")

    def _attempt(self, tasks: Sequence[Task], *, is_news: bool) -> list[Task]:
        """Write as many as the disk takes, and return what is left."""
        written = 0
        for group in _groups(tasks):
            try:
                self._spool.write([change for task in group if (change := _change(task)) is not None])
            except SpoolFailed as e:
                self.failures += 1
                if is_news:
                    log.error("the spool takes nothing: %s; events are kept in memory meanwhile, as far as it goes", e)
                return list(tasks[written:])
            written += len(group)
            self._on_stored(_events(group))
        return []

    def _shrink(self) -> None:
        try:
            self._spool.shrink()
        except SpoolFailed as e:
            log.warning("the spool could not be made smaller: %s", e)


def _without_settled(tasks: Sequence[Task]) -> list[Task]:
    """Leave out events that went out from memory meanwhile, and that they are to be taken out again."""
    gone = {task.stored.number for task in _events(tasks) if task.is_settled}
    return [
        task
        for task in tasks
        if not (isinstance(task, WaitingEvent) and task.is_settled)
        and not (isinstance(task, SettleEvent) and task.event.number in gone and not task.is_remembered)
    ]


def _groups(tasks: Sequence[Task]) -> Iterator[Sequence[Task]]:
    """Cut what is to be written into transactions that find room on a disk that is nearly full."""
    group: list[Task] = []
    size_bytes = 0
    for task in tasks:
        group.append(task)
        size_bytes += _CHANGE_BYTES + (task.stored.size_bytes if isinstance(task, WaitingEvent) else 0)
        if size_bytes >= _GROUP_BYTES:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group


def _events(tasks: Sequence[Task]) -> list[WaitingEvent]:
    return [task for task in tasks if isinstance(task, WaitingEvent)]


def _change(task: Task) -> Change | None:
    """Return what is to be written; None for an event that the spool has."""
    if not isinstance(task, WaitingEvent):
        return task
    body = task.body  # looked at once: an event that went out from memory may be settled at any moment
    return None if body is None else StoreEvent(task.stored, body)
