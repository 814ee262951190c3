"""Gives a first status to streams that nobody gave one.

Creating a stream takes one write: until it has a status, everybody takes it for what it is going to be, by the same
pure function, and the operator writes the status together with the placement. Where no operator runs, or it is slow,
the leader does it here a moment later.
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

_LOOK_S: Final = 0.5
_OPERATOR_FIRST: Final = timedelta(seconds=1)
_AT_A_TIME: Final = 500
_PARALLEL: Final = 8


async def initialise_streams(store: Store, records: Records) -> None:
    """Look after streams without a status, until cancelled."""

    async def initialise(entry: Entry) -> None:
        try:
            await records.initialise(entry)
        except StreamNotFound:
            return
        except ApiError as e:  # the next look will find it again
            log.warning("stream %s: its first status cannot be written: %s", entry.stream_id, e)

    while True:
        await asyncio.sleep(_LOOK_S)
        latest = utc_now() - _OPERATOR_FIRST
        blank = [entry for entry in store.catalogue.blank() if entry.stream.create_time < latest]
        await for_each(blank[:_AT_A_TIME], initialise, limit=_PARALLEL)
