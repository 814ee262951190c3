"""The database of the log: SQLite in a file, or PostgreSQL; every failure becomes `LogsUnavailable`.

Two kinds of transactions: `reading`, and `writing`, which in SQLite takes the one lock for writers at once. (Taking it
at the first write would fail, without waiting, when somebody else wrote since the transaction began.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from luna_api_shim.errors import LogsUnavailable

log = logging.getLogger(__name__)

_IS_WRITING: Final = "luna_is_writing"
_POSTGRESQL: Final = ("postgresql", "postgres")
_FORMS: Final = "postgresql://user:password@host/database, or sqlite:////absolute/path/of/a/file"


def parse_url(text: str) -> URL:
    """Return the URL of a database, with the driver that is used here.

    Raises:
        ValueError: what is wrong, without the text, which may hold a password.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(f"is not the URL of a database: {_FORMS}") from None
    kind = url.drivername.partition("+")[0]
    if kind in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise ValueError(f"names a database that is not supported: {_FORMS}")
    if url.database in (None, "", ":memory:") or "mode" in url.query:
        raise ValueError("must name a file for SQLite: sqlite:////absolute/path/of/a/file")
    return url.set(drivername="sqlite+aiosqlite")


def file_url(path: Path) -> URL:
    """Return the URL of a SQLite file."""
    return URL.create("sqlite+aiosqlite", database=str(path))


class Database:
    """An engine with its connections; none is made before it is needed.

    Args:
        url: as `parse_url` or `file_url` returns it.
        pool_size: most connections at the same time.
        timeout_s: after which a transaction is given up.
    """

    def __init__(self, url: URL, *, pool_size: int, timeout_s: float) -> None:
        self.is_shared = url.get_backend_name() == "postgresql"
        self._file = None if self.is_shared else Path(str(url.database))
        self._timeout_s = timeout_s
        self._engine = _postgresql(url, pool_size, timeout_s) if self.is_shared else _sqlite(url, pool_size, timeout_s)
        self._writer = self._engine.execution_options(**{_IS_WRITING: True})

    def __str__(self) -> str:
        return "PostgreSQL" if self.is_shared else f"the file {self._file}"

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection to read with.

        Raises:
            LogsUnavailable: the database does not answer, or not in time.
        """
        async with self._connected(self._engine, self._timeout_s) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self, *, takes_long: bool = False) -> AsyncIterator[AsyncConnection]:
        """Yield a connection in a transaction, which the end of the block commits.

        Args:
            takes_long: for migrations, which may wait for another replica's.

        Raises:
            LogsUnavailable: as `reading`; nothing was written, or all of it.
        """
        async with self._connected(self._writer, None if takes_long else self._timeout_s) as connection:
            yield connection

    async def close(self) -> None:
        """Close the connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine, timeout_s: float | None) -> AsyncIterator[AsyncConnection]:
        if self._file is not None and not self._file.exists():
            _make(self._file)
        try:
            async with asyncio.timeout(timeout_s), engine.begin() as connection:
                yield connection
        except TimeoutError:
            raise LogsUnavailable(f"{self} did not answer within {self._timeout_s:g} s") from None
        except (SQLAlchemyError, OSError, OverflowError) as e:  # the last: a number SQLite cannot hold
            raise LogsUnavailable(f"{self}: {_reason(e)}") from e


def _postgresql(url: URL, pool_size: int, timeout_s: float) -> AsyncEngine:
    timeout = max(1, round(timeout_s))
    # A peer that vanished without a word is noticed in this time; what the URL says wins.
    limits: dict[str, Any] = {"connect_timeout": timeout, "tcp_user_timeout": timeout * 1000}
    limits["application_name"] = "luna-streams-shim"
    return create_async_engine(
        url,
        connect_args={name: value for name, value in limits.items() if name not in url.query},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        hide_parameters=True,
    )


def _sqlite(url: URL, pool_size: int, timeout_s: float) -> AsyncEngine:
    engine = create_async_engine(url, pool_size=pool_size, max_overflow=0, pool_timeout=timeout_s, hide_parameters=True)

    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # `begin` below begins transactions
        cursor = connection.cursor()
        # With the write-ahead log readers and the writer do not wait for each other.
        for setting in (f"busy_timeout={round(timeout_s * 1000)}", "journal_mode=WAL", "synchronous=NORMAL"):
            cursor.execute(f"PRAGMA {setting}")
        cursor.close()

    def begin(connection: Connection) -> None:
        is_writing = connection.get_execution_options().get(_IS_WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    event.listen(engine.sync_engine, "connect", connect)
    event.listen(engine.sync_engine, "begin", begin)
    return engine


def _make(file: Path) -> None:
    """Make an empty file that only its owner may read, and its folder; SQLite takes it for an empty database."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
    except OSError as e:
        raise LogsUnavailable(f"the file {file} cannot be made: {e.strerror}") from e


def _reason(error: Exception) -> str:
    """Return what the driver says in one line, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
