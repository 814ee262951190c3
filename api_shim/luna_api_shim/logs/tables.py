"""The tables. `migrations` makes them; a test holds that both agree."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

DELETED_SEQ: Final = 2**62
"""Sequence number of the `deleted` entry: after all others, and one per object, whoever notices the deletion."""


class UtcTime(TypeDecorator[datetime]):
    """A moment: TIMESTAMPTZ in PostgreSQL; in SQLite a text in UTC, whose order is that of time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Hand a moment to the driver."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Take a moment from the driver."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite counts rows by itself only in a column that is called INTEGER.
_BIG_ID: Final = BigInteger().with_variant(Integer(), "sqlite")
_JSON: Final[TypeEngine[Any]] = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

LOGS: Final = Table(
    "stream_logs",
    METADATA,
    Column("id", _BIG_ID, primary_key=True, autoincrement=True, comment="order of copying"),
    Column("stream_uid", String(64), nullable=False, comment="uid of the object"),
    Column("seq", BigInteger, nullable=False, comment="number of the entry within the object"),
    Column("stream_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("status", String(16), nullable=False),
    Column("error", Text),
    Column("video_info", _JSON),
    Column("preview", _JSON),
    Column("version", BigInteger, nullable=False),
    Column("log_time", UtcTime, nullable=False),
    UniqueConstraint("stream_uid", "seq"),
    # Each filter with the order of the answer: a page is read off the end of an index.
    Index(None, "log_time", "id"),
    Index(None, "stream_id", "log_time", "id"),
    Index(None, "account_id", "log_time", "id"),
    Index(None, "status", "log_time", "id"),
    comment="Log of streams; a row is written once and never changed.",
)

STREAMS: Final = Table(
    "logged_streams",
    METADATA,
    Column("stream_uid", String(64), primary_key=True, comment="uid of the object"),
    Column("namespace", String(253), nullable=False),
    Column("name", String(253), nullable=False),
    Column("stream_id", String(36), nullable=False),
    Column("account_id", String(36), nullable=False),
    Column("last_seq", BigInteger, nullable=False, comment="last entry that was copied"),
    Column("last_version", BigInteger, nullable=False),
    Column("last_time", UtcTime, nullable=False),
    Column("is_deleted", Boolean, nullable=False, server_default=false()),
    Index(None, "is_deleted", "namespace"),
    comment="How far the log of each object was copied.",
)
