"""The registry: everything relational, in one SQLite file or PostgreSQL database. One module per port."""

from twin.storage.registry.sql_registry import SqlRegistry, open_registry

__all__ = ["SqlRegistry", "open_registry"]
