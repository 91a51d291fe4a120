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


class SlowRegistry(MemorySensors):
    """Takes `takes_s` on the test's clock for each reading."""

    def __init__(self, seconds: Seconds, takes_s: float) -> None:
        super().__init__()
        self._seconds, self._takes_s = seconds, takes_s

    def sensors(self) -> dict[str, Sensor]:
        self._seconds.now += self._takes_s
        return super().sensors()


def test_is_read_again_when_it_is_old() -> None:
    registry, seconds = MemorySensors(), Seconds()
    table = SensorTable(registry, stale_after_s=10, seconds=seconds)
    reads = []
    for seconds.now in (0, 1, 9.9, 10, 11, 20):
        table.refresh()
        reads.append(registry.times_read)
    assert reads == [1, 1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("takes_s", "reads_in_a_minute"),
    [pytest.param(0.01, 286, id="small: every 0.21 s"), pytest.param(0.5, 25, id="large: every 2.5 s")],
)
def test_a_flood_of_unknown_sensors_is_no_flood_of_queries(takes_s: float, reads_in_a_minute: int) -> None:
    seconds = Seconds()
    registry = SlowRegistry(seconds, takes_s)
    table = SensorTable(registry, seconds=seconds)
    while seconds.now < 60:
        table.refresh(missing=True)
        seconds.now += 0.001
    assert registry.times_read == pytest.approx(reads_in_a_minute, rel=0.05)


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
