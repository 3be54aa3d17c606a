"""Alembic's entry: only ever called with an open connection (see ``case_store.database.migrate``)."""

from __future__ import annotations

from alembic import context

from case_store.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
