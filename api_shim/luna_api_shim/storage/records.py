"""Moving the status of a stream: bring it in line with the spec, apply an event, write it, again if somebody was first.

Every status the shim writes goes through here, so each write carries the resourceVersion it was computed from, and the
conditions are computed afresh. A record that stays as it is costs no write.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from luna_api_shim.storage.catalogue import Entry
from luna_api_shim.storage.conflicts import first_in_line
from luna_api_shim.storage.specs import read_again
from luna_api_shim.storage.store import Store
from luna_kube import NotFound
from luna_streams.conditions import observe_conditions
from luna_streams.errors import StreamNotFound
from luna_streams.lifecycle import observe
from luna_streams.stream import StreamStatus

Decision = Callable[[Entry, StreamStatus, datetime], StreamStatus]
"""Takes a stream, its record in line with the spec, and the time; returns the record as it is to be, perhaps the same.

It runs again on a newer version after a conflict, and may raise to give up.
"""


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class Records:
    """Writes statuses."""

    def __init__(self, store: Store, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._now = now

    async def move(self, entry: Entry, decide: Decision) -> Entry:
        """Apply a decision to a stream; return the stream as it is then.

        Raises:
            StreamNotFound: the stream is gone.
            ApiError: the API server did not take the write.
        """
        return await first_in_line(
            lambda current: self._attempt(current, decide), entry, lambda known: read_again(self._store, known)
        )

    async def initialise(self, entry: Entry) -> Entry:
        """Write the first status of a stream that has none; somebody else may have done so meanwhile."""

        async def attempt(current: Entry) -> Entry:
            if current.stream.status is not None:
                return current
            return await self._write(current, current.record, self._now())

        return await first_in_line(attempt, entry, lambda known: read_again(self._store, known))

    async def _attempt(self, entry: Entry, decide: Decision) -> Entry:
        now = self._now()
        current = observe(entry.stream.spec, entry.record, entry.stream_id, now).record
        record = decide(entry, current, now)
        return entry if record is entry.record else await self._write(entry, record, now)

    async def _write(self, entry: Entry, record: StreamStatus, now: datetime) -> Entry:
        told = observe_conditions(record, now, generation=entry.stream.generation)
        try:
            return await self._store.write_status(entry, told)
        except NotFound:
            raise StreamNotFound(entry.stream_id) from None
