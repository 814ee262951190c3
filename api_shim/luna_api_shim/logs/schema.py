"""Brings the tables to what this release needs: Alembic's migrations, run by whoever starts first.

Replicas that start together wait for each other at a lock in the database. A database of a newer release is left alone:
the log is not available until this replica is a newer one too.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text

from luna_api_shim.errors import LogsUnavailable
from luna_api_shim.logs.database import Database

log = logging.getLogger(__name__)

SCRIPTS: Final = "luna_api_shim.logs:migrations"
_LOCK: Final = 0x6C756E615F6C6F67
"""Key of PostgreSQL's advisory lock; any number that nobody else uses."""


class Schema:
    """The tables of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_ready = False
        self._turn = asyncio.Lock()
        self._was_tried = asyncio.Event()
        self._head = ScriptDirectory.from_config(config()).get_current_head()

    async def ready(self) -> None:
        """Return when the tables are as they have to be; make them so first.

        Raises:
            LogsUnavailable: the database does not answer, or a migration failed.
        """
        if self._is_ready:
            return
        try:
            if await self._revision() != self._head:
                async with self._turn:
                    await self._upgrade()
        finally:
            self._was_tried.set()
        self._is_ready = True

    def doubt(self) -> None:
        """Look again next time: something went wrong, the database may be another one now."""
        self._is_ready = False

    async def check(self) -> None:
        """Return if the tables are as they have to be; at the start, wait until that was tried.

        Raises:
            LogsUnavailable: they are not, or the database does not answer.
        """
        await self._was_tried.wait()
        revision = await self._revision()
        if revision != self._head:
            raise LogsUnavailable(f"the tables of the log are at revision {revision}, this release needs {self._head}")

    async def _revision(self) -> str | None:
        async with self._database.reading() as connection:
            return await connection.run_sync(_revision)

    async def _upgrade(self) -> None:
        async with self._database.writing(takes_long=True) as connection:
            if self._database.is_shared:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            before = await connection.run_sync(_revision)
            if before == self._head:
                return
            try:
                await connection.run_sync(_upgrade)
            except CommandError as e:
                raise LogsUnavailable(f"the tables of the log are at revision {before}, of a newer release") from e
        log.info("the tables of the log are at revision %s now (before: %s)", self._head, before)


def config(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration."""
    found = Config()
    found.set_main_option("script_location", SCRIPTS)
    found.attributes["connection"] = connection
    return found


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    command.upgrade(config(connection), "head")
