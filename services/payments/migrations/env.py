"""Alembic's entry point: runs on the connection that services.common.storage opens."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
