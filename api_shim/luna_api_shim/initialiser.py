"""Writes the first status of streams in the background, so that creating a stream takes one write, not two.

Until then everybody takes a stream without a status for what it is going to be: the same pure function makes it. The
leader looks after streams that somebody else created (kubectl) and nobody initialised: usually the operator is faster.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Final

from luna_api_shim.catalogue import Entry
from luna_api_shim.concurrency import for_each
from luna_api_shim.records import Records, utc_now
from luna_api_shim.store import Store
from luna_kube import ApiError
from luna_streams.errors import StreamNotFound

log = logging.getLogger(__name__)

_PARALLEL: Final = 4
_SWEEP_S: Final = 1.0
_OLD_ENOUGH: Final = timedelta(seconds=2)
_BATCH: Final = 500


class Initialiser:
    """Writes first statuses."""

    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records
        self._waiting: asyncio.Queue[str] = asyncio.Queue()

    def add(self, entry: Entry) -> None:
        """Initialise a stream soon."""
        self._waiting.put_nowait(entry.stream_id)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_PARALLEL):
                group.create_task(self._work())

    async def sweep(self) -> None:
        """Look after streams nobody initialised, until cancelled; the leader does that."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            latest = utc_now() - _OLD_ENOUGH
            blank = [entry for entry in self._store.catalogue.blank() if entry.stream.create_time < latest]
            await for_each(blank[:_BATCH], self._initialise, limit=_PARALLEL)

    async def _work(self) -> None:
        while True:
            entry = self._store.catalogue.get(await self._waiting.get())
            if entry is not None:
                await self._initialise(entry)

    async def _initialise(self, entry: Entry) -> None:
        try:
            await self._records.initialise(entry)
        except StreamNotFound:
            return
        except ApiError as e:  # the sweep will find it again
            log.warning("stream %s: its first status cannot be written: %s", entry.stream_id, e)
