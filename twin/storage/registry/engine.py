"""How connections to SQLite and PostgreSQL are made, so that what was committed survives a power cut."""

from __future__ import annotations

import importlib.util
import sqlite3
import threading
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from twin.errors import ConfigError, UnavailableError

_POOL = {"pool_size": 5, "max_overflow": 15, "hide_parameters": True}  # three roles stay below PostgreSQL's 100
_POSTGRES_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg"})


def parse_url(text: str) -> URL:
    """Return the database's URL in the form the engine needs.

    Raises:
        ConfigError: If it names no SQLite file and no PostgreSQL database.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "the database URL cannot be read: write sqlite:///path or postgresql://user@host/db"
        ) from error
    if url.drivername in _POSTGRES_SCHEMES:
        if importlib.util.find_spec("psycopg") is None:
            raise ConfigError("PostgreSQL needs its driver: install h2twin with the extra 'postgres'")
        return url.set(drivername="postgresql+psycopg")
    if url.drivername != "sqlite":
        raise ConfigError(f"{url.drivername} databases are not supported: write sqlite:///path or postgresql://…")
    if not url.database or url.database == ":memory:":
        raise ConfigError("the registry needs a file, a database in memory forgets: write sqlite:///path")
    return url


def make_engine(url: URL, *, timeout_s: float) -> Engine:
    """Return an engine for `url` (nothing is connected yet) that waits at most `timeout_s` for a lock."""
    return _sqlite(url, timeout_s) if url.drivername == "sqlite" else _postgres(url, timeout_s)


def _sqlite(url: URL, timeout_s: float) -> Engine:
    _create_private_file(Path(str(url.database)))
    engine = create_engine(url, connect_args={"timeout": timeout_s}, pool_timeout=timeout_s, **_POOL)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # transactions begin where `begin` says so, not where the driver guesses
        _use_write_ahead_log(connection, timeout_s)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: a reader's transaction that turns writer could not wait for it.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _create_private_file(path: Path) -> None:
    """Make the file readable for its owner only: it holds customers. SQLite gives its side files the same mode."""
    try:
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise UnavailableError(f"the database file {path} cannot be made or touched: {error.strerror}") from error


def _use_write_ahead_log(connection: DBAPIConnection, timeout_s: float) -> None:
    """Switch the file to WAL once; SQLite does not wait by itself when several processes do so at the same time."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        threading.Event().wait(0.02)


def _postgres(url: URL, timeout_s: float) -> Engine:
    defaults = {
        "connect_timeout": "5",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "tcp_user_timeout": "20000",
    }
    patience = {key: value for key, value in defaults.items() if key not in url.query}
    engine = create_engine(url, connect_args=patience, pool_timeout=timeout_s, pool_pre_ping=True, **_POOL)

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {int(timeout_s * 1000)}")
        cursor.execute("SET timezone = 'UTC'")
        cursor.close()
        connection.commit()

    return engine
