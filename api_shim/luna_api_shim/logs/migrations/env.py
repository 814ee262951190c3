"""Alembic's environment: works on the connection it is handed, inside of that connection's transaction."""

from __future__ import annotations

from alembic import context

from luna_api_shim.logs.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    compare_server_default=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
