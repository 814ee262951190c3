"""Copies the history of streams into the log, while this replica leads.

What is committed may be copied again, after an answer was lost or by the next leader; the tables hold it once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

from luna_api_shim.errors import LogsUnavailable
from luna_api_shim.logs.backlog import Backlog, Copied
from luna_api_shim.logs.rows import LogRows
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.store import Store
from luna_kube.backoff import Backoff, BackoffSettings

log = logging.getLogger(__name__)

_BATCH: Final = 500
_GATHERING_S: Final = 0.05
"""What happens within this time is copied together."""
_RETRIES: Final = BackoffSettings(initial_s=0.2, limit_s=5.0)


class Copier:
    """See the module.

    Args:
        namespace: the only one whose streams are served, None for all.
        now: returns the time.
    """

    def __init__(self, store: Store, rows: LogRows, *, namespace: str | None, now: Callable[[], datetime]) -> None:
        self._store = store
        self._rows = rows
        self._namespace = namespace
        self._now = now
        self.backlog = Backlog()
        self.has_led = False
        """Whether this replica has ever copied: then its database knows the log, even if nobody else has it."""
        self._is_in_term = False
        self._has_begun = False
        self._turn = asyncio.Lock()
        self._failures = 0
        self._trouble = ""
        self._news = asyncio.Event()
        self._lost_before = 0
        store.subscribe(self._observe)

    def begin_term(self) -> None:
        """Keep what has to be copied from now on: this replica leads."""
        self.backlog.keep(self._store.catalogue)
        self._is_in_term = True

    def end_term(self) -> None:
        """Leave the rest to the next leader."""
        self._is_in_term = self._has_begun = False
        self.backlog.rest()

    async def run(self) -> None:
        """Copy until cancelled; a database that is away only makes it wait."""
        backoff, is_away = Backoff(_RETRIES), False
        while True:
            self._news.clear()
            try:
                await self.flush()
            except LogsUnavailable as e:
                if not is_away:
                    log.warning("the log cannot be copied, trying on: %s", e)
                is_away = True
                await asyncio.sleep(backoff.next_s())
                continue
            if is_away:
                log.info("the log is copied again")
            is_away = False
            backoff.reset()
            await self._news.wait()
            await asyncio.sleep(_GATHERING_S)

    async def flush(self, *, with_blank: bool = False) -> None:
        """Return when everything is copied that was known here at the time of the call; nothing outside of a term.

        Args:
            with_blank: include streams without a status: it is not written yet, and known already.

        Raises:
            LogsUnavailable: the database does not answer.
        """
        failures = self._failures
        async with self._turn:
            if self._failures != failures:  # while waiting: else everybody would wait for a failure of his own
                raise LogsUnavailable(self._trouble)
            if not self._is_in_term:
                return
            try:
                if not self._has_begun:
                    await self._begin()
                if with_blank:
                    for entry in self._store.catalogue.blank():
                        self.backlog.admit(entry, entry.record.history)
                while batch := self.backlog.next(_BATCH):
                    await self._rows.add(batch)
                    self.backlog.done(batch)
            except LogsUnavailable as e:
                self._has_begun = False  # what it knows may be another database when it comes back
                self._failures += 1
                self._trouble = str(e)
                raise
        self._tell_of_losses()

    async def _begin(self) -> None:
        """Compare what was copied with what is there: streams may have come and gone while nobody looked."""
        present = {entry.stream.uid for entry in self._store.catalogue}
        copied = await self._rows.copied(present | set(self.backlog.departed), self._namespace)
        vanished = [one for one in copied.values() if not one.is_deleted and self._is_gone(one)]
        self.backlog.begin(copied, vanished, self._now())
        self._has_begun = self.has_led = True

    def _is_gone(self, one: Copied) -> bool:
        if self._namespace not in (None, one.stream.namespace):
            return False
        return not self._store.exists(one.stream.namespace, one.stream.name, one.stream.uid)

    def _observe(self, old: Entry | None, new: Entry | None) -> None:
        if old is not None and (new is None or new.stream.uid != old.stream.uid):
            stream = old.stream
            if not self._store.exists(stream.namespace, stream.name, stream.uid):  # else it is only not understood
                self.backlog.depart(old, self._now())
        if new is not None and new.stream.status is not None:
            self.backlog.admit(new, new.stream.status.history)
        self._news.set()

    def _tell_of_losses(self) -> None:
        """Say once, when all is copied, how much could not be."""
        lost = self.backlog.lost - self._lost_before
        self._lost_before = self.backlog.lost
        if lost:
            log.warning(
                "%d entries are missing in the log: more happened to some streams while nobody copied than their "
                "resources keep",
                lost,
            )
