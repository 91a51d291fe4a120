"""The sensor table reads the registry when it must and not more often."""

from __future__ import annotations

import pytest
from fakes import MemorySensors, away

from ingest.sensors import SensorTable
from twin.errors import UnavailableError
from twin.readings import Sensor
from twin.units import Quantity


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_refreshes_by_age_and_sooner_when_somebody_is_missing() -> None:
    registry, seconds = MemorySensors(), Seconds()
    table = SensorTable(registry, stale_after_s=10, at_most_every_s=2, seconds=seconds)
    reads = []
    for now, missing in [(0, False), (1, False), (1, True), (2, True), (3, True), (11, False), (12, False)]:
        seconds.now = now
        table.refresh(missing=missing)
        reads.append(registry.times_read)
    assert reads == [1, 1, 1, 2, 2, 2, 3]


def test_a_registry_away_leaves_the_last_table_in_use() -> None:
    registry, seconds = MemorySensors(Sensor("P-1", Quantity.PRESSURE)), Seconds()
    table = SensorTable(registry, seconds=seconds)
    table.refresh()
    registry.failure = away()
    seconds.now = 1000
    table.refresh()
    assert table.get("P-1") is not None
    with pytest.raises(UnavailableError):
        table.refresh(missing=True)


def test_a_registry_never_read_is_waited_for() -> None:
    registry = MemorySensors()
    registry.failure = away()
    with pytest.raises(UnavailableError):
        SensorTable(registry).refresh()
