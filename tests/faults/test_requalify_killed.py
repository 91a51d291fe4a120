"""A process that judges readings anew is killed (-9) again and again: every verdict it reported is there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from reading_builders import NOON, a_reading, after
from servers.influxdb import influxdb

from twin.ports import ReadingStore
from twin.readings import Quality, Reading
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings

KILLS = 3
READINGS = 40

_JUDGING = """
import sys
from dataclasses import replace
from pathlib import Path
from reading_builders import a_reading
from twin.readings import Quality
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings
kind, turn, count, *where = sys.argv[1:]
turn = int(turn)
store = SqliteReadings(Path(where[0])) if kind == "sqlite" else InfluxReadings(*where[1:], Path(where[0]), max_ledger=0)
while True:
    turn += 1
    quality = Quality.BAD if turn % 2 else Quality.GOOD
    store.requalify([replace(a_reading(at_s=s), value=float(turn), quality=quality) for s in range(int(count))])
    print(turn, flush=True)
"""


def judge_and_die(kind: str, turn: int, reports: int, *where: str) -> int:
    """Run a process that judges all readings anew, turn by turn; kill it and return the last turn it reported."""
    command = [sys.executable, "-c", _JUDGING, kind, str(turn), str(READINGS), *where]
    roots = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ":".join(roots)}) as process:
        assert process.stdout is not None
        for _ in range(reports):
            turn = int(process.stdout.readline())
        process.kill()
        *_, turn = [turn, *map(int, process.stdout.read().split("\n")[:-1])]
    return turn


def judged(turn: int) -> list[Reading]:
    quality = Quality.BAD if turn % 2 else Quality.GOOD
    return [replace(a_reading(at_s=second), value=float(turn), quality=quality) for second in range(READINGS)]


def assert_no_verdict_is_lost(open_store: Callable[[], ReadingStore], kind: str, *where: str) -> None:
    first = open_store()
    first.append([a_reading(at_s=second) for second in range(READINGS)])
    first.close()
    turn = 0
    for kill in range(KILLS):
        turn = judge_and_die(kind, turn, 2 + 5 * kill, *where)
    store = open_store()
    try:
        if isinstance(store, InfluxReadings):
            store.flush(60)
        kept = store.between("pressure-1", NOON, after(10**7))
        assert kept in (judged(turn), judged(turn + 1))  # the last turn may have been kept and not reported
        assert store.stats().readings == READINGS
    finally:
        store.close()


def test_embedded(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    assert_no_verdict_is_lost(lambda: SqliteReadings(path), "sqlite", str(path))


@pytest.mark.needs_influxdb
def test_behind_the_spool(tmp_path: Path) -> None:
    folder = tmp_path / "influx"
    folder.mkdir()
    with influxdb(folder) as server:
        where = (server.url, server.token, server.org, server.bucket)
        path = tmp_path / "spool.db"
        assert_no_verdict_is_lost(lambda: InfluxReadings(*where, path, max_ledger=0), "influx", str(path), *where)
