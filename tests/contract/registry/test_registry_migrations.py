from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from contract.registry.records import an_entry
from sqlalchemy import create_engine, inspect, text

from twin.errors import ConfigError
from twin.storage.registry import open_registry
from twin.storage.registry.schema import metadata


def test_the_migrations_make_exactly_the_tables_that_the_program_knows(empty_url: str) -> None:
    open_registry(empty_url).close()
    engine = create_engine(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        found = {
            (table, column["name"], column["type"].compile(engine.dialect), column["nullable"])
            for table in metadata.tables
            for column in inspect(connection).get_columns(table)
        }
    engine.dispose()
    expected = {
        (table.name, column.name, column.type.compile(engine.dialect), column.nullable)
        for table in metadata.tables.values()
        for column in table.columns
    }
    assert found == expected


def test_opening_again_changes_nothing(empty_url: str) -> None:
    registry = open_registry(empty_url)
    registry.record(an_entry(1))
    registry.close()
    again = open_registry(empty_url)
    assert again.audit_entries().items == (an_entry(1),)
    again.close()


def test_a_database_of_a_newer_version_is_refused_by_name_and_left_alone(empty_url: str) -> None:
    open_registry(empty_url).close()
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"newer h2twin \(schema 9999.*this one knows up to \d{4}"):
        open_registry(empty_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"
    engine.dispose()


def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE weather (somebody_elses INTEGER)"))
    with pytest.raises(Exception, match="weather"):
        open_registry(empty_url)
    assert inspect(engine).get_table_names() == ["weather"]
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE weather"))
    engine.dispose()
    open_registry(empty_url).close()


def test_many_threads_may_open_an_empty_database_at_once(empty_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        registries = list(pool.map(lambda _: open_registry(empty_url), range(8)))
    for number, registry in enumerate(registries):
        registry.record(an_entry(number))
    assert len(registries[0].audit_entries().items) == 8
    for registry in registries:
        registry.close()


OPENS = """
import sys
from twin.storage.registry import open_registry
sys.stdin.readline()
open_registry(sys.argv[1]).check()
"""


def test_several_roles_may_start_on_an_empty_database_at_once(empty_url: str) -> None:
    roles = [
        subprocess.Popen(
            [sys.executable, "-c", OPENS, empty_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    for role in roles:
        assert role.stdin is not None
        role.stdin.write("go\n")
        role.stdin.flush()
    assert [role.communicate(timeout=60)[1] for role in roles] == [""] * 4


def test_migrating_says_nothing_on_standard_output(
    empty_url: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    open_registry(empty_url).close()
    said = capsys.readouterr()
    assert (said.out, said.err, caplog.text) == ("", "", "")
