"""How long the first and every later `h2twin doctor sensors` counts: 100 sensors of five minutes over seven days.

The peer reads the same readings from the same store and does nothing with them.
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from twin.readings import ElementType, Reading, Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.trust_report import trust_report
from twin.units import Quantity

SENSORS, DAYS, EVERY_S = 100, 7, 300
START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=DAYS)


def _sensor(number: int) -> Sensor:
    place = {"element_type": ElementType.NODE, "element_id": f"J{number // 2}"}  # each place has two sensors
    return Sensor(f"P-{number:03}", Quantity.PRESSURE, expected_every_s=EVERY_S, **place)  # type: ignore[arg-type]


def _readings(sensor: Sensor) -> list[Reading]:
    moments = [START + timedelta(seconds=EVERY_S * n) for n in range(DAYS * 86400 // EVERY_S)]
    return [
        Reading(sensor.sensor_id, at, at + timedelta(seconds=2), 30.0 + n % 7, "m", 30.0 + n % 7, "m")
        for n, at in enumerate(moments)
    ]


def main() -> None:
    """Print the table."""
    sensors = [_sensor(number) for number in range(SENSORS)]
    with tempfile.TemporaryDirectory() as folder:
        store, registry = SqliteReadings(Path(folder) / "r.db"), open_registry(f"sqlite:///{folder}/registry.db")
        registry.upsert_sensors(sensors)
        for sensor in sensors:
            store.append(_readings(sensor))
        took = [time.perf_counter()]
        for sensor in sensors:
            store.between(sensor.sensor_id, START, END)
        took.append(time.perf_counter())
        for _ in range(2):
            last = END.date() - timedelta(days=1)
            report = trust_report(store, registry, first=START.date(), last=last, now=END + timedelta(hours=2))
            assert len(report.days) == SENSORS * DAYS
            took.append(time.perf_counter())
        store.close()
        registry.close()
    reading, first, again = (after - before for before, after in pairwise(took))
    print("| | seconds | ratio |\n|---|---|---|")
    print(f"| only reading {SENSORS * DAYS * 86400 // EVERY_S:,} readings | {reading:.2f} | |")
    print(f"| counting all days | {first:.2f} | {first / reading:.1f} |")
    print(f"| asking again | {again:.3f} | {again / reading:.3f} |")


if __name__ == "__main__":
    main()
