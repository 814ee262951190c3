"""Read back what a damaged spool still holds.

A page that the disk did not keep takes what is on it, and the way to what lies behind it. So events are read from both
ends, as far as that goes; each has to have its own checksum right.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

_TABLES: Final = ("run", "settled")
"""Small, and of use as far as they can be read."""
_ROWS: Final = 16
"""In one transaction."""


def salvage(damaged: Path, form: int, into: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged database into a new one; returns the number of events.

    Args:
        damaged: the database, with its log beside it.
        form: of the tables; one of another form is left alone.
        into: a new database of this form.

    Raises:
        sqlite3.Error: if the new one does not take it.
    """
    count = 0
    with contextlib.closing(sqlite3.connect(damaged, isolation_level=None)) as source:
        source.execute("PRAGMA writable_schema = ON")  # or else a file that lost its end is not looked into at all
        if not _has_form(source, form):
            return 0
        for order in ("ASC", "DESC"):
            rows = _readable(source, f"SELECT * FROM event ORDER BY number {order}")  # noqa: S608  fixed names
            count += _copy(into, "event", filter(_is_whole, rows))
        for table in _TABLES:
            _copy(into, table, _readable(source, f"SELECT * FROM {table}"))  # noqa: S608  fixed names
    return count


def _has_form(source: sqlite3.Connection, form: int) -> bool:
    try:
        return bool(source.execute("PRAGMA user_version").fetchone()[0] == form)
    except sqlite3.DatabaseError:
        return False


def _readable(source: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows up to the first one that cannot be read."""
    with contextlib.suppress(sqlite3.DatabaseError):
        yield from source.execute(query)


def _is_whole(event: tuple[Any, ...]) -> bool:
    *_, checksum, _origins, body = event
    return isinstance(body, bytes) and zlib.crc32(body) == checksum


def _copy(into: sqlite3.Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> int:
    """Insert rows, some at a time, so that the log stays small; returns how many were new."""
    count = 0
    while some := list(itertools.islice(rows, _ROWS)):
        marks = ", ".join("?" * len(some[0]))
        with into:
            into.execute("BEGIN IMMEDIATE")
            insert = f"INSERT OR IGNORE INTO {table} VALUES ({marks})"  # noqa: S608  fixed names
            count += into.executemany(insert, some).rowcount
    return count
