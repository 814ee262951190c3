"""The log as the rest of the shim uses it: the leader copies, anybody may ask.

Who reads is to see what was answered before: the leader looks again at the streams in question, as another replica may
have written them a moment ago, and copies what it has before it reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Set
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL

from luna_api_shim.concurrency import for_each
from luna_api_shim.errors import LogsUnavailable, NotReady, StartupError
from luna_api_shim.logs.clearing import ClearInterval, clear_regularly
from luna_api_shim.logs.copier import Copier
from luna_api_shim.logs.database import Database, file_url, parse_url
from luna_api_shim.logs.rows import LogFilter, LogRows
from luna_api_shim.logs.schema import Schema
from luna_api_shim.settings import Settings
from luna_api_shim.storage.records import utc_now
from luna_api_shim.storage.store import Store
from luna_kube import ApiError
from luna_kube.backoff import Backoff, BackoffSettings

log = logging.getLogger(__name__)

FILE: Final = "logs.db"
_LOOKED_AT: Final = 32
"""Streams read past the cache for one request."""
_LOOK_S: Final = 2.0
_CATCH_UP_S: Final = 15.0
"""Longer than a transaction may take by default."""
_LAST_WORDS_S: Final = 3.0
_MIGRATION_RETRIES: Final = BackoffSettings(initial_s=0.5, limit_s=10.0)


def open_logbook(settings: Settings, store: Store) -> Logbook:
    """Return the log that the settings describe; nothing is connected to yet.

    Raises:
        StartupError: there is no place for a file.
    """
    interval = ClearInterval(
        settings.logs_clear_interval, settings.logs_clear_interval_type, settings.logs_clear_check_interval
    )
    return Logbook(
        store,
        Database(_url_of(settings), pool_size=settings.database_pool_size, timeout_s=settings.database_timeout),
        namespace=None if settings.all_namespaces else settings.namespace,
        clear_interval=interval if settings.logs_clear_active else None,
    )


def _url_of(settings: Settings) -> URL:
    if settings.database_url is not None:
        return parse_url(settings.database_url.get_secret_value())
    if settings.data_folder:
        return file_url(Path(settings.data_folder) / FILE)
    try:
        return file_url(Path.home() / ".local" / "state" / "luna-streams" / FILE)
    except RuntimeError:
        raise StartupError("there is no home folder for the log: set LUNA_SHIM_DATA_FOLDER") from None


class Logbook:
    """The log of one replica.

    Args:
        store: the streams.
        database: where the log is kept.
        namespace: the only one whose streams are served, None for all.
        clear_interval: when entries are cleared by themselves, None for never.
    """

    def __init__(
        self,
        store: Store,
        database: Database,
        *,
        namespace: str | None,
        clear_interval: ClearInterval | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._database = database
        self._schema = Schema(database)
        self._clear_interval = clear_interval
        self._now = now
        self.rows = LogRows(database, self._schema)
        self._copier = Copier(store, self.rows, namespace=namespace, now=now)
        self._term = asyncio.Event()

    @property
    def serves_alone(self) -> bool:
        """Whether this replica may answer when nobody leads: it has the log that the leader would read."""
        return self._database.is_shared or self._copier.has_led

    @property
    def waiting(self) -> int:
        """How many entries wait for being copied here."""
        return len(self._copier.backlog)

    @property
    def lost(self) -> int:
        """How many entries could not be copied in time."""
        return self._copier.backlog.lost

    # -- running -------------------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the tables, trying until that works."""
        backoff, is_told = Backoff(_MIGRATION_RETRIES), False
        while True:
            try:
                await self._schema.ready()
            except LogsUnavailable as e:
                if not is_told:
                    log.warning("the log is not available, trying on: %s", e)
                is_told = True
                await asyncio.sleep(backoff.next_s())
            else:
                log.info("the log is in %s", self._database)
                return

    async def lead(self) -> None:
        """Copy, and clear, until cancelled."""
        self._copier.begin_term()
        self._term.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copier.run())
                if self._clear_interval is not None:
                    group.create_task(clear_regularly(self.rows, self._clear_interval, self._now))
        finally:
            self._term.clear()
            self._copier.end_term()

    async def finish(self) -> None:
        """Copy what was seen last, if this replica leads: nobody else may have seen a stream that is gone."""
        if self._term.is_set():
            with suppress(LogsUnavailable, TimeoutError):
                async with asyncio.timeout(_LAST_WORDS_S):
                    await self._copier.flush()

    async def close(self) -> None:
        """Close the connections."""
        await self._database.close()

    # -- asking --------------------------------------------------------------------------------------------------------

    async def page(self, wanted: LogFilter, targets: Set[str], offset: int, limit: int) -> list[dict[str, Any]]:
        """Return one page of entries, the newest first.

        Raises:
            LogsUnavailable: the database does not answer.
        """
        return await self.rows.page(wanted, targets, offset, limit)

    async def clear(self, before: datetime | None) -> int:
        """Delete entries older than a time, except for the last one of each stream; return how many.

        Raises:
            LogsUnavailable: the database does not answer; some may have been deleted.
        """
        return await self.rows.clear(before)

    async def catch_up(self, stream_ids: Collection[str]) -> None:
        """Copy everything that is known, and what was written just now to some streams by others.

        Does not wait for ever where a great many entries wait.

        Raises:
            NotReady: this replica does not lead; one that has just been elected begins to within moments.
            LogsUnavailable: the database does not answer.
        """
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._term.wait()
        except TimeoutError:
            raise NotReady("this replica does not lead any more") from None
        with suppress(ApiError, NotReady, TimeoutError):  # then the log is as good as what is known
            async with asyncio.timeout(_LOOK_S):
                await for_each(sorted(stream_ids)[:_LOOKED_AT], self._store.look_again, limit=_LOOKED_AT)
        with suppress(TimeoutError):  # a great many wait: what is copied so far is answered, the rest follows
            async with asyncio.timeout(_CATCH_UP_S):
                await self._copier.flush(with_blank=True)

    # -- health --------------------------------------------------------------------------------------------------------

    async def check(self) -> None:
        """Return if the database answers; raises LogsUnavailable."""
        async with self._database.reading() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def check_migration(self) -> None:
        """Return if the tables are as they have to be; raises LogsUnavailable."""
        await self._schema.check()
