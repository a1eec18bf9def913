"""Runs migrations on the connection that the journal already holds, inside its transaction: a kill in the middle
leaves the old schema whole."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    render_as_batch=True,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
