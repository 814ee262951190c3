"""The SQL of the log: rows are added, read by pages, cleared; and how far each stream was copied is remembered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, FromClause, Row, Select, and_, case, delete, exists, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from luna_api_shim.errors import LogsUnavailable
from luna_api_shim.logs.backlog import Addition, Copied, LoggedStream
from luna_api_shim.logs.database import Database
from luna_api_shim.logs.schema import Schema
from luna_api_shim.logs.tables import DELETED_SEQ, LOGS, STREAMS
from luna_streams.references import without_credentials
from luna_streams.stream import LogEntry, StreamState

FIELDS: Final = ("stream_id", "status", "error", "video_info", "log_time", "version", "preview")
"""Fields of an entry in the order of the document."""
_AT_ONCE: Final = 5000
"""Rows cleared in one transaction: short enough that copying does not wait."""
_IDS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which entries are asked for; within a list any value fits, between filters all must; None asks for nothing."""

    account_id: str | None = None
    stream_ids: Set[str] | None = None
    statuses: Set[str] | None = None
    time_gte: datetime | None = None
    time_lt: datetime | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what a row must fulfil."""
        if self.account_id is not None:
            yield LOGS.c.account_id == self.account_id
        if self.stream_ids is not None:
            yield LOGS.c.stream_id.in_(sorted(self.stream_ids))
        if self.statuses is not None:
            yield LOGS.c.status.in_(sorted(self.statuses))
        if self.time_gte is not None:
            yield LOGS.c.log_time >= self.time_gte
        if self.time_lt is not None:
            yield LOGS.c.log_time < self.time_lt


class LogRows:
    """The log in a database; every method raises LogsUnavailable when that does not answer."""

    def __init__(self, database: Database, schema: Schema) -> None:
        self._database = database
        self._schema = schema

    async def add(self, batch: Sequence[Addition]) -> None:
        """Copy entries; those that are there already stay as they are."""
        rows = sorted(_rows(batch), key=lambda row: (row["log_time"], row["stream_uid"], row["seq"]))
        reached = [_reached(addition) for addition in batch]
        async with self._tables(), self._database.writing() as connection:
            insert = postgresql.insert if self._database.is_shared else sqlite.insert
            if rows:
                await connection.execute(insert(LOGS).on_conflict_do_nothing(), rows)
            await connection.execute(_forward(insert(STREAMS)), reached)

    async def copied(self, uids: Iterable[str], namespace: str | None) -> dict[str, Copied]:
        """Return how far the log was copied.

        Args:
            uids: of objects that are or were there; those that were never copied are left out.
            namespace: whose objects that were not noticed to be gone are returned as well; None for all.
        """
        async with self._tables(), self._database.reading() as connection:
            alive = select(STREAMS).where(~STREAMS.c.is_deleted)
            if namespace is not None:
                alive = alive.where(STREAMS.c.namespace == namespace)
            found = {one.stream.uid: one for one in await _copied(connection, alive)}
            others = [uid for uid in uids if uid not in found]
            for begin in range(0, len(others), _IDS_AT_ONCE):
                some = select(STREAMS).where(STREAMS.c.stream_uid.in_(others[begin : begin + _IDS_AT_ONCE]))
                found |= {one.stream.uid: one for one in await _copied(connection, some)}
        return found

    async def page(self, wanted: LogFilter, targets: Set[str], offset: int, limit: int) -> list[dict[str, Any]]:
        """Return one page, the newest entries first, each with the fields asked for."""
        fields = [name for name in FIELDS if name in targets]
        async with self._tables(), self._database.reading() as connection:
            found = await connection.execute(page_query(wanted, fields, offset, limit))
            return [_to_rest(fields, row) for row in found]

    async def clear(self, before: datetime | None) -> int:
        """Delete entries older than a time, but never the last one of a stream; return how many.

        Args:
            before: None deletes them whatever their age.
        """
        count, position = 0, None
        while True:
            async with self._tables(), self._database.writing() as connection:
                end = await _end_of_chunk(connection, before, position)
                if end is None:
                    return count
                cleared = await connection.execute(_clearing(position, end))
            count += cleared.rowcount
            position = end

    @asynccontextmanager
    async def _tables(self) -> AsyncIterator[None]:
        """Run the block when the tables are there; after a failure they are looked at again."""
        try:
            await self._schema.ready()
            yield
        except LogsUnavailable:
            self._schema.doubt()
            raise


def page_query(wanted: LogFilter, fields: Sequence[str], offset: int, limit: int) -> Select[Any]:
    """Return the query of a page.

    The rows of the page are found in the index alone, so that a page far behind reads no rows that it does not show.
    """
    order = (LOGS.c.log_time.desc(), LOGS.c.id.desc())
    found = select(LOGS.c.id).where(*wanted.conditions()).order_by(*order).offset(offset).limit(limit).subquery()
    columns = [LOGS.c[name] for name in fields]
    return select(*columns).join(found, found.c.id == LOGS.c.id).order_by(*order)


def _rows(batch: Iterable[Addition]) -> Iterator[dict[str, Any]]:
    for addition in batch:
        for entry in addition.entries:
            yield _row(addition.stream, entry, entry.seq)
        if addition.deleted_at is not None:
            gone = LogEntry(seq=1, status=StreamState.DELETED, version=addition.version, log_time=addition.deleted_at)
            yield _row(addition.stream, gone, DELETED_SEQ)


def _row(stream: LoggedStream, entry: LogEntry, seq: int) -> dict[str, Any]:
    return {
        "stream_uid": stream.uid,
        "seq": seq,
        "stream_id": stream.stream_id,
        "account_id": stream.account_id,
        "status": entry.status.value,
        "error": _storable(entry.error),
        "video_info": entry.video_info.model_dump(mode="json", exclude_none=True) if entry.video_info else None,
        "preview": _storable(entry.preview.model_dump(mode="json", exclude_none=True)) if entry.preview else None,
        "version": entry.version,
        "log_time": entry.log_time,
    }


def _storable(value: Any) -> Any:
    """Return a text without credentials and without what PostgreSQL cannot hold, also within an object."""
    if isinstance(value, dict):
        return {name: _storable(one) for name, one in value.items()}
    if not isinstance(value, str):
        return value
    return without_credentials(value).replace("\0", "\N{REPLACEMENT CHARACTER}")


def _reached(addition: Addition) -> dict[str, Any]:
    stream, last = addition.stream, addition.entries[-1] if addition.entries else None
    times = [entry.log_time for entry in addition.entries] + ([addition.deleted_at] if addition.deleted_at else [])
    return {
        "stream_uid": stream.uid,
        "namespace": stream.namespace,
        "name": stream.name,
        "stream_id": stream.stream_id,
        "account_id": stream.account_id,
        "last_seq": last.seq if last else 0,
        "last_version": last.version if last else addition.version,
        "last_time": max(times),
        "is_deleted": addition.deleted_at is not None,
    }


def _forward(insert: postgresql.Insert | sqlite.Insert) -> Any:
    """Return the statement that remembers how far streams were copied; it never goes back."""
    new = insert.excluded
    greatest = {
        name: case((new[name] > STREAMS.c[name], new[name]), else_=STREAMS.c[name])
        for name in ("last_seq", "last_version", "last_time")
    }
    changes = {**greatest, "account_id": new.account_id, "is_deleted": STREAMS.c.is_deleted | new.is_deleted}
    return insert.on_conflict_do_update(index_elements=[STREAMS.c.stream_uid], set_=changes)


async def _copied(connection: AsyncConnection, query: Select[Any]) -> list[Copied]:
    return [
        Copied(
            LoggedStream(row.stream_uid, row.namespace, row.name, row.stream_id, row.account_id),
            row.last_seq,
            row.last_version,
            row.last_time,
            row.is_deleted,
        )
        for row in await connection.execute(query)
    ]


async def _end_of_chunk(
    connection: AsyncConnection, before: datetime | None, after: tuple[datetime, int] | None
) -> tuple[datetime, int] | None:
    """Return where the next rows to look at end; None if there are none."""
    chunk = select(LOGS.c.log_time, LOGS.c.id).order_by(LOGS.c.log_time, LOGS.c.id).limit(_AT_ONCE)
    if before is not None:
        chunk = chunk.where(LOGS.c.log_time < before)
    if after is not None:
        chunk = chunk.where(_place(LOGS) > _position(after))
    inner = chunk.subquery()
    last = select(inner).order_by(inner.c.log_time.desc(), inner.c.id.desc()).limit(1)
    row = (await connection.execute(last)).first()
    return None if row is None else (row.log_time, row.id)


def _clearing(after: tuple[datetime, int] | None, end: tuple[datetime, int]) -> Any:
    """Return the statement that deletes the rows of a chunk behind which their stream has another one."""
    later = LOGS.alias("later")
    is_later = and_(later.c.stream_id == LOGS.c.stream_id, _place(later) > _place(LOGS))
    conditions = [_place(LOGS) <= _position(end), exists().where(is_later)]
    if after is not None:
        conditions.append(_place(LOGS) > _position(after))
    return delete(LOGS).where(*conditions)


def _place(table: FromClause) -> Any:
    """Return where a row stands in the order of time."""
    return tuple_(table.c.log_time, table.c.id)


def _position(at: tuple[datetime, int]) -> Any:
    return tuple_(*at, types=[LOGS.c.log_time.type, LOGS.c.id.type])


def _to_rest(fields: Sequence[str], row: Row[Any]) -> dict[str, Any]:
    values: Mapping[str, Any] = dict(zip(fields, row, strict=True))
    if "log_time" not in values:
        return dict(values)
    return {**values, "log_time": values["log_time"].isoformat().replace("+00:00", "Z")}
