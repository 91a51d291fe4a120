"""The re-judging thread on real embedded stores: windows are settled, by one process at a time."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers.process import wait_until

from api.rejudging import LEASE, Rejudging
from ingest.notes import keep
from ingest.quality import QualityGate
from ingest.quality.rejudge import Rejudge
from twin.clock import SystemClock
from twin.readings import Reading, Sensor, reading_from_raw
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SENSOR = Sensor("P", Quantity.PRESSURE)


class Plant:
    def __init__(self, folder: Path) -> None:
        self.registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
        self.registry.upsert_sensors([SENSOR])
        self.readings = SqliteReadings(folder / "readings.db")
        self.gate = QualityGate({"P": SENSOR}, history=self.readings)
        self.rejudging = Rejudging(self.readings, self.registry, SystemClock())

    def deliver(self, readings: list[Reading]) -> None:
        judged = self.gate.judge(readings)
        keep(self.gate.take_notes(), self.registry)
        self.readings.append(judged)

    def reasons_at(self, reading: Reading) -> tuple[str, ...]:
        at = reading.observed_at
        (stored,) = self.readings.between("P", at, at + timedelta(seconds=1))
        return stored.reasons


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    one = Plant(tmp_path)
    yield one
    one.rejudging.stop()
    one.readings.close()
    one.registry.close()


def a_record(values: list[float]) -> list[Reading]:
    times = [T0 + n * timedelta(minutes=5) for n in range(len(values))]
    return [
        reading_from_raw(SENSOR, observed_at=at, available_at=at, raw_value=value)
        for at, value in zip(times, values, strict=True)
    ]


PEAK = [*(30 + math.sin(n) for n in range(40)), 44.0, 30.0]


def test_the_thread_settles_what_waits(plant: Plant) -> None:
    record = a_record(PEAK)
    plant.deliver(record)
    assert plant.registry.reopened()
    plant.rejudging.start()
    wait_until(lambda: not plant.registry.reopened(), what="the worker")
    assert plant.reasons_at(record[40]) == ("spike",)


def test_another_process_that_holds_the_lease_does_it_alone(plant: Plant) -> None:
    now = datetime.now(UTC)
    assert plant.registry.acquire_lease(LEASE, "another", ttl_s=600, now=now)
    plant.deliver(a_record(PEAK))
    plant.rejudging.start()
    plant.rejudging.stop()
    assert plant.registry.reopened()


def test_a_process_that_ends_leaves_what_it_has_not_judged_to_the_next(plant: Plant) -> None:
    plant.deliver(a_record(PEAK))
    stop = threading.Event()
    stop.set()
    assert Rejudge(plant.readings, plant.registry).turn(stop) == 0
    assert plant.registry.reopened()


def test_a_hundred_late_readings_are_one_window_and_soon_settled(plant: Plant) -> None:
    record = a_record([30 + math.sin(n) for n in range(1500)])
    late = record[500:600]
    plant.deliver([reading for reading in record if reading not in late])
    plant.rejudging.settle()
    plant.deliver(late)
    assert len(plant.registry.reopened()) == 1
    plant.rejudging.settle()
    assert plant.reasons_at(record[600]) == ()


def test_an_exercise_settles_at_once(plant: Plant) -> None:
    record = a_record(PEAK)
    plant.deliver(record)
    plant.rejudging.settle()
    assert plant.registry.reopened() == []
    assert plant.reasons_at(record[40]) == ("spike",)
