"""An import of history is killed (-9) again and again and started again: the same store as without a kill."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from servers.process import wait_until

from twin.readings import Reading
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings

ROWS = 24_000
SENSORS = 20
START = datetime(2026, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def write_history(folder: Path) -> Path:
    """Write values with spikes, flat stretches, some readings out of order, and a bad row now and then."""
    chance = random.Random(7)
    lines = ["sensor_id,observed_at,value,unit,seq"]
    for row in range(ROWS):
        at = START + timedelta(minutes=5 * (row // SENSORS) - (600 if chance.random() < 0.001 else 0), seconds=row % 7)
        value = 30.0 if 8_000 < row < 13_000 else 30 + chance.random() + (40 if chance.random() < 0.002 else 0)
        lines.append(f"P-{row % SENSORS},{at.isoformat()},{value:.3f},m,{row // SENSORS}")
        if row % 3_000 == 0:
            lines.append(f"P-1,{at.isoformat()},high,m,")
    path = folder / "history.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments: object, folder: Path) -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TWIN_DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "api", *map(str, arguments), "--json"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> dict[str, int]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    counts: dict[str, int] = json.loads(out)
    return counts


def prepared(folder: Path, sensors: Path) -> Path:
    folder.mkdir()
    assert answer(run("import", "sensors", sensors, folder=folder)) == {"sensors": SENSORS}
    return folder


def rows_done(folder: Path) -> int:
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    try:
        progress = registry.import_progress(hashlib.sha256((folder.parent / "history.csv").read_bytes()).hexdigest())
        return progress.rows_done if progress else 0
    finally:
        registry.close()


def is_past(folder: Path, rows: int, process: subprocess.Popen[str]) -> bool:
    return rows_done(folder) > rows or process.poll() is not None


def kept(folder: Path) -> tuple[list[Reading], set[bytes], int]:
    """Return all readings but for when they became available, the dead letters, and at how many moments they did."""
    store = SqliteReadings(folder / "readings.db")
    readings = [
        reading
        for number in range(SENSORS)
        for reading in store.between(f"P-{number}", START - timedelta(days=9), START + timedelta(days=99))
    ]
    store.close()
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    letters = {letter.payload for letter in registry.dead_letters(limit=1000).items}
    assert registry.reopened() == []
    registry.close()
    moments = {reading.available_at for reading in readings}
    return [replace(reading, available_at=START) for reading in readings], letters, len(moments)


def test_killed_in_the_middle(tmp_path: Path) -> None:
    history = write_history(tmp_path)
    sensors = tmp_path / "sensors.csv"
    sensors.write_text(
        "sensor_id,quantity,kind,unit,element_type,element_id,district,expected_every_s,low,high\n"
        + "".join(f"P-{number},pressure,instant,m,,,,300,0,60\n" for number in range(SENSORS))
    )
    whole, torn = prepared(tmp_path / "whole", sensors), prepared(tmp_path / "torn", sensors)
    counts = answer(run("import", "readings", history, folder=whole))
    assert counts["stored"] + counts["duplicates"] + counts["dead_letters"] == ROWS + ROWS // 3_000

    seen = 0
    for _ in range(3):
        process = run("import", "readings", history, folder=torn)
        wait_until(partial(is_past, torn, seen, process), within_s=60)
        process.kill()
        process.communicate()
        assert rows_done(torn) > seen
        seen = rows_done(torn)
    counts = answer(run("import", "readings", history, folder=torn))
    assert counts["rows_done_before"] >= seen
    assert rows_done(torn) == 0
    assert kept(torn) == kept(whole)
    assert kept(torn)[2] == 1
    again = answer(run("import", "readings", history, folder=torn))
    assert (again["stored"], "rows_done_before" in again) == (0, False)
