"""Consumption from registers, against hand calculation, simulated meters and a brute force in exact fractions."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reading_builders import NOON

from twin.consumption import Consumption, Interval, consumption, spans
from twin.errors import InputError
from twin.readings import Kind, Quality, Reading, Reason, Sensor
from twin.units import Quantity

HOUSEHOLD = Sensor(
    "W-1",
    Quantity.VOLUME,
    Kind.TOTAL_INCREASING,
    expected_every_s=3600,
    rollover_at=10_000.0,
    connection_id="C-1",
)
BULK = Sensor("B-1", Quantity.VOLUME, Kind.TOTAL_INCREASING, expected_every_s=3600)


def shows(hours: float, register_m3: float, quality: Quality = Quality.GOOD, *reasons: str) -> Reading:
    at = NOON + timedelta(hours=hours)
    return Reading("W-1", at, at, register_m3, "m3", register_m3, "m3", quality, reasons)


def course(*registers_m3: float) -> list[Reading]:
    return [shows(hour, register) for hour, register in enumerate(registers_m3)]


def used(
    readings: Sequence[Reading], hours: float, sensor: Sensor = HOUSEHOLD, interval: Interval = Interval.HOUR
) -> list[Consumption]:
    return consumption(sensor, readings, start=NOON, end=NOON + timedelta(hours=hours), interval=interval)


def volumes(sensor: Sensor, *registers_m3: float) -> list[tuple[float | None, str | None]]:
    found = spans(sensor, course(*registers_m3))
    return [(None if s.volume_m3 is None else round(s.volume_m3, 9), s.reason and str(s.reason)) for s in found]


# ------------------------------------------------------------------------------------------------------- spans


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        pytest.param((100, 100.5, 100.5), [(0.5, None), (0, None)], id="rises and rests"),
        pytest.param((9999.8, 0.3), [(0.5, "rollover")], id="passes its last number"),
        pytest.param((5000.0, 0.3), [(0.3, "counter_reset")], id="a fall from half way is no rollover"),
        pytest.param((100, 99.9, 100.4), [(-0.1, "reverse_flow"), (0.5, None)], id="water comes back"),
        pytest.param((100, 0, 0.2), [(0, "counter_reset"), (0.2, None)], id="reset to nothing"),
        pytest.param((100, 0.4, 0.9), [(0.4, "counter_reset"), (0.5, None)], id="reset between readings"),
        pytest.param((100, 40, 40.5), [(None, "counter_reset"), (0.5, None)], id="replaced by a used meter"),
        pytest.param((100, 400, 400.5), [(None, "counter_reset"), (0.5, None)], id="replaced, the new one shows more"),
        pytest.param((100, 600, 100.2), [(0.2, None)], id="misread once, too high"),
        pytest.param((100, 600, 601, 100.2), [(0.2, None)], id="misread twice, too high"),
        pytest.param((100, 0, 0, 100.2), [(0.2, None)], id="zeros for a while"),
        pytest.param((100, 100.2, 100.1), [(0.2, None), (-0.1, "reverse_flow")], id="a peak of what came back is kept"),
        pytest.param((0.5, 0, 0.2, 0.6), [(0, "counter_reset"), (0.2, None), (0.4, None)], id="a new meter counts on"),
    ],
)  # fmt: skip
def test_what_a_register_does(registers: tuple[float, ...], expected: list[tuple[float | None, str | None]]) -> None:
    assert volumes(HOUSEHOLD, *registers) == expected


def test_a_large_meter_without_a_limit_may_rise_by_anything_but_falls_for_unknown() -> None:
    assert volumes(BULK, 100, 5100) == [(5000, None)]
    assert volumes(BULK, 5100, 900) == [(None, "counter_reset")]


def test_a_large_meter_rolls_over_near_its_last_number_only() -> None:
    meter = replace(BULK, rollover_at=10_000.0)
    assert volumes(meter, 9800, 300) == [(500, "rollover")]
    assert volumes(meter, 9200, 300) == [(None, "counter_reset")]


def test_the_registry_says_what_can_pass_a_meter() -> None:
    fast = Sensor("B-2", Quantity.VOLUME, Kind.TOTAL_INCREASING, expected_every_s=3600, max_rate_per_s=1.0)
    assert volumes(fast, 5100, 900, 4500, 8100) == [(900, "counter_reset"), (3600, None), (3600, None)]
    assert volumes(fast, 900, 4500, 8101) == [(3600, None), (None, "counter_reset")]


def test_two_hours_of_misreading_are_left_out_also_where_nothing_limits_the_meter() -> None:
    assert volumes(BULK, 100, 0, 0, 130) == [(30, None)]
    assert volumes(BULK, 100, 600, 600, 130) == [(30, None)]


@pytest.mark.parametrize(
    ("reading", "is_used"),
    [
        pytest.param(shows(1, 100.3, Quality.BAD, "out_of_range"), False, id="bad"),
        pytest.param(shows(1, 100.3, Quality.SUSPECT, "spike"), False, id="suspect value"),
        pytest.param(shows(1, 100.3, Quality.SUSPECT, "counter_reset", "clock_skew"), False, id="one reason too many"),
        pytest.param(shows(1, 100.3, Quality.SUSPECT, "reverse_flow"), True, id="suspect course, true value"),
        pytest.param(shows(1, 100.3, Quality.ESTIMATED), True, id="estimated"),
    ],
)
def test_only_readings_that_are_what_the_meter_shows_are_used(reading: Reading, is_used: bool) -> None:
    found = spans(HOUSEHOLD, [shows(0, 100), reading, shows(2, 100.4)])
    assert len(found) == (2 if is_used else 1)
    assert math.fsum(span.volume_m3 or 0 for span in found) == pytest.approx(0.4)


@pytest.mark.parametrize("quantity", [Quantity.ENERGY, Quantity.RAIN])
def test_what_is_no_water_meter_is_refused(quantity: Quantity) -> None:
    with pytest.raises(InputError, match="meter"):
        spans(Sensor("E-1", quantity, Kind.TOTAL_INCREASING), [])


# --------------------------------------------------------------------------------------------------- intervals


def test_full_hours_are_good_and_the_running_one_has_no_volume_yet() -> None:
    first, second, third = used([shows(0, 10), shows(1, 10.5), shows(2, 10.75), shows(2.5, 10.8)], 3)
    assert (first.volume_m3, first.quality, first.reasons) == (0.5, Quality.GOOD, ())
    assert second.volume_m3 == 0.25
    assert third.volume_m3 is None
    assert (third.counted_m3, third.coverage, third.quality) == (pytest.approx(0.05), 0.5, Quality.BAD)


def test_a_gap_is_filled_evenly_and_says_so_with_its_share() -> None:
    hours = used([shows(0, 10), shows(1, 10.4), shows(4, 11.0), shows(5, 11.5)], 5)
    assert [round(hour.volume_m3 or -1, 9) for hour in hours] == [0.4, 0.2, 0.2, 0.2, 0.5]
    assert [hour.interpolated for hour in hours] == [0, 1, 1, 1, 0]
    assert [hour.quality for hour in hours] == [Quality.GOOD, *[Quality.ESTIMATED] * 3, Quality.GOOD]
    assert hours[1].reasons == ("interpolated",)


def test_a_day_tells_how_much_of_it_lay_in_a_gap() -> None:
    readings = [shows(hour, 10 + hour * 0.01) for hour in range(-13, 40) if not 1 <= hour <= 6]
    day = used(readings, 1, interval=Interval.DAY)[0]
    assert (day.volume_m3, day.coverage) == (pytest.approx(0.24), 1)
    assert day.interpolated == pytest.approx(7 / 24)
    assert day.interpolated_m3 == pytest.approx(0.07)


def test_quarters_of_an_hourly_meter_are_estimates() -> None:
    quarters = used(course(10, 10.4), 1, interval=Interval.QUARTER)
    assert [(q.volume_m3, q.quality) for q in quarters] == [(pytest.approx(0.1), Quality.ESTIMATED)] * 4


def test_an_hour_with_a_reset_is_an_estimate_and_one_with_a_replaced_meter_has_no_volume() -> None:
    reset, replaced = used(course(100, 0.3), 1)[0], used(course(100, 40), 1)[0]
    assert (reset.volume_m3, reset.quality, reset.reasons) == (0.3, Quality.ESTIMATED, ("counter_reset",))
    assert (replaced.volume_m3, replaced.coverage, replaced.reasons) == (None, 0, ("counter_reset",))


def test_nobody_measured_is_not_nothing_used() -> None:
    assert [hour.volume_m3 for hour in used([], 2)] == [None, None]


def test_days_are_those_of_utc() -> None:
    (day,) = used([], 1, interval=Interval.DAY)
    assert (day.start.hour, day.end - day.start) == (0, timedelta(days=1))


# ----------------------------------------------------------------------------------------------------- by force

minutes = st.lists(st.integers(0, 3000), min_size=2, max_size=20, unique=True).map(sorted)
intervals = st.sampled_from(Interval)


@st.composite
def rising(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Return (minute, litres) of a register that only rises."""
    times = draw(minutes)
    rises = draw(st.lists(st.integers(0, 50), min_size=len(times), max_size=len(times)))
    return [(time, 5000 + sum(rises[: i + 1])) for i, time in enumerate(times)]


def readings_of(points: Sequence[tuple[int, int]]) -> list[Reading]:
    return [shows(minute / 60, litres / 1000) for minute, litres in points]


def by_force(points: Sequence[tuple[int, int]], start: int, end: int) -> Fraction:
    """Return the litres between two minutes, minute by minute."""
    total = Fraction(0)
    for (begins, before), (ends, after) in pairwise(points):
        inside = sum(1 for minute in range(max(begins, start), min(ends, end)) if begins <= minute < ends)
        total += inside * Fraction(after - before, ends - begins)
    return total


@given(rising(), intervals)
def test_every_interval_is_what_brute_force_finds(points: list[tuple[int, int]], interval: Interval) -> None:
    for found in used(readings_of(points), 50, BULK, interval):
        start = int((found.start - NOON) / timedelta(minutes=1))
        end = int((found.end - NOON) / timedelta(minutes=1))
        assert found.counted_m3 * 1000 == pytest.approx(float(by_force(points, start, end)), abs=1e-9)
        covered = max(0, min(end, points[-1][0]) - max(start, points[0][0]))
        assert found.coverage == pytest.approx(covered / (end - start))
        assert (found.volume_m3 is not None) == (covered == end - start)


@given(rising(), intervals, st.randoms())
def test_mass_is_conserved_in_any_order_of_arrival(
    points: list[tuple[int, int]], interval: Interval, chance: random.Random
) -> None:
    readings = readings_of(points)
    found = used(readings, 50, BULK, interval)
    before = consumption(BULK, readings, start=NOON - timedelta(days=1), end=NOON, interval=interval)
    counted = {one.start: one.counted_m3 for one in before + found}
    assert math.fsum(counted.values()) * 1000 == pytest.approx(points[-1][1] - points[0][1], abs=1e-9)
    chance.shuffle(readings)
    assert used(readings, 50, BULK, interval) == found


@given(rising(), st.data())
def test_a_late_reading_changes_only_the_intervals_it_touches(
    points: list[tuple[int, int]], data: st.DataObject
) -> None:
    late = data.draw(st.integers(0, len(points) - 1))
    without = used(readings_of(points[:late] + points[late + 1 :]), 50, BULK)
    complete = used(readings_of(points), 50, BULK)
    begins = points[max(late - 1, 0)][0]
    ends = points[min(late + 1, len(points) - 1)][0]
    for one, other in zip(without, complete, strict=True):
        if one.end <= NOON + timedelta(minutes=begins) or one.start >= NOON + timedelta(minutes=ends):
            assert one == other


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Reading], float]:
    """Return hourly readings of a simulated household meter, and how much really passed it (m3).

    Every hour some litres are used (up to 4 m3), or a few flow back; right after a reading the register may be reset
    (but not where that would look like a rollover).
    """
    register_l = draw(st.sampled_from([9_999_000, 9_990_000, 50_000]))
    readings, passed_l = [shows(0, register_l / 1000)], 0
    for hour in range(1, draw(st.integers(2, 30))):
        back_at_most = min(500, register_l // 2)
        litres = draw(st.one_of(st.integers(0, 4000), st.integers(-back_at_most, 0)))
        if 20_000 < register_l < 9_000_000 and draw(st.integers(0, 9)) == 0:
            register_l, litres = 0, max(litres, 0)
        register_l = (register_l + litres) % 10_000_000
        passed_l += litres
        readings.append(shows(hour, register_l / 1000))
    return readings, passed_l / 1000


@given(lives())
@example(([shows(0, 9999.0), shows(1, 2.462), shows(2, 1.962)], 2.962))
def test_what_passed_a_simulated_meter_is_found_again(life: tuple[list[Reading], float]) -> None:
    readings, passed_m3 = life
    hours = used(readings, len(readings) - 1)
    assert all(hour.volume_m3 is not None for hour in hours)
    assert math.fsum(hour.volume_m3 or 0 for hour in hours) == pytest.approx(passed_m3, abs=1e-6)
    odd = {reason for hour in hours for reason in hour.reasons}
    assert odd <= {Reason.COUNTER_RESET, Reason.ROLLOVER, Reason.REVERSE_FLOW}
