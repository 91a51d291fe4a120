"""The quality checks: what they flag, and above all what they let through."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from fakes import MemoryReadings
from hypothesis import given
from hypothesis import strategies as st

from ingest.quality import QualityGate
from twin.readings import Kind, Quality, Reading, Sensor, reading_from_raw
from twin.units import Quantity

T0 = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def a_sensor(quantity: Quantity = Quantity.LEVEL, **fields: object) -> Sensor:
    return Sensor("S", quantity, **{"expected_every_s": 3600.0, **fields})  # type: ignore[arg-type]


def a_reading(sensor: Sensor, at: datetime, value: float, delay: timedelta = timedelta(seconds=1)) -> Reading:
    return reading_from_raw(sensor, observed_at=at, available_at=at + delay, raw_value=value)


def series(sensor: Sensor, values: list[float], every: timedelta = HOUR) -> list[Reading]:
    return [a_reading(sensor, T0 + i * every, value) for i, value in enumerate(values)]


def judged(sensor: Sensor, readings: list[Reading]) -> list[tuple[str, ...]]:
    return [reading.reasons for reading in QualityGate({sensor.sensor_id: sensor}).judge(readings)]


@pytest.mark.parametrize(
    ("value", "quality", "reasons"),
    [
        (0.0, Quality.GOOD, ()),
        (5.0, Quality.GOOD, ()),
        (-0.01, Quality.BAD, ("out_of_range",)),
        (5.01, Quality.BAD, ("out_of_range",)),
    ],
)
def test_range(value: float, quality: Quality, reasons: tuple[str, ...]) -> None:
    sensor = a_sensor(low=0.0, high=5.0)
    (reading,) = QualityGate({"S": sensor}).judge([a_reading(sensor, T0, value)])
    assert (reading.quality, reading.reasons, reading.raw_value) == (quality, reasons, value)


@pytest.mark.parametrize(
    ("delay", "quality", "reasons"),
    [
        pytest.param(3 * HOUR, Quality.GOOD, (), id="three periods is in time"),
        pytest.param(3 * HOUR + MINUTE, Quality.GOOD, ("late",), id="late but true"),
        pytest.param(-2 * MINUTE, Quality.GOOD, (), id="two minutes ahead is the clock's tolerance"),
        pytest.param(-2 * MINUTE - timedelta(seconds=1), Quality.BAD, ("early",), id="from the future"),
    ],
)
def test_times(delay: timedelta, quality: Quality, reasons: tuple[str, ...]) -> None:
    sensor = a_sensor()
    (reading,) = QualityGate({"S": sensor}).judge([a_reading(sensor, T0, 1.0, delay)])
    assert (reading.quality, reading.reasons) == (quality, reasons)


@pytest.mark.parametrize(
    ("quantity", "every", "first_flagged"),
    [
        pytest.param(Quantity.LEVEL, HOUR, 23, id="hourly level: the 24th equal value"),
        pytest.param(Quantity.LEVEL, 15 * MINUTE, 24, id="quarter-hourly level: after six hours"),
        pytest.param(Quantity.PRESSURE, 5 * MINUTE, 72, id="five-minute pressure: after six hours"),
        pytest.param(Quantity.PRESSURE, HOUR, 71, id="hourly pressure: the 72nd equal value"),
        pytest.param(Quantity.FLOW, MINUTE, 360, id="one-minute flow: after six hours"),
    ],
)
def test_a_stuck_sensor_is_flagged(quantity: Quantity, every: timedelta, first_flagged: int) -> None:
    flags = judged(a_sensor(quantity), series(a_sensor(quantity), [0.5] * (first_flagged + 3), every))
    assert flags == [()] * first_flagged + [("flat_line",)] * 3


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        pytest.param(Quantity.STATUS, 1.0, id="a pump that runs for weeks"),
        pytest.param(Quantity.RAIN, 0.0, id="dry weather"),
        pytest.param(Quantity.FLOW, 0.0, id="a pump that stands"),
        pytest.param(Quantity.LEVEL, 0.0, id="a dry manhole"),
        pytest.param(Quantity.PRESSURE, 0.0, id="a town without pressure"),
        pytest.param(Quantity.HEAD, 52.0, id="a reservoir"),
        pytest.param(Quantity.SPEED, 0.9, id="a pump at one speed"),
    ],
)
def test_what_may_stand_still_is_not_flagged(quantity: Quantity, value: float) -> None:
    assert judged(a_sensor(quantity), series(a_sensor(quantity), [value] * 200)) == [()] * 200


@pytest.mark.parametrize(
    ("quantity", "values"),
    [
        pytest.param(Quantity.FLOW, [0.0, 0.09, 0.0, 0.0, 0.1, 0.0], id="pump flow switches"),
        pytest.param(Quantity.PRESSURE, [28.0, 78.0, 30.0, 80.0], id="pressure downstream of a pump"),
        pytest.param(Quantity.STATUS, [0, 1, 0, 1, 1], id="pump status"),
        pytest.param(Quantity.LEVEL, [0.4, 3.0, 5.5, 3.0, 0.5], id="hourly tank levels of a small tank"),
        pytest.param(Quantity.RAIN, [0.0, 25.0, 0.0], id="a cloudburst"),
    ],
)
def test_ordinary_operation_is_not_flagged(quantity: Quantity, values: list[float]) -> None:
    assert judged(a_sensor(quantity), series(a_sensor(quantity), values)) == [()] * len(values)


def test_a_sewer_that_fills_within_minutes_is_believed() -> None:
    rising = [0.2, 0.4, 1.2, 2.6, 3.9, 4.4]  # metres, minute by minute
    assert judged(a_sensor(), series(a_sensor(), rising, MINUTE)) == [()] * 6


def test_a_spike_is_flagged_and_its_neighbours_are_not() -> None:
    flags = judged(a_sensor(), series(a_sensor(), [2.0, 2.0, 7.0, 2.1, 2.0], MINUTE))
    assert flags == [(), (), ("rate_of_change",), (), ()]


def test_a_step_is_flagged_once_and_then_believed() -> None:
    flags = judged(a_sensor(), series(a_sensor(), [2.0, 7.0, 7.1, 7.0], MINUTE))
    assert flags == [(), ("rate_of_change",), (), ()]


def test_a_meter_that_drops_was_reset() -> None:
    meter = a_sensor(Quantity.VOLUME, kind=Kind.TOTAL_INCREASING)
    gate = QualityGate({"S": meter})
    readings = gate.judge(series(meter, [100.0, 101.0, 101.0, 0.5, 1.0]))
    assert [reading.reasons for reading in readings] == [(), (), (), ("counter_reset",), ()]
    assert (readings[3].value, readings[3].quality) == (0.5, Quality.SUSPECT)


#   observed  1:00   3:00   2:00   4:00        2:00 comes third: the meter did not go down
def test_a_reading_out_of_order_leaves_the_memory_alone() -> None:
    meter = a_sensor(Quantity.VOLUME, kind=Kind.TOTAL_INCREASING)
    gate, rows = QualityGate({"S": meter}), [(1, 10.0), (3, 30.0), (2, 20.0), (4, 40.0)]
    flags = [gate.judge([a_reading(meter, T0 + n * HOUR, value)])[0].reasons for n, value in rows]
    assert flags == [(), ("gap",), (), ()]


@given(st.permutations(range(12)))
def test_in_one_batch_readings_may_come_in_any_order(order: list[int]) -> None:
    meter = a_sensor(Quantity.VOLUME, kind=Kind.TOTAL_INCREASING)
    steady = a_sensor(Quantity.LEVEL, expected_every_s=60.0)
    for sensor, values, every in (
        (meter, [100.0, 101.0, 103.0, 104.0, 105.0, 0.5, 1.0, 1.1, 2.0, 2.2, 3.0, 3.1], HOUR),
        (steady, [2.0, 2.1, 2.0, 7.0, 2.1, 2.0, 2.1, 2.2, 2.2, 2.1, 2.0, 2.1], MINUTE),
    ):
        readings = series(sensor, values, every)
        in_order, shuffled = QualityGate({"S": sensor}), QualityGate({"S": sensor})
        expected = in_order.judge(readings)
        assert any(reading.reasons for reading in expected)
        assert shuffled.judge([readings[n] for n in order]) == [expected[n] for n in order]
        assert shuffled.take_notes() == in_order.take_notes()


def test_a_reading_from_the_future_does_not_turn_the_rest_into_the_past() -> None:
    meter = a_sensor(Quantity.VOLUME, kind=Kind.TOTAL_INCREASING)
    future = a_reading(meter, T0 + 10_000 * HOUR, 11.0, -9_000 * HOUR)
    flags = judged(meter, [a_reading(meter, T0, 10.0), future, *series(meter, [0, 12.0, 3.0])[1:]])
    assert flags == [(), ("early",), (), ("counter_reset",)]


@pytest.mark.parametrize("count", [1, 6, 300])
def test_after_a_restart_readings_from_the_future_do_not_hide_the_past(count: int) -> None:
    """While a clock was a year ahead the meter was replaced: the first true reading after it says so."""
    meter = a_sensor(Quantity.VOLUME, kind=Kind.TOTAL_INCREASING, expected_every_s=300.0)
    past = series(meter, [float(n) for n in range(20)], 5 * MINUTE)
    year = timedelta(days=365)
    future = [a_reading(meter, T0 + year + n * 5 * MINUTE, 20.0 + n, HOUR - year) for n in range(count)]
    store = MemoryReadings()
    store.append(QualityGate({"S": meter}).judge([*past, *future]))
    gate = QualityGate({"S": meter}, history=store)
    (first,) = gate.judge([a_reading(meter, T0 + 20 * 5 * MINUTE, 3.0)])
    assert first.reasons == ("counter_reset",)


def test_a_gateway_ahead_of_our_clock_is_suspect_and_its_neighbour_is_not() -> None:
    sensor = a_sensor()
    gate = QualityGate({"S": sensor})
    for minute in range(5):
        at = T0 + minute * MINUTE
        gate.judge(
            [a_reading(sensor, at + 10 * MINUTE, 1.0, -10 * MINUTE), a_reading(sensor, at, 1.0)], ["bad", "good"]
        )
    old = a_reading(sensor, T0, 1.0, HOUR)
    by_bad, by_good = gate.judge([old, old], ["bad", "good"])
    assert (by_bad.quality, by_bad.reasons) == (Quality.SUSPECT, ("clock_skew",))
    assert (by_good.quality, by_good.reasons) == (Quality.GOOD, ())


def test_a_backfill_is_late_and_no_clock_is_blamed() -> None:
    sensor = a_sensor()
    gate = QualityGate({"S": sensor})
    old = [a_reading(sensor, T0 + n * HOUR, n / 10, timedelta(days=30)) for n in range(50)]
    backfill = [gate.judge([reading], ["g"])[0] for reading in old]
    assert {(reading.quality, reading.reasons) for reading in backfill} == {(Quality.GOOD, ("late",))}


def test_the_memory_is_bounded() -> None:
    sensors = {f"S{n}": Sensor(f"S{n}", Quantity.LEVEL) for n in range(100)}
    gate = QualityGate(sensors, most_sensors=10)
    for n in range(100):
        gate.judge([a_reading(sensors[f"S{n}"], T0, 1.0)])
    assert len(gate._judges) <= 10


QUANTITIES = st.sampled_from(list(Quantity))
SENSORS = st.builds(
    a_sensor,
    QUANTITIES,
    kind=st.sampled_from(list(Kind)),
    low=st.none() | st.floats(-10, 0),
    high=st.none() | st.floats(0, 10),
)
STREAM = st.lists(
    st.tuples(
        st.integers(-500_000, 500_000), st.integers(-500_000, 500_000), st.floats(allow_nan=False, allow_infinity=False)
    ),
    max_size=30,
)


@given(SENSORS, STREAM)
def test_never_raises_and_never_touches_what_was_said(sensor: Sensor, stream: list[tuple[int, int, float]]) -> None:
    readings = [
        Reading("S", T0 + timedelta(minutes=a), T0 + timedelta(minutes=b), value, "1", value, "1")
        for a, b, value in stream
    ]
    after = QualityGate({"S": sensor}).judge(readings, ["g"] * len(readings))
    assert [(r.key, r.available_at, r.value, r.raw_value, r.raw_unit) for r in after] == [
        (r.key, r.available_at, r.value, r.raw_value, r.raw_unit) for r in readings
    ]
    assert all(bool(r.reasons) or r.quality is Quality.GOOD for r in after)


@given(STREAM)
def test_a_sensor_nobody_knows_is_judged_by_its_times_alone(stream: list[tuple[int, int, float]]) -> None:
    readings = [
        Reading("?", T0 + timedelta(minutes=a), T0 + timedelta(minutes=b), v, "1", v, "1") for a, b, v in stream
    ]
    for reading in QualityGate({}).judge(readings):
        assert reading.reasons == (("early",) if reading.observed_at - reading.available_at > 2 * MINUTE else ())
