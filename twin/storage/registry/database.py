"""One database shared by threads: short transactions that end in a commit or in one of our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

from twin.errors import UnavailableError
from twin.storage.registry.failures import translated


class Database:
    """Hands out transactions; `name` is the URL without its password, for messages."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.url.render_as_string(hide_password=True)
        self._engine = engine
        self._writing = engine.execution_options(writes=True)
        self._is_closed = False

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction that sees one moment of the database and changes nothing."""
        with translated(self.name), self._opened(self._engine).connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a transaction that is durable when the block ends, and undone when it raises."""
        with translated(self.name), self._opened(self._writing).begin() as connection:
            yield connection

    def take_turns(self, connection: Connection, what: int) -> None:
        """Wait until no other write transaction that takes turns at `what` is under way; until it ends none begins.

        SQLite has one writer at a time anyway.
        """
        if self._engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(what)))

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT that can say ON CONFLICT, in the words of this database."""
        return sqlite.insert(table) if self._engine.dialect.name == "sqlite" else postgresql.insert(table)

    def upsert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT that replaces the row of the same primary key."""
        insert = self.insert(table)
        key = list(table.primary_key.columns)
        rest = {column.name: insert.excluded[column.name] for column in table.columns if not column.primary_key}
        return insert.on_conflict_do_update(index_elements=key, set_=rest)

    def close(self) -> None:
        """Release the connections; whoever comes later gets an UnavailableError."""
        self._is_closed = True
        self._engine.dispose()

    def _opened(self, engine: Engine) -> Engine:
        if self._is_closed:
            raise UnavailableError(f"the registry in {self.name} was closed; open it again")
        return engine
