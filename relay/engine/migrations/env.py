"""Alembic's entry: runs the revisions on the connection, and in the transaction, that `Database.open` brings."""

from alembic import context

from relay.engine.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
