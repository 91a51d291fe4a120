"""Observed rain on the gauge's grid. Times are drawn as hours: 10 means 10:00."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.rain import covered_until, observed_rain, rain_gauges
from twin.readings import ElementType, Quality, Reading, Sensor
from twin.units import Quantity

DAY = datetime(2026, 1, 1, tzinfo=UTC)
GAUGE = Sensor("R1", Quantity.RAIN, element_type=ElementType.GAGE, element_id="G1", expected_every_s=3600)


def hour(value: float) -> datetime:
    return DAY + timedelta(hours=value)


def rain(at: float, mm: float, quality: Quality = Quality.GOOD) -> Reading:
    return Reading("R1", hour(at), hour(at), mm, "mm", mm, "mm", quality)


def test_each_reading_is_the_rain_of_the_interval_that_ends_at_it() -> None:
    series = observed_rain(GAUGE, [rain(9, 1.0), rain(10, 2.0)], start=hour(8), end=hour(10))
    assert (series.valid_from, series.interval_s, series.rain_mm, series.missing) == (hour(8), 3600, (1.0, 2.0), 0)
    assert series.gage_id == "G1"


def test_an_absent_or_untrusted_hour_is_dry_and_counted() -> None:
    readings = [rain(9, 1.0), rain(10, 99.0, Quality.BAD), rain(12, 4.0)]
    series = observed_rain(GAUGE, readings, start=hour(8), end=hour(12))
    assert (series.rain_mm, series.missing) == ((1.0, 0.0, 0.0, 4.0), 2)


def test_a_start_inside_an_interval_takes_the_whole_interval_in() -> None:
    series = observed_rain(GAUGE, [rain(9, 6.0), rain(10, 2.0)], start=hour(8.5), end=hour(10))
    assert (series.valid_from, series.rain_mm) == (hour(8), (6.0, 2.0))


def test_no_readings_at_all_is_missing_rain_not_an_error() -> None:
    series = observed_rain(GAUGE, [], start=hour(8), end=hour(10))
    assert (series.rain_mm, series.missing) == ((0.0, 0.0), 2)


@given(
    hours=st.sets(st.integers(1, 24), min_size=1),
    start=st.integers(0, 12),
    length=st.integers(1, 12),
)
def test_no_rain_is_invented_or_lost(hours: set[int], start: int, length: int) -> None:
    readings = [rain(at, float(at)) for at in sorted(hours)]
    inside = [r for r in readings if hour(start) < r.observed_at <= hour(start + length)]
    series = observed_rain(GAUGE, inside, start=hour(start), end=hour(start + length))
    assert sum(series.rain_mm) == sum(r.value for r in inside)
    assert series.valid_from <= hour(start)
    assert series.valid_from + timedelta(hours=len(series.rain_mm)) >= hour(start + length)


@pytest.mark.parametrize(
    ("reported", "now", "expected"),
    [
        pytest.param([10, 10], 10.5, 10, id="all have reported the hour to 10"),
        pytest.param([10, 9], 10.5, 9, id="one is an hour behind: it is waited for"),
        pytest.param([10, 2], 10.5, 7.5, id="one is silent: waited for three intervals and no longer"),
        pytest.param([10, None], 10.5, 7.5, id="one has never reported"),
        pytest.param([11], 10.5, 10.5, id="never beyond now"),
    ],
)
def test_the_state_waits_for_rain_that_is_on_its_way(reported: list[float | None], now: float, expected: float) -> None:
    gauges = [
        Sensor(f"R{i}", Quantity.RAIN, element_type=ElementType.GAGE, element_id=f"G{i}", expected_every_s=3600)
        for i in range(len(reported))
    ]
    newest = {f"R{i}": rain(at, 0.0) for i, at in enumerate(reported) if at is not None}
    assert covered_until(gauges, newest, now=hour(now)) == hour(expected)


def test_only_rain_at_a_gage_drives_the_model() -> None:
    roof = Sensor("R9", Quantity.RAIN, element_type=ElementType.NONE)
    assert rain_gauges({"R1": GAUGE, "R9": roof, "T": Sensor("T", Quantity.TEMPERATURE)}) == [GAUGE]
