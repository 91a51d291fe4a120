"""Observed rain on the gauge's grid. Times are drawn as hours: 10 means 10:00."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.errors import InputError
from twin.rain import covered_until, observed_rain, rain_gauges
from twin.readings import ElementType, Kind, Quality, Reading, Sensor
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


@given(
    rows=st.lists(st.tuples(st.integers(0, 20 * 3600), st.integers(0, 9)), unique_by=lambda row: row[0], max_size=20),
    cuts=st.lists(st.integers(-7200, 22 * 3600), unique=True, min_size=2, max_size=5),
)
def test_rain_off_the_grid_keeps_its_mass_over_any_windows(rows: list[tuple[int, int]], cuts: list[int]) -> None:
    readings = sorted((rain(s / 3600, float(mm)) for s, mm in rows), key=lambda r: r.observed_at)
    moments = [DAY + timedelta(seconds=s) for s in sorted(cuts)]
    applied = 0.0
    for start, end in pairwise(moments):
        series = observed_rain(GAUGE, readings, start=start, end=end)
        for index, mm in enumerate(series.rain_mm):
            begins = series.valid_from + timedelta(hours=index)
            applied += (
                mm * max(timedelta(0), min(begins + timedelta(hours=1), end) - max(begins, start)) / timedelta(hours=1)
            )
    fell = 0.0
    for reading in readings:
        inside = min(reading.observed_at, moments[-1]) - max(reading.observed_at - timedelta(hours=1), moments[0])
        fell += reading.value * max(timedelta(0), inside) / timedelta(hours=1)
    assert applied == pytest.approx(fell, abs=1e-9)


def test_a_gauge_that_sends_a_little_off_its_grid_loses_nothing() -> None:
    off_s = [3, -2, 0.5, 4]
    readings = [rain(9 + i + off / 3600, 2.0) for i, off in enumerate(off_s)]
    series = observed_rain(GAUGE, readings, start=hour(7), end=hour(13))
    assert sum(series.rain_mm) == pytest.approx(8.0)
    assert max(series.rain_mm) == pytest.approx(2.0, rel=0.01)
    assert series.valid_from.microsecond == 0


def test_a_counter_is_no_rain_per_interval() -> None:
    with pytest.raises(InputError, match="R1"):
        observed_rain(replace(GAUGE, kind=Kind.TOTAL_INCREASING), [rain(9, 4321.0)], start=hour(8), end=hour(10))
