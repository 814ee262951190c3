"""Migrations of the log's tables, by Alembic; `schema` runs them."""
