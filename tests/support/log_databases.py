"""The log's tables in a database of a test, without a shim around them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from luna_api_shim.logs.backlog import Addition, LoggedStream
from luna_api_shim.logs.database import Database, parse_url
from luna_api_shim.logs.rows import LogRows
from luna_api_shim.logs.schema import Schema
from luna_api_shim.logs.tables import LOGS
from luna_streams.stream import LogEntry
from support.builders import ACCOUNT, NOW
from support.postgresql import LogDatabase


@dataclass
class Tables:
    """The tables of a database, opened."""

    database: Database
    schema: Schema
    rows: LogRows

    async def keys(self) -> list[tuple[str, int]]:
        """Return uid and number of every row, sorted."""
        async with self.database.reading() as connection:
            found = await connection.execute(select(LOGS.c.stream_uid, LOGS.c.seq))
            return sorted((row.stream_uid, row.seq) for row in found)


@asynccontextmanager
async def opened(where: LogDatabase, *, timeout_s: float = 30.0) -> AsyncIterator[Tables]:
    """Open a database; its tables are made when they are first needed."""
    database = Database(parse_url(where.url), pool_size=5, timeout_s=timeout_s)
    schema = Schema(database)
    try:
        yield Tables(database, schema, LogRows(database, schema))
    finally:
        await database.close()


def a_logged_stream(number: int = 1, *, account_id: str = ACCOUNT, incarnation: int = 1) -> LoggedStream:
    """Return whose log it is: one object of a stream that may have been made several times."""
    stream_id = f"00000000-0000-4000-8000-{number:012x}"
    uid = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}/{incarnation}"))
    return LoggedStream(uid, "default", stream_id, stream_id, account_id)


def some_entries(first: int, last: int, *, since: datetime = NOW, **changes: Any) -> tuple[LogEntry, ...]:
    """Return entries, one a second from `since` on, pending and in_progress by turns."""
    names = itertools.cycle(("pending", "in_progress") if first % 2 else ("in_progress", "pending"))
    return tuple(
        LogEntry(**{"seq": seq, "status": status, "version": 1, "log_time": since + timedelta(seconds=seq)} | changes)
        for seq, status in zip(range(first, last + 1), names, strict=False)
    )


def an_addition(number: int = 1, first: int = 1, last: int = 1, **changes: Any) -> Addition:
    """Return entries of a stream to be copied."""
    return Addition(a_logged_stream(number), some_entries(first, last, **changes))
