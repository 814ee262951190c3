"""Watches over the handlers of streams in progress: one that does not report for too long is lost.

Times of reports live in this process only: no heartbeat is ever written. A replica that begins to lead therefore
gives every handler one whole period of grace. Times are monotonic; if the process itself stood still (suspended,
starved), nobody is blamed for that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from luna_api_shim.concurrency import for_each
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records
from luna_api_shim.storage.store import Store
from luna_api_shim.troubles import Troubles
from luna_kube import ApiError
from luna_streams.errors import StreamNotFound
from luna_streams.lifecycle import HandlerLost, advance
from luna_streams.stream import StreamState, StreamStatus

log = logging.getLogger(__name__)

_TICK_S: Final = 1.0
_STOOD_STILL_S: Final = 3.0


class HandlerWatch:
    """Remembers when each stream in progress was last reported on.

    Args:
        period_s: silence after which a handler is lost.
        clock: monotonic seconds.

    Attributes:
        is_leader: asked right before each write.
    """

    is_leader: Callable[[], bool] = staticmethod(lambda: True)

    def __init__(
        self,
        store: Store,
        records: Records,
        *,
        period_s: float,
        parallel_writes: int = 16,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._records = records
        self._period_s = period_s
        self._parallel_writes = parallel_writes
        self._clock = clock
        self._heard: dict[str, float] = {}
        self._began = clock()
        self._troubles = Troubles(log, "has lost its handler, which cannot be written yet")

    @property
    def is_settling(self) -> bool:
        """Whether this replica leads for less than a period, so that its copy may lack what another did before."""
        return self._clock() - self._began < self._period_s

    def heard(self, stream_id: str) -> None:
        """Note that the handler of a stream is alive."""
        self._heard[stream_id] = self._clock()

    def begin(self) -> None:
        """Begin a term as leader: everybody gets a whole period."""
        self._heard.clear()
        self._began = self._clock()

    def overdue(self) -> list[Entry]:
        """Return the streams whose handler is silent for too long; begin to watch over those that are new."""
        now = self._clock()
        in_progress = self._store.catalogue.with_status(StreamState.IN_PROGRESS)
        self._heard = {entry.stream_id: self._heard.get(entry.stream_id, now) for entry in in_progress}
        return [entry for entry in in_progress if now - self._heard[entry.stream_id] >= self._period_s]

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            before = self._clock()
            await asyncio.sleep(_TICK_S)
            if self._clock() - before > _STOOD_STILL_S:
                log.warning("this process stood still for %.0f s: no handler is blamed", self._clock() - before)
                self.begin()
            await self.give_up()

    async def give_up(self) -> None:
        """Take streams from handlers that are silent for too long; what cannot be written is left to the next time."""
        await for_each(self.overdue(), self._give_up, limit=self._parallel_writes)
        self._troubles.tell()

    async def _give_up(self, entry: Entry) -> None:
        silent_since = self._heard.get(entry.stream_id)

        def may_live() -> bool:
            """Tell whether it reported meanwhile, perhaps to somebody else who leads now."""
            return self._heard.get(entry.stream_id) != silent_since or not self.is_leader()

        try:
            await lose(self._records, entry, f"The handler did not report for {self._period_s:g} s", unless=may_live)
        except ApiError as e:
            self._troubles.note(entry.stream_id, e)


async def lose(records: Records, entry: Entry, reason: str, *, unless: Callable[[], bool] = lambda: False) -> None:
    """Take a stream away from the process that holds it, unless it does not hold it any more.

    Args:
        records: writes the status.
        entry: the stream as it was when that was decided.
        reason: for its last error and its log.
        unless: asked again right before each write.

    Raises:
        ApiError: the API server did not take the write.
    """
    holder = entry.record.version, entry.record.processor

    def decide(_current: Entry, record: StreamStatus, now: datetime) -> StreamStatus:
        if unless() or (record.version, record.processor) != holder:
            return record
        return advance(record, HandlerLost(reason), now).record

    try:
        after = await records.move(entry, decide)
    except StreamNotFound:
        return
    if after.record.status != StreamState.IN_PROGRESS:
        log.info("stream %s: %s", entry.stream_id, reason)
