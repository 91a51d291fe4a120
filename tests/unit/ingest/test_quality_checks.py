"""Each check by itself: time lines of one sensor, and what is finally said of each reading."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from ingest.quality import QualityGate, judge_in_order
from ingest.quality.unit_ratio import RATIOS
from twin.events import EventKind
from twin.readings import Kind, Quality, Reading, Sensor, reading_from_raw
from twin.units import Quantity, unit_named

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
DIURNAL = [30 + 5 * math.sin(2 * math.pi * n / 24) + 0.3 * math.sin(11 * n) for n in range(600)]


def a_sensor(quantity: Quantity, **fields: object) -> Sensor:
    return Sensor("S", quantity, **{"expected_every_s": 3600.0, **fields})  # type: ignore[arg-type]


def a_reading(sensor: Sensor, at: datetime, value: float, **fields: object) -> Reading:
    known = {"available_at": at, "raw_value": value, **fields}
    return reading_from_raw(sensor, observed_at=at, **known)  # type: ignore[arg-type]


def a_series(sensor: Sensor, values: Sequence[float | None], every: timedelta = HOUR) -> list[Reading]:
    """Hourly readings; None is an interval that nobody sent."""
    return [a_reading(sensor, T0 + n * every, value) for n, value in enumerate(values) if value is not None]


def said(sensor: Sensor, values: Sequence[float | None], every: timedelta = HOUR) -> list[tuple[str, ...]]:
    return [reading.reasons for reading in judge_in_order(sensor, a_series(sensor, values, every))]


def flags(sensor: Sensor, values: Sequence[float | None], every: timedelta = HOUR) -> dict[int, tuple[str, ...]]:
    return {n: reasons for n, reasons in enumerate(said(sensor, values, every)) if reasons}


# ----------------------------------------------------------------------------------------------- non-physical


@pytest.mark.parametrize(
    ("sensor", "value", "possible"),
    [
        pytest.param(a_sensor(Quantity.FLOW, one_way=True), -0.01, False, id="backwards through a one-way meter"),
        pytest.param(a_sensor(Quantity.FLOW, one_way=True), -5e-5, True, id="a one-way meter's zero"),
        pytest.param(a_sensor(Quantity.FLOW), -0.01, True, id="backwards where it may"),
        pytest.param(a_sensor(Quantity.PRESSURE), -10.4, False, id="below vacuum"),
        pytest.param(a_sensor(Quantity.PRESSURE), -9.0, True, id="suction"),
        pytest.param(a_sensor(Quantity.LEVEL, overflow_m=4.0), 4.05, True, id="a tank that spills"),
        pytest.param(a_sensor(Quantity.LEVEL, overflow_m=4.0), 4.2, False, id="above the overflow"),
        pytest.param(a_sensor(Quantity.LEVEL), 40.0, True, id="no overflow is known"),
        pytest.param(a_sensor(Quantity.RAIN), -0.1, False, id="negative rain"),
        pytest.param(a_sensor(Quantity.PH), 14.1, False, id="pH beyond its scale"),
        pytest.param(a_sensor(Quantity.VOLUME, kind=Kind.TOTAL_INCREASING), -1.0, False, id="a negative register"),
    ],
)
def test_what_water_cannot_do_is_bad(sensor: Sensor, value: float, possible: bool) -> None:
    (reading,) = judge_in_order(sensor, [a_reading(sensor, T0, value)])
    expected = (Quality.GOOD, ()) if possible else (Quality.BAD, ("non_physical",))
    assert (reading.quality, reading.reasons, reading.raw_value) == (*expected, value)


# ------------------------------------------------------------------------------------------------------ spike

QUIET = [0.2 + 0.02 * math.sin(n) for n in range(50)]
PUMPED = [0.0, 0.0, 0.09, 0.09, 0.0] * 10


@pytest.mark.parametrize(
    ("quantity", "values", "expected"),
    [
        pytest.param(Quantity.PRESSURE, [*DIURNAL[:48], 60.0, DIURNAL[49]], {48: ("spike",)}, id="one reading far up"),
        pytest.param(Quantity.PRESSURE, [*DIURNAL[:48], 1.0, DIURNAL[49]], {48: ("spike",)}, id="one far down"),
        pytest.param(Quantity.PRESSURE, [*DIURNAL[:48], 60.0], {}, id="the newest may be confirmed yet"),
        pytest.param(Quantity.PRESSURE, [*DIURNAL[:48], 60.0, 59.0, 30.0], {}, id="two are no spike"),
        pytest.param(Quantity.PRESSURE, [*DIURNAL[:20], 60.0, 30.0], {}, id="too little is known yet"),
        pytest.param(Quantity.FLOW, [*PUMPED, 0.09, 0.0], {}, id="a pump that runs for one reading, as before"),
        pytest.param(Quantity.FLOW, [*[0.0] * 50, 0.09, 0.0], {}, id="a pump that starts after a long rest"),
        pytest.param(Quantity.LEVEL, [*QUIET, 1.8, 0.3], {}, id="a storm of one hour in a quiet sewer"),
        pytest.param(Quantity.TURBIDITY, [*DIURNAL[:48], 90.0, 30.0], {}, id="turbidity really peaks"),
    ],
)
def test_a_spike_stands_alone(quantity: Quantity, values: list[float], expected: dict[int, tuple[str, ...]]) -> None:
    assert flags(a_sensor(quantity), values) == expected


def test_a_flood_that_rises_minute_by_minute_is_believed() -> None:
    calm = [0.2 + 0.02 * math.sin(n) for n in range(60)]
    rising = [0.4, 1.2, 2.6, 3.9, 4.4, 4.3, 3.0, 1.5]
    assert flags(a_sensor(Quantity.LEVEL, expected_every_s=60.0), [*calm, *rising], MINUTE) == {}


# ---------------------------------------------------------------------------------- the registry's own limits


def test_a_sensor_s_own_rate_replaces_that_of_its_quantity() -> None:
    tank = a_sensor(Quantity.LEVEL, max_rate_per_s=1e-4, expected_every_s=60.0)
    assert flags(tank, [2.0, 2.0, 2.4, 2.0], MINUTE) == {2: ("rate_of_change",)}
    assert flags(a_sensor(Quantity.LEVEL, expected_every_s=60.0), [2.0, 2.0, 2.4, 2.0], MINUTE) == {}


def test_a_sensor_s_own_patience_says_when_it_is_stuck() -> None:
    pump = a_sensor(Quantity.SPEED, flat_after_s=4 * 3600.0)
    assert flags(pump, [0.8, *[0.9] * 6]) == {5: ("flat_line",), 6: ("flat_line",)}


def test_a_run_of_equal_values_ends_with_a_silence() -> None:
    level = a_sensor(Quantity.LEVEL, flat_after_s=4 * 3600.0)
    assert flags(level, [1.0, *[2.0] * 4, *[None] * 8, *[2.0] * 3]) == {5: ("gap",)}


# ------------------------------------------------------------------------------------------------------ times


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([1, 2, None, 3], {2: ("gap",)}, id="one interval is missing"),
        pytest.param([1, 2, 3], {}, id="none is"),
        pytest.param([None, None, 1, 2], {}, id="before the first nothing is"),
    ],
)
def test_the_first_value_after_a_gap_says_so_and_is_good(
    values: list[float | None], expected: dict[int, tuple[str, ...]]
) -> None:
    assert flags(a_sensor(Quantity.FLOW), values) == expected
    assert {r.quality for r in judge_in_order(a_sensor(Quantity.FLOW), a_series(a_sensor(Quantity.FLOW), values))} == {
        Quality.GOOD
    }


@pytest.mark.parametrize(
    ("sent_with", "quality", "reasons"),
    [
        pytest.param((), Quality.GOOD, ("late",), id="late"),
        pytest.param(("historical",), Quality.GOOD, ("historical",), id="kept by its sender: not late"),
        pytest.param(("device_status",), Quality.GOOD, ("late", "device_status"), id="a status touches no value"),
        pytest.param(("device_alarm",), Quality.SUSPECT, ("late", "device_alarm"), id="an alarm does"),
    ],
)
def test_what_the_sender_says_of_a_reading(
    sent_with: tuple[str, ...], quality: Quality, reasons: tuple[str, ...]
) -> None:
    sensor = a_sensor(Quantity.FLOW)
    old = a_reading(sensor, T0, 1.0, available_at=T0 + 10 * HOUR, reasons=sent_with)
    (streamed,) = QualityGate({"S": sensor}).judge([old])
    (judged,) = judge_in_order(sensor, [streamed])
    assert (streamed.quality, streamed.reasons) == (judged.quality, judged.reasons) == (quality, reasons)


# --------------------------------------------------------------------------------------------------- counters


@pytest.mark.parametrize(
    ("register", "expected"),
    [
        pytest.param([420.0, 421.0, 0.3, 0.9], {2: ("counter_reset",)}, id="reset"),
        pytest.param([998.0, 999.0, 0.4, 1.0], {2: ("rollover",)}, id="rollover"),
        pytest.param([500.0, 501.0, 0.4, 1.0], {2: ("counter_reset",)}, id="too far from the end to roll over"),
        pytest.param([420.0, 421.0, 420.99, 422.0], {2: ("reverse_flow",)}, id="water ran back"),
        pytest.param([420.0, 421.0, 921.0, 422.0, 423.0], {2: ("spike",)}, id="a misread"),
        pytest.param([420.0, 421.0, 421_500.0, 422_000.0], {2: ("unit_suspect",)}, id="litres for cubic metres"),
        pytest.param(
            [420.0, *[None] * 24, 420_500.0], {1: ("gap", "unit_suspect")}, id="litres after a day of silence"
        ),
        pytest.param([420.0, *[None] * 24, 1450.0], {1: ("gap",)}, id="much used in a day of silence"),
        pytest.param([420.0, 421.0, *[None] * 200, 3.0], {2: ("counter_reset", "gap")}, id="replaced while silent"),
        pytest.param([420.0, 421.0, *[None] * 200, 430.0], {2: ("gap",)}, id="counted on while silent"),
    ],
)
def test_a_register_that_does_not_simply_rise(
    register: list[float | None], expected: dict[int, tuple[str, ...]]
) -> None:
    meter = a_sensor(Quantity.VOLUME, kind=Kind.TOTAL_INCREASING, rollover_at=1000.0)
    assert flags(meter, register) == expected


# ------------------------------------------------------------------------------------------------------ units


SENT_AS = [(words, ratio) for ratios in RATIOS.values() for words, ratio in ratios.items() if " sent as " in words]


@pytest.mark.parametrize(("words", "ratio"), sorted(set(SENT_AS)))
def test_the_ratios_are_those_of_the_table_of_units(words: str, ratio: float) -> None:
    """A number in one unit, taken for the other, is off by their ratio."""
    sent, taken_for = (unit_named(name.replace("US gallons", "gal")) for name in words.split(" sent as "))
    assert ratio == pytest.approx(taken_for.factor / sent.factor, rel=1e-4)


def test_a_gauge_that_sends_bar_all_at_once_is_found_within_twenty_readings() -> None:
    gauge = a_sensor(Quantity.PRESSURE)
    found = flags(gauge, [*DIURNAL[:400], *[value / 10.197 for value in DIURNAL[400:440]]])
    assert set(found.values()) == {("unit_suspect",)}
    assert sorted(found) == list(range(407, 440))


def test_values_out_of_range_are_named_by_the_eighth_if_they_are_those_of_another_unit() -> None:
    gauge = a_sensor(Quantity.PRESSURE, low=0.0, high=120.0)
    found = flags(gauge, [*DIURNAL[:400], *[9.80665 * value for value in DIURNAL[400:440]]])
    assert [found[n] for n in range(400, 407)] == [("out_of_range",)] * 7
    assert {found[n] for n in range(407, 440)} == {("out_of_range", "unit_suspect")}


def test_a_value_stuck_out_of_range_is_no_unit() -> None:
    gauge = a_sensor(Quantity.PRESSURE, low=0.0, high=120.0)
    found = flags(gauge, [*DIURNAL[:400], *[3276.7] * 40])  # a hundredth of it were a good pressure
    assert set(found.values()) == {("out_of_range",)}


def test_values_out_of_range_without_a_past_are_no_unit() -> None:
    gauge = a_sensor(Quantity.PRESSURE, low=0.0, high=120.0)
    assert set(flags(gauge, [9.80665 * value for value in DIURNAL]).values()) == {("out_of_range",)}


def test_an_outage_is_no_unit() -> None:
    falling = [max(0.0, 30 - 2 * n) for n in range(20)]
    assert flags(a_sensor(Quantity.PRESSURE), [*DIURNAL[:400], *falling]) == {}


def test_a_demand_that_falls_little_by_little_as_on_no_night_before_is_no_unit() -> None:
    meter = a_sensor(Quantity.DEMAND, expected_every_s=300.0)
    days = [30 + 12 * math.sin(n * math.tau / 288) for n in range(800)]
    night = [days[799] * 0.93**n for n in range(1, 31)]
    assert flags(meter, [*days, *night, *[night[-1] * (1 + 0.01 * math.sin(n)) for n in range(15)]], 5 * MINUTE) == {}


def test_the_same_fall_at_once_is_another_unit() -> None:
    meter = a_sensor(Quantity.DEMAND, expected_every_s=300.0)
    days = [30 + 12 * math.sin(n * math.tau / 288) for n in range(800)]
    found = flags(meter, [*days, *[value / 3.6 for value in days[224:244]]], 5 * MINUTE)
    assert set(found.values()) == {("unit_suspect",)}
    assert sorted(found) == list(range(807, 820))


def test_a_level_three_times_as_high_as_ever_may_be_a_flood() -> None:
    calm = [1 + 0.1 * math.sin(n) for n in range(400)]
    high = [3.28084 * value for value in calm[:40]]
    assert flags(a_sensor(Quantity.LEVEL), [*calm, *high]) == {}


def test_a_suspected_unit_is_told_with_its_name() -> None:
    gauge = a_sensor(Quantity.PRESSURE)
    gate = QualityGate({"S": gauge})
    gate.judge(a_series(gauge, [*DIURNAL[:400], *[value / 10.197 for value in DIURNAL[400:420]]]))
    events = gate.take_notes().events
    assert {(event.kind, event.subject) for event in events} == {(EventKind.UNIT_SUSPECT, "S")}
    assert "bar sent as m" in events[0].detail


# --------------------------------------------------------------------------------------------- redundant sensors


def beside(values: Sequence[float], other: Sequence[float]) -> dict[int, tuple[str, ...]]:
    sensor, witness = a_sensor(Quantity.PRESSURE, redundant_with="W"), a_sensor(Quantity.PRESSURE)
    judged = judge_in_order(sensor, a_series(sensor, values), witness=(witness, a_series(witness, other)))
    return {n: reading.reasons for n, reading in enumerate(judged) if reading.reasons}


WITNESS = [value + 0.02 * math.sin(7 * n) for n, value in enumerate(DIURNAL[:500])]


def test_two_sensors_that_agree_are_believed() -> None:
    assert beside(DIURNAL[:500], WITNESS) == {}


def test_a_constant_difference_is_where_they_are_mounted() -> None:
    assert beside([value + 3 for value in DIURNAL[:500]], WITNESS) == {}


def test_a_step_against_the_other_is_found_within_a_few_readings() -> None:
    found = beside([value + (2 if n >= 400 else 0) for n, value in enumerate(DIURNAL[:440])], WITNESS)
    assert 400 < min(found) <= 406
    assert found[min(found)] == ("step",)


def test_two_meters_at_a_pump_that_rests_now_and_then_are_believed() -> None:
    """They differ by one per cent at work, and not at all at rest, which is most of the time."""
    runs = [20.0 if n % 24 in (2, 3, 4, 5, 6, 7, 8, 9) else 0.0 for n in range(500)]
    sensor, witness = a_sensor(Quantity.FLOW, redundant_with="W"), a_sensor(Quantity.FLOW)
    other = a_series(witness, [1.01 * value for value in runs])
    assert {r.reasons for r in judge_in_order(sensor, a_series(sensor, runs), witness=(witness, other))} == {()}


def test_a_drift_against_the_other_is_found() -> None:
    found = beside([value + max(0, n - 300) * 0.02 for n, value in enumerate(DIURNAL[:500])], WITNESS)
    assert 300 < min(found) <= 330
    assert found[max(found)] == ("drift",)


def test_both_change_together_is_the_water() -> None:
    burst = [value - (20 if n >= 400 else 0) for n, value in enumerate(DIURNAL[:440])]
    fallen = [value - (20 if n >= 400 else 0) for n, value in enumerate(WITNESS[:440])]
    assert beside(burst, fallen) == {}


def test_a_difference_too_large_is_never_got_used_to() -> None:
    found = beside([value + (8 if n >= 100 else 0) for n, value in enumerate(DIURNAL[:500])], WITNESS)
    assert set(range(110, 500)) <= set(found)


def test_the_exact_ratio_of_two_units_is_named() -> None:
    found = beside([value * (1.42233 if n >= 400 else 1) for n, value in enumerate(DIURNAL[:440])], WITNESS)
    assert found[430] == ("unit_suspect",)
