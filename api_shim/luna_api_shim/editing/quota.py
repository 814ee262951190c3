"""A limit to the streams that are active at the same time, in place of the licence of LUNA Streams.

Active are streams that wait, are in progress or are paused: deleting or finishing them makes room. A place is held from
the decision until the stream is known to be active, so that requests at the same time cannot take the last place twice.
This holds within one replica; `routes.streams` brings such requests to the leader when there is a limit.

Nothing else is refused: streams made with kubectl, and failed ones that start again by themselves, count but pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from luna_api_shim.errors import QuotaExceeded
from luna_api_shim.storage.catalogue import ACTIVE_STATES
from luna_api_shim.storage.store import Store
from luna_streams.stream import StreamState

_Place = tuple[str, str]
"""Stream id and account."""


class Quota:
    """Grants places.

    Args:
        store: where the streams are.
        deployment: active streams there may be; 0 sets no limit.
        account: active streams each account may have; 0 sets no limit.
    """

    def __init__(self, store: Store, *, deployment: int = 0, account: int = 0) -> None:
        self._store = store
        self._deployment = deployment
        self._account = account
        self._held: dict[object, _Place] = {}

    @property
    def is_on(self) -> bool:
        """Whether there is any limit."""
        return bool(self._deployment or self._account)

    @asynccontextmanager
    async def place(self, stream_id: str, account_id: str, becomes: StreamState) -> AsyncIterator[None]:
        """Hold a place for a stream while it is written; one that is active in the account already has its place.

        Args:
            stream_id: of the stream, which need not exist yet.
            account_id: of the stream as it is going to be.
            becomes: its status then.

        Raises:
            QuotaExceeded: there is no place left.
            NotReady: the streams were not read yet.
        """
        if not self.is_on or becomes not in ACTIVE_STATES:
            yield
            return
        await self._store.ready()
        ticket = object()
        self._take(ticket, (stream_id, account_id))
        try:
            yield
        finally:
            self._held.pop(ticket, None)

    def _take(self, ticket: object, place: _Place) -> None:
        stream_id, account_id = place
        needs_one = self._deployment and not self._is_active(stream_id)
        if needs_one and self._used() >= self._deployment:
            raise QuotaExceeded
        needs_one_of_account = self._account and not self._is_active(stream_id, account_id)
        if needs_one_of_account and self._used(account_id) >= self._account:
            raise QuotaExceeded
        self._held[ticket] = place

    def _used(self, account_id: str | None = None) -> int:
        """Return the active streams and those on the way, none twice."""
        coming = {
            stream_id
            for stream_id, account in self._held.values()
            if account_id in (None, account) and not self._is_active(stream_id, account_id)
        }
        return self._store.catalogue.count_active(account_id) + len(coming)

    def _is_active(self, stream_id: str, account_id: str | None = None) -> bool:
        entry = self._store.catalogue.get(stream_id)
        return entry is not None and entry.state in ACTIVE_STATES and account_id in (None, entry.stream.spec.account_id)
