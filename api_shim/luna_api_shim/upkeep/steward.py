"""Does for streams what the operator does, a moment later, where none runs or it is slow.

Workers from outside need no operator: a shim and an API server are enough for them. So the leader here gives streams
their first status, brings records in line with specs that were edited by hand, and restarts what failed, by the same
pure functions. Whoever is second finds nothing to do.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from luna_api_shim.concurrency import for_each
from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.records import Records, utc_now
from luna_api_shim.storage.store import Store
from luna_api_shim.troubles import Troubles
from luna_kube import ApiError
from luna_streams.autorestart import next_autorestart
from luna_streams.errors import StreamNotFound
from luna_streams.lifecycle import AutorestartTick, advance
from luna_streams.stream import StreamStatus

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5
_OPERATOR_FIRST: Final = timedelta(seconds=1)
_AT_A_TIME: Final = 500
_PARALLEL: Final = 8


class Steward:
    """Looks after the streams.

    Args:
        now: returns the time.
    """

    def __init__(self, store: Store, records: Records, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._records = records
        self._now = now
        self._edited: dict[str, tuple[int, datetime]] = {}
        """Generation of each spec that no record follows yet, and since when that is known."""
        self._settled: dict[str, int] = {}
        """Generation of each spec that asks for nothing new, for example one that only joined a group."""
        self._troubles = Troubles(log, "cannot be looked after yet")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Do what is due; what cannot be written is left to the next look."""
        latest = self._now() - _OPERATOR_FIRST
        blank = [entry for entry in self._store.catalogue.blank() if entry.stream.create_time < latest]
        await self._for_each(blank, self._records.initialise)
        await self._for_each(self._followed_by_nobody(latest), self._follow)
        due = [entry for entry in self._store.catalogue.restarting() if _is_due(entry, latest)]
        await self._for_each(due, self._restart)
        self._troubles.tell()

    def _followed_by_nobody(self, latest: datetime) -> list[Entry]:
        edited = {entry.stream_id: entry for entry in self._store.catalogue.edited()}
        self._settled = {name: at for name, at in self._settled.items() if name in edited}
        now = self._now()
        before, self._edited = self._edited, {}
        late: list[Entry] = []
        for stream_id, entry in edited.items():
            generation = entry.stream.generation
            if self._settled.get(stream_id) == generation:
                continue
            known, since = before.get(stream_id, (generation, now))
            self._edited[stream_id] = generation, since if known == generation else now
            if self._edited[stream_id][1] <= latest:
                late.append(entry)
        return late

    async def _follow(self, entry: Entry) -> None:
        after = await self._records.move(entry, lambda _entry, record, _now: record)
        self._settled[after.stream_id] = after.stream.generation

    async def _restart(self, entry: Entry) -> None:
        def decide(current: Entry, record: StreamStatus, now: datetime) -> StreamStatus:
            return advance(record, AutorestartTick(current.stream.spec.autorestart), now).record

        await self._records.move(entry, decide)

    async def _for_each(self, entries: list[Entry], work: Callable[[Entry], Awaitable[object]]) -> None:
        async def one(entry: Entry) -> None:
            try:
                await work(entry)
            except StreamNotFound:
                return
            except ApiError as e:
                self._troubles.note(entry.stream_id, e)

        await for_each(entries[:_AT_A_TIME], one, limit=_PARALLEL)


def _is_due(entry: Entry, latest: datetime) -> bool:
    due = next_autorestart(entry.record, entry.stream.spec.autorestart)
    return due is not None and due <= latest
