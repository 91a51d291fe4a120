"""A database that is away, full, locked, read-only, damaged or closed is named as such, and heals without a restart."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from contract.registry.records import a_letter, a_model_file, a_run, a_sensor, an_entry, an_incident, at
from servers.postgres import postgres
from servers.process import free_port
from sqlalchemy import create_engine, event, text

from twin.errors import ConfigError, StorageFullError, TwinError, UnavailableError
from twin.forecasts import RunKind
from twin.network import NetworkKind
from twin.notices import NoticeState
from twin.storage.registry import SqlRegistry, open_registry

READS: list[Callable[[SqlRegistry], object]] = [
    lambda registry: registry.dead_letters(),
    lambda registry: registry.dead_letter(1),
    lambda registry: registry.count_dead_letters(),
    lambda registry: registry.sensors(),
    lambda registry: registry.customers(),
    lambda registry: registry.incident("I"),
    lambda registry: registry.open_incidents(),
    lambda registry: registry.incidents(),
    lambda registry: registry.count_incidents(),
    lambda registry: registry.notice("N"),
    lambda registry: registry.notices_of("I"),
    lambda registry: registry.notices(states=[NoticeState.DRAFT]),
    lambda registry: registry.count_notices(),
    lambda registry: registry.latest_run(RunKind.SUPPLY, good_only=True),
    lambda registry: registry.runs(RunKind.SUPPLY),
    lambda registry: registry.run("R"),
    lambda registry: registry.count_runs(),
    lambda registry: registry.latest_weather(known_at=at(0)),
    lambda registry: registry.latest_state("m", "k", by=at(0)),
    lambda registry: registry.model_file(NetworkKind.SUPPLY),
    lambda registry: registry.key("K"),
    lambda registry: registry.keys(),
    lambda registry: registry.audit_entries(),
    lambda registry: registry.beats(),
]
WRITES: list[Callable[[SqlRegistry], object]] = [
    lambda registry: registry.bury([a_letter()]),
    lambda registry: registry.upsert_sensors([a_sensor()]),
    lambda registry: registry.save_incidents([an_incident()]),
    lambda registry: registry.record(an_entry()),
    lambda registry: registry.acquire_lease("l", "h", ttl_s=1, now=at(0)),
    lambda registry: registry.release_lease("l", "h"),
    lambda registry: registry.exhume(1),
    lambda registry: registry.check(),
]


def test_check_returns_when_all_is_well_and_leaves_nothing_behind(registry: SqlRegistry) -> None:
    for _ in range(3):
        registry.check()


def test_a_closed_registry_says_so(registry: SqlRegistry) -> None:
    registry.close()
    registry.close()
    for ask in (*READS, *WRITES):
        with pytest.raises(UnavailableError, match="closed"):
            ask(registry)


@contextmanager
def _locked_by_somebody_else(url: str) -> Iterator[None]:
    engine = create_engine(url)
    if url.startswith("sqlite"):
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    with engine.connect() as connection:
        if url.startswith("sqlite"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("LOCK TABLE sensors IN ACCESS EXCLUSIVE MODE"))
        yield
    engine.dispose()


def test_a_lock_held_beyond_the_limit_is_unavailable_and_then_passes(url: str) -> None:
    registry = open_registry(url, lock_timeout_s=0.2)
    with _locked_by_somebody_else(url), pytest.raises(UnavailableError, match="locked"):
        registry.upsert_sensors([a_sensor()])
    registry.upsert_sensors([a_sensor()])
    assert list(registry.sensors()) == ["P-1"]
    registry.close()


def test_a_lock_given_back_in_time_is_waited_for(url: str) -> None:
    registry = open_registry(url, lock_timeout_s=30)
    with ThreadPoolExecutor(1) as pool:
        with _locked_by_somebody_else(url):
            writing = pool.submit(registry.upsert_sensors, [a_sensor()])
            assert not threading.Event().wait(0.1)
            assert not writing.done()
        writing.result(timeout=30)
    registry.close()


def test_a_full_sqlite_database_says_so_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    registry = open_registry(f"sqlite:///{tmp_path}/registry.sqlite")
    registry.record(an_entry(1))
    room_left = 8
    limit = [_pages(tmp_path) + room_left]
    event.listen(
        registry._database._engine,
        "begin",
        lambda connection: connection.exec_driver_sql(f"PRAGMA max_page_count={limit[0]}"),
    )
    registry.check()
    stored = 0

    def store_without_end() -> None:
        nonlocal stored
        while True:
            registry.save_model_file(a_model_file(bytes([stored]) * 5000))
            stored += 1

    with pytest.raises(StorageFullError, match="free disk space"):
        store_without_end()
    assert 1 <= stored < room_left
    with pytest.raises(StorageFullError):
        registry.bury([a_letter(payload=bytes(50_000))])
    with pytest.raises(StorageFullError):
        registry.check()
    assert registry.model_file(NetworkKind.DRAINAGE) == a_model_file(bytes([stored - 1]) * 5000)
    assert registry.audit_entries().items == (an_entry(1),)
    limit[0] *= 10
    registry.check()
    assert registry.bury([a_letter(payload=bytes(50_000))]) == 1
    registry.close()


def _pages(folder: Path) -> int:
    connection = sqlite3.connect(folder / "registry.sqlite")
    (count,) = connection.execute("PRAGMA page_count").fetchone()
    connection.close()
    return int(count)


def test_a_sqlite_file_that_is_no_database_is_unavailable_by_name(tmp_path: Path) -> None:
    path = tmp_path / "registry.sqlite"
    path.write_bytes(b"this is no database at all " * 400)
    with pytest.raises(UnavailableError, match=r"registry\.sqlite.*damaged"):
        open_registry(f"sqlite:///{path}")


def test_a_sqlite_file_in_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="nowhere"):
        open_registry(f"sqlite:///{tmp_path}/nowhere/registry.sqlite")


def test_a_damaged_document_is_named_and_never_half_read(tmp_path: Path) -> None:
    registry = open_registry(f"sqlite:///{tmp_path}/registry.sqlite")
    registry.save_run(a_run(1))
    registry.save_incidents([an_incident(1)])
    connection = sqlite3.connect(tmp_path / "registry.sqlite")
    connection.execute("UPDATE runs SET document = substr(document, 1, length(document) - 20)")
    connection.execute("UPDATE incidents SET document = replace(document, '\"extreme\"', '\"mild\"')")
    connection.commit()
    connection.close()
    with pytest.raises(UnavailableError, match="Run is damaged"):
        registry.run("R-00001")
    with pytest.raises(UnavailableError, match="Incident is damaged"):
        registry.incident("I-00001")
    registry.close()


def test_the_sqlite_file_is_durable_and_for_its_owner_only(tmp_path: Path) -> None:
    registry = open_registry(f"sqlite:///{tmp_path}/registry.sqlite")
    registry.record(an_entry(1))
    with registry._database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    registry.close()


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://h/db", "sqlite://", "sqlite:///:memory:", "postgresql+psycopg2://h/db", "sqlite+x:///a"],
)
def test_other_urls_are_refused_with_the_right_form(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///path"):
        open_registry(url)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_postgres_that_is_not_there_is_unavailable_and_the_password_is_not_told(scheme: str) -> None:
    with pytest.raises(UnavailableError) as caught:
        open_registry(f"{scheme}://h2twin:hush-hush@127.0.0.1:{free_port()}/registry")
    shown = f"{caught.value} {caught.value.__cause__}"
    assert "127.0.0.1" in shown
    assert "hush-hush" not in shown


@pytest.mark.needs_postgres
def test_postgres_may_restart_under_an_open_registry(tmp_path: Path) -> None:
    port = free_port()
    with postgres(tmp_path, port=port) as url:
        registry = open_registry(url)
        registry.record(an_entry(1))
        _cut_connections_to(url)
    with pytest.raises(UnavailableError):
        registry.check()
    with pytest.raises(UnavailableError):
        registry.audit_entries()
    with postgres(tmp_path, port=port):
        registry.check()
        assert registry.audit_entries().items == (an_entry(1),)
        registry.close()


@pytest.mark.needs_postgres
def test_a_connection_that_postgres_cuts_is_replaced(migrated_postgres: str) -> None:
    registry = open_registry(migrated_postgres)
    registry.check()
    _cut_connections_to(migrated_postgres)
    registry.check()
    registry.close()


def _cut_connections_to(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}"))
    engine.dispose()


def test_no_customer_is_named_in_an_error(registry: SqlRegistry) -> None:
    registry.save_run(a_run(1))
    with pytest.raises(TwinError) as caught:
        registry.save_run(a_run(1, cause="Ana Silva, Rua da Água"))
    shown = f"{caught.value} {caught.value.__cause__} {caught.value.__cause__ and caught.value.__cause__.__cause__}"
    assert "Ana Silva" not in shown
