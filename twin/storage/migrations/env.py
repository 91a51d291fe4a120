"""Alembic's entry: runs the revisions on the connection, and in the transaction, that the registry holds open."""

from alembic import context

from twin.storage.registry.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
