"""The SQLite file under the reading stores: its layouts, its locks, and the errors it tells."""

from __future__ import annotations

import multiprocessing
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from reading_builders import NOON, a_reading, after

from twin.errors import ConfigError, UnavailableError
from twin.rollups import Every
from twin.storage.readings_file import ReadingsFile
from twin.storage.spool import Spool
from twin.storage.sqlite_readings import APPLICATION_ID, LAYOUT, SqliteReadings

FIRST = "CREATE TABLE note (text TEXT); INSERT INTO note VALUES ('kept')"
SECOND = "ALTER TABLE note ADD COLUMN author TEXT; UPDATE note SET author = 'nobody'"
BROKEN = "ALTER TABLE note ADD COLUMN place TEXT; SELECT * FROM missing"


def notes(path: Path, *layout: str) -> list[tuple[object, ...]]:
    file = ReadingsFile(path, application_id=7, layout=layout)
    try:
        with file.reading() as session:
            return session.connection.execute("SELECT * FROM note").fetchall()
    finally:
        file.close()


def test_an_older_file_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    assert notes(path, FIRST) == [("kept",)]
    assert notes(path, FIRST, SECOND) == [("kept", "nobody")]
    assert notes(path, FIRST, SECOND) == [("kept", "nobody")]


def test_a_newer_file_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    notes(path, FIRST, SECOND)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"notes\.db has layout 2, this h2twin knows layouts up to 1"):
        notes(path, FIRST)
    assert path.read_bytes() == before


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    notes(path, FIRST)
    with pytest.raises(UnavailableError, match="missing"):
        notes(path, FIRST, BROKEN)
    assert notes(path, FIRST) == [("kept",)]


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE photo (name TEXT)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"photos\.db is not the file"):
        SqliteReadings(path)
    assert path.read_bytes() == before


def test_a_spool_is_not_a_store_of_readings(tmp_path: Path) -> None:
    Spool(tmp_path / "spool.db").close()
    with pytest.raises(ConfigError):
        SqliteReadings(tmp_path / "spool.db")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    path.write_text("sensor_id,observed_at,value\n" * 100)
    with pytest.raises(ConfigError, match="not an SQLite file"):
        SqliteReadings(path)


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="folder exists"):
        SqliteReadings(tmp_path / "nowhere" / "readings.db")


def test_a_writer_that_holds_the_lock_for_too_long(tmp_path: Path) -> None:
    store = SqliteReadings(tmp_path / "readings.db", busy_timeout_s=0.05)
    store.append([a_reading()])
    other = sqlite3.connect(tmp_path / "readings.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(UnavailableError, match="locked by another process"):
        store.append([a_reading(at_s=1)])
    assert store.between("pressure-1", NOON, after(9)) == [a_reading()]
    other.execute("ROLLBACK")
    other.close()
    assert store.append([a_reading(at_s=1)]).stored == 1
    store.close()


def test_who_may_write_holds_the_lock_before_reading(tmp_path: Path) -> None:
    """Otherwise two processes could decide on the same state of the file."""
    first = ReadingsFile(tmp_path / "notes.db", application_id=7, layout=(FIRST,))
    second = ReadingsFile(tmp_path / "notes.db", application_id=7, layout=(FIRST,), busy_timeout_s=0.05)
    with first.writing(), pytest.raises(UnavailableError, match="locked"), second.writing():
        pytest.fail("two may write at once")
    first.close()
    second.close()


def test_it_is_durable_at_every_commit_that_does_not_say_otherwise(tmp_path: Path) -> None:
    file = ReadingsFile(tmp_path / "notes.db", application_id=7, layout=(FIRST,))
    for durable in (True, False, True):
        with file.writing(durable=durable) as session:
            assert session.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert session.connection.execute("PRAGMA synchronous").fetchone() == (2 if durable else 1,)
    file.close()


def test_the_table_is_keyed_without_row_ids(tmp_path: Path) -> None:
    SqliteReadings(tmp_path / "readings.db").close()
    with sqlite3.connect(tmp_path / "readings.db") as plain:
        (sql,) = plain.execute("SELECT sql FROM sqlite_master WHERE name = 'reading'").fetchone()
        assert "WITHOUT ROWID" in sql
        assert plain.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert plain.execute("PRAGMA user_version").fetchone() == (len(LAYOUT),)
    plain.close()


def _append_all(path: Path, value: float) -> tuple[int, int, int]:
    store = SqliteReadings(path)
    results = [
        store.append([a_reading(at_s=second, raw_value=value) for second in range(first, first + 25)])
        for first in range(0, 500, 25)
    ]
    store.close()
    return (sum(r.stored for r in results), sum(r.duplicates for r in results), sum(len(r.conflicts) for r in results))


def test_processes_that_append_the_same_keys_store_each_once(tmp_path: Path) -> None:
    """Three processes open a file that is not there yet: two carry the same values, one others."""
    path = tmp_path / "readings.db"
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        results = pool.starmap(_append_all, [(path, 1.0), (path, 1.0), (path, 2.0)])
    stored, duplicates, conflicts = (sum(column) for column in zip(*results, strict=True))
    assert stored == 500
    assert duplicates + conflicts == 1000
    store = SqliteReadings(path)
    ones = sum(reading.value == 1.0 for reading in store.between("pressure-1", NOON, after(999)))
    store.close()
    assert (duplicates, conflicts) == (ones, 2 * (500 - ones) + ones)


def test_an_error_inside_leaves_nothing_behind(tmp_path: Path) -> None:
    file = ReadingsFile(tmp_path / "notes.db", application_id=7, layout=(FIRST,))
    with pytest.raises(UnavailableError), file.writing() as session:
        _ = session.connection.execute("DELETE FROM note"), session.connection.execute("SELECT * FROM missing")
    with file.reading() as session:
        assert session.connection.execute("SELECT * FROM note").fetchall() == [("kept",)]
    file.close()


def test_a_file_of_the_first_layout_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    ReadingsFile(path, application_id=APPLICATION_ID, layout=LAYOUT[:1]).close()
    with sqlite3.connect(path) as plain:
        plain.execute("INSERT INTO series (sensor_id) VALUES ('pressure-1')")
        plain.execute("INSERT INTO word (text) VALUES ('m'), ('')")
        at = int(NOON.timestamp()) * 1_000_000
        plain.execute("INSERT INTO reading VALUES (1, ?, ?, 3.0, 1, 3.0, 1, 0, 2, NULL)", (at, at + 1_000_000))
        plain.execute("UPDATE tally SET readings = 1")
    store = SqliteReadings(path)
    store.roll_up(NOON + timedelta(days=1))
    assert store.between("pressure-1", NOON, NOON + timedelta(days=1)) == [a_reading()]
    windows = store.rollups(["pressure-1"], NOON, NOON + timedelta(days=1), Every.HOUR)["pressure-1"]
    assert [(window.readings, window.mean) for window in windows] == [(1, 3.0)]
    assert store.append([a_reading()]).duplicates == 1
    store.close()
