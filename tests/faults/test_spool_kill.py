"""A process that appends is killed (-9) again and again: all that it reported as appended is there, once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from reading_builders import NOON, a_reading, after
from servers.influxdb import influxdb

from twin.ports import ReadingStore
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings

KILLS = 4
BATCH = 20

_APPENDING = """
import sys
from pathlib import Path
from reading_builders import a_reading
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings
kind, first, batch, *where = sys.argv[1:]
store = SqliteReadings(Path(where[0])) if kind == "sqlite" else InfluxReadings(*where[1:], Path(where[0]))
second = int(first)
while True:
    store.append([a_reading(at_s=second + offset) for offset in range(int(batch))])
    second += int(batch)
    print(second, flush=True)
"""


def append_and_die(kind: str, first: int, reports: int, *where: str) -> int:
    """Run a process that appends from `first` on, kill it after some reports; return up to where it had reported."""
    command = [sys.executable, "-c", _APPENDING, kind, str(first), str(BATCH), *where]
    roots = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ":".join(roots)}) as process:
        assert process.stdout is not None
        reported = first
        for _ in range(reports):
            reported = int(process.stdout.readline())
        process.kill()
        *_, reported = [reported, *map(int, process.stdout.read().split("\n")[:-1])]
    return reported


def assert_nothing_is_lost(open_store: Callable[[], ReadingStore], kind: str, *where: str) -> None:
    reported = 0
    for kill in range(KILLS):
        reported = append_and_die(kind, reported, 3 + 7 * kill, *where)
    store = open_store()
    try:
        if isinstance(store, InfluxReadings):
            store.flush(60)
        kept = store.between("pressure-1", NOON, after(10**7))
        assert kept[:reported] == [a_reading(at_s=second) for second in range(reported)]
        assert len(kept) in (reported, reported + BATCH)  # the last batch may have been kept and not reported
        assert store.stats().readings == len(kept)
    finally:
        store.close()


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    assert_nothing_is_lost(lambda: SqliteReadings(path), "sqlite", str(path))


@pytest.mark.needs_influxdb
def test_spool_and_influxdb(tmp_path: Path) -> None:
    folder = tmp_path / "influx"
    folder.mkdir()
    with influxdb(folder) as server:
        where = (server.url, server.token, server.org, server.bucket)
        path = tmp_path / "spool.db"
        assert_nothing_is_lost(lambda: InfluxReadings(*where, path), "influx", str(path), *where)
