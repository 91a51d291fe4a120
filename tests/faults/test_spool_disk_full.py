"""The disk is full: the batch is refused whole, what was stored stays, and it goes on when there is room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from reading_builders import NOON, a_reading, after
from servers.small_disk import MountRefusedError, small_disk
from spooled import waiting_lines

from twin.errors import StorageFullError
from twin.ports import AppendResult
from twin.readings import Reading
from twin.storage.spool import Spool
from twin.storage.sqlite_readings import SqliteReadings


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    try:
        with small_disk(tmp_path / "disk", megabytes=6) as folder:
            yield folder
    except MountRefusedError as error:
        pytest.skip(str(error))


def batch(number: int) -> list[Reading]:
    return [a_reading(at_s=number * 500 + second) for second in range(500)]


def fill(store: SqliteReadings) -> int:
    """Append until the disk is full; return how many batches were stored."""
    for number in range(10_000):
        try:
            assert store.append(batch(number)) == AppendResult(500, 0)
        except StorageFullError:
            return number
    raise AssertionError("the disk never filled")


def test_a_full_disk(disk: Path) -> None:
    store = SqliteReadings(disk / "readings.db")
    (disk / "ballast").write_bytes(bytes(3_000_000))
    stored = fill(store)
    assert stored > 5
    assert store.stats().readings == stored * 500
    assert store.between("pressure-1", NOON, after(10**9)) == [r for n in range(stored) for r in batch(n)]
    with pytest.raises(StorageFullError):
        store.append(batch(stored))
    with pytest.raises(StorageFullError):
        store.check()
    (disk / "ballast").unlink()
    store.check()
    assert store.append(batch(stored)) == AppendResult(500, 0)
    store.close()


def test_a_limit_on_the_file(tmp_path: Path) -> None:
    store = SqliteReadings(tmp_path / "readings.db", max_bytes=400_000)
    stored = fill(store)
    assert stored > 5
    assert store.between("pressure-1", NOON, after(10**9)) == [r for n in range(stored) for r in batch(n)]
    assert store.stats().readings == stored * 500
    store.close()
    roomier = SqliteReadings(tmp_path / "readings.db", max_bytes=4_000_000)
    assert roomier.append(batch(stored)) == AppendResult(500, 0)
    roomier.close()


def test_a_full_disk_under_the_spool(disk: Path) -> None:
    spool = Spool(disk / "spool.db")
    spool.meet("a bucket", {}, 0)
    stored = 0
    try:
        for number in range(10_000):
            spool.append(batch(number))
            stored += 500
    except StorageFullError:
        pass
    assert 2500 < stored < 1_000_000
    with pytest.raises(StorageFullError):
        spool.append(batch(10_000))
    with pytest.raises(StorageFullError):
        spool.check()
    assert spool.stats().readings == spool.stats().pending == stored
    assert waiting_lines(spool) == [a_reading(at_s=second) for second in range(stored)]
    spool.close()
