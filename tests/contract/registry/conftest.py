"""Every test of the registry runs on a SQLite file and on a real PostgreSQL, each time on an empty, migrated one."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from servers.postgres import postgres
from sqlalchemy import create_engine, make_url, text

from twin.storage.registry import SqlRegistry, open_registry
from twin.storage.registry.schema import metadata

_numbers = itertools.count(1)

BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs_postgres)]


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("registry-postgres")) as url:
        yield url


@pytest.fixture(scope="session")
def new_postgres_database(postgres_url: str) -> Callable[[], str]:
    """Return a function that makes a database and returns its URL."""

    def make() -> str:
        name = f"registry_{next(_numbers)}"
        server = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        server.dispose()
        return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)

    return make


@pytest.fixture(scope="session")
def migrated_postgres(new_postgres_database: Callable[[], str]) -> str:
    """A database with the tables in place; emptying them is faster than making them anew for each test."""
    url = new_postgres_database()
    open_registry(url).close()
    return url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the tables in place, to be copied."""
    path = tmp_path_factory.mktemp("registry-sqlite") / "registry.sqlite"
    open_registry(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=BOTH)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.sqlite"
    return str(request.getfixturevalue("new_postgres_database")())


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with all tables and nothing in them."""
    if request.param == "sqlite":
        copy = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path)
        return f"sqlite:///{copy}"
    migrated = str(request.getfixturevalue("migrated_postgres"))
    engine = create_engine(migrated)
    with engine.begin() as connection:
        connection.exec_driver_sql("; ".join(f"DELETE FROM {table}" for table in reversed(metadata.sorted_tables)))
    engine.dispose()
    return migrated


@pytest.fixture
def reopen(url: str) -> Iterator[Callable[[], SqlRegistry]]:
    """Return a function that opens the test's database (once more)."""
    opened: list[SqlRegistry] = []

    def open_once_more() -> SqlRegistry:
        opened.append(open_registry(url))
        return opened[-1]

    yield open_once_more
    for registry in opened:
        registry.close()


@pytest.fixture
def registry(reopen: Callable[[], SqlRegistry]) -> SqlRegistry:
    return reopen()
