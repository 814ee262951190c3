"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
_ORDER = ["log_time", "id"]


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "stream_logs",
        sa.Column("id", _ID, autoincrement=True, nullable=False, comment="order of copying"),
        sa.Column("stream_uid", sa.String(64), nullable=False, comment="uid of the object"),
        sa.Column("seq", sa.BigInteger(), nullable=False, comment="number of the entry within the object"),
        sa.Column("stream_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("video_info", _JSON),
        sa.Column("preview", _JSON),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("log_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stream_logs"),
        sa.UniqueConstraint("stream_uid", "seq", name="uq_stream_logs_stream_uid_seq"),
        comment="Log of streams; a row is written once and never changed.",
    )
    op.create_index("ix_stream_logs_log_time_id", "stream_logs", _ORDER)
    for column in ("stream_id", "account_id", "status"):
        op.create_index(f"ix_stream_logs_{column}_log_time_id", "stream_logs", [column, *_ORDER])
    op.create_table(
        "logged_streams",
        sa.Column("stream_uid", sa.String(64), nullable=False, comment="uid of the object"),
        sa.Column("namespace", sa.String(253), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("stream_id", sa.String(36), nullable=False),
        sa.Column("account_id", sa.String(36), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False, comment="last entry that was copied"),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.Column("last_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_deleted", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("stream_uid", name="pk_logged_streams"),
        comment="How far the log of each object was copied.",
    )
    op.create_index("ix_logged_streams_is_deleted_namespace", "logged_streams", ["is_deleted", "namespace"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("logged_streams")
    op.drop_table("stream_logs")
