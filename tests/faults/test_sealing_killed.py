"""A process that seals is killed (-9) at any moment, while another goes on appending: nothing is lost or doubled."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from reading_builders import NOON, a_reading

from twin.ports import AppendResult
from twin.readings import Reading
from twin.storage.sqlite_readings import SqliteReadings

pytest.importorskip("pyarrow")

KILLS = 8
DAYS = 10
SENSORS = 40
DAY_S = 86_400

_SEALING = """
import sys
from datetime import timedelta
from pathlib import Path
from reading_builders import NOON
from twin.storage.sqlite_readings import SqliteReadings
store = SqliteReadings(Path(sys.argv[1]))
print("open", flush=True)
store.seal(NOON, now=NOON, told=lambda done, days: print(done, flush=True))
"""


def a_day(number: int, offset_s: int) -> list[Reading]:
    """Return readings of all sensors, so many days before noon."""
    return [
        a_reading(f"s-{sensor}", at_s=offset_s + step * 600 - number * DAY_S, raw_value=sensor + step / 7)
        for sensor in range(SENSORS)
        for step in range(30)
    ]


def test_killed_while_sealing(tmp_path: Path) -> None:
    path = tmp_path / "readings.db"
    store = SqliteReadings(path)
    kept = [reading for number in range(1, DAYS + 1) for reading in a_day(number, 0)]
    store.append(kept)
    roots = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    chance = random.Random(4)
    for kill in range(KILLS):
        command = [sys.executable, "-c", _SEALING, str(path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": ":".join(roots)}
        ) as sealer:
            assert sealer.stdout is not None
            sealer.stdout.readline()
            late = a_day(1 + chance.randrange(DAYS), kill + 1)
            assert store.append(late) == AppendResult(len(late), 0)
            kept += late
            time.sleep(chance.uniform(0.0, 0.25))  # the moment of the kill is the point: any will do
            sealer.kill()
    store.seal(NOON, now=NOON)
    assert store.verify_sealed() == DAYS
    assert store.stats().readings == len(kept)
    found = [
        reading
        for sensor in range(SENSORS)
        for reading in store.between(f"s-{sensor}", NOON - timedelta(days=30), NOON)
    ]
    assert found == sorted(kept, key=lambda reading: (int(reading.sensor_id[2:]), reading.observed_at))
    assert store.append(kept[::97]) == AppendResult(0, len(kept[::97]))
    store.close()
