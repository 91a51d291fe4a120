"""A real flat's water by the second, metered by a register: what the register tells is what the fixtures gave."""

from __future__ import annotations

import csv
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from twin.consumption import Interval, consumption
from twin.readings import Kind, Quality, Reading, Sensor
from twin.units import Quantity

FIXTURES = Path(__file__).parents[2] / "data" / "meters" / "weusedto_three_days.csv"
METER = Sensor("W-1", Quantity.VOLUME, Kind.TOTAL_INCREASING, expected_every_s=900, connection_id="C-1")


def _flows() -> list[tuple[int, float]]:
    with FIXTURES.open(newline="") as file:
        return [(int(row["unix_time"]), float(row["flow"]) * 1e-6) for row in csv.DictReader(file)]


FLOWS = _flows()
FIRST = FLOWS[0][0] // 86400 * 86400
QUARTERS = range(3 * 96 + 1)


def at(quarter: int) -> datetime:
    return datetime.fromtimestamp(FIRST + 900 * quarter, UTC)


def given(start: datetime, end: datetime) -> float:
    """The truth: what the fixtures gave, second by second (m3)."""
    return math.fsum(volume for second, volume in FLOWS if start.timestamp() <= second < end.timestamp())


def registers(first_m3: float = 250.0) -> list[Reading]:
    shown = ((at(quarter), first_m3 + given(at(0), at(quarter))) for quarter in QUARTERS)
    return [Reading("W-1", moment, moment, value, "m3", value, "m3") for moment, value in shown]


@pytest.mark.parametrize("interval", list(Interval))
def test_every_interval_is_what_the_fixtures_gave(interval: Interval) -> None:
    found = consumption(METER, registers(), start=at(0), end=at(288), interval=interval)
    assert sum(one.volume_m3 is not None for one in found) == timedelta(days=3) / interval.length
    assert {one.quality for one in found} == {Quality.GOOD}
    for one in found:
        assert one.volume_m3 == pytest.approx(given(one.start, one.end), abs=1e-9)


def test_a_third_of_the_readings_lost_moves_water_between_hours_but_loses_none() -> None:
    chance = random.Random(7)
    kept = [reading for n, reading in enumerate(registers()) if n in (0, 288) or chance.random() > 1 / 3]
    found = consumption(METER, kept, start=at(0), end=at(288), interval=Interval.HOUR)
    assert math.fsum(one.volume_m3 or 0 for one in found) == pytest.approx(given(at(0), at(288)), abs=1e-9)
    for one in found:
        if one.quality is Quality.GOOD and one.start in {r.observed_at for r in kept} >= {one.end}:
            assert one.volume_m3 == pytest.approx(given(one.start, one.end), abs=1e-9)
    assert {one.quality for one in found} == {Quality.GOOD, Quality.ESTIMATED}


def test_a_meter_replaced_at_noon_costs_nothing_but_its_own_quarter() -> None:
    old, new = registers(), registers(first_m3=0.0)
    noon = 48
    start = new[noon].value
    readings = old[: noon + 1]
    for reading in new[noon + 1 :]:
        shown = reading.value - start
        readings.append(Reading("W-1", reading.observed_at, reading.available_at, shown, "m3", shown, "m3"))
    day = consumption(METER, readings, start=at(0), end=at(96), interval=Interval.DAY)[0]
    assert day.volume_m3 == pytest.approx(given(day.start, day.end), abs=1e-9)
    assert (day.quality, day.reasons) == (Quality.ESTIMATED, ("counter_reset",))
