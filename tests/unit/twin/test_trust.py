"""A day's trust against hand calculation."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.kpis import Pair
from twin.readings import ElementType, Kind, Quality, Reading, Sensor
from twin.trust import TOLERANCES, TrustDay, overall_trust, pairs_with_witness, trust_day, witnesses
from twin.units import Quantity

DAY = date(2026, 3, 1)
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
P1 = Sensor("P-1", Quantity.PRESSURE, expected_every_s=3600)


def said(
    hours: float,
    value: float = 30.0,
    quality: Quality = Quality.GOOD,
    *reasons: str,
    after_s: float = 1.0,
    sensor_id: str = "P-1",
) -> Reading:
    at = MIDNIGHT + timedelta(hours=hours)
    return Reading(sensor_id, at, at + timedelta(seconds=after_s), value, "m", value, "m", quality, reasons)


def a_day(**counts: int) -> TrustDay:
    base = {"expected": 24, "heard": 24, "received": 24, "timely": 24, "good": 24}
    return TrustDay("P-1", DAY, **(base | counts))


# --------------------------------------------------------------------------------------------------- one day


def test_a_perfect_day_is_worth_everything_and_says_that_nobody_compared() -> None:
    day = trust_day(P1, DAY, [said(hour) for hour in range(24)])
    assert day.parts == {"availability": 1, "timeliness": 1, "validity": 1}
    assert (day.trust, day.accuracy, day.estimate) == (1, None, "")
    assert day.last_observed_at == MIDNIGHT + timedelta(hours=23)


def test_each_part_loses_for_its_own_fault_only_once() -> None:
    readings = [said(hour) for hour in range(18)]  # six hours are missing
    readings[0] = said(0, after_s=5 * 3600)  # late, but heard
    readings[1] = said(1, 99.0, Quality.BAD, "out_of_range")
    readings[2] = said(2, 30.0, Quality.ESTIMATED, "interpolated")
    day = trust_day(P1, DAY, readings, [Pair(30.0, 30.0 + error) for error in (0.0, 0.9, -1.0, 1.1)], estimate="model")
    assert day.availability == 18 / 24
    assert day.timeliness == 17 / 18
    assert day.validity == 16 / 18
    assert day.accuracy == 3 / 4
    assert day.trust == pytest.approx(18 / 24 * 17 / 18 * 16 / 18 * 3 / 4)
    assert day.reasons == {"out_of_range": 1, "interpolated": 1}
    assert day.estimate == "model"


def test_silence_is_worth_nothing() -> None:
    day = trust_day(P1, DAY, [])
    assert (day.parts, day.trust, day.last_observed_at) == ({"availability": 0}, 0, None)


def test_readings_of_other_days_do_not_count() -> None:
    day = trust_day(P1, DAY, [said(-1), *[said(hour) for hour in range(24)], said(24)])
    assert (day.received, day.heard) == (24, 24)


def test_many_readings_in_one_interval_are_one_interval() -> None:
    day = trust_day(P1, DAY, [said(n / 60) for n in range(60)])
    assert (day.received, day.heard, day.availability) == (60, 2, 2 / 24)  # the last half hour is nearer to one o'clock


def test_nothing_is_expected_before_a_sensor_was_heard_first() -> None:
    readings = [said(hour) for hour in range(12, 24)]
    assert trust_day(P1, DAY, readings, since=readings[0].observed_at).availability == 1
    assert trust_day(P1, DAY, readings).availability == 0.5


def test_a_sensor_that_speaks_once_a_week_cannot_be_judged_by_the_day() -> None:
    weekly = Sensor("P-1", Quantity.PRESSURE, expected_every_s=7 * 86400)
    assert trust_day(weekly, DAY, []).trust is None


def test_too_few_comparisons_say_nothing() -> None:
    day = trust_day(P1, DAY, [said(0)], [Pair(30, 99), Pair(30, 99)], estimate="model")
    assert (day.accuracy, day.estimate) == (None, "")


@pytest.mark.parametrize(
    ("quantity", "value", "estimate", "is_within"),
    [
        pytest.param(Quantity.FLOW, 0.0009, 0.0, True, id="1 L/s of a small flow"),
        pytest.param(Quantity.FLOW, 0.104, 0.1, True, id="5 % of a large flow"),
        pytest.param(Quantity.FLOW, 0.106, 0.1, False, id="6 % of a large flow"),
        pytest.param(Quantity.LEVEL, 2.11, 2.0, False, id="11 cm of a level"),
        pytest.param(Quantity.PRESSURE, 30.9, 30.0, True, id="0.9 m of a pressure"),
    ],
)
def test_tolerances(quantity: Quantity, value: float, estimate: float, is_within: bool) -> None:
    assert TOLERANCES[quantity].holds(value, estimate) is is_within


# ------------------------------------------------------------------------------------------------- witnesses


def test_who_bears_witness_for_whom() -> None:
    def pressure(sensor_id: str, place: str, **more: str) -> Sensor:
        return Sensor(sensor_id, Quantity.PRESSURE, element_type=ElementType.NODE, element_id=place, **more)  # type: ignore[arg-type]

    sensors = [
        pressure("named", "J1"),
        pressure("names", "J2", redundant_with="named"),
        pressure("beside-1", "J3"),
        pressure("beside-2", "J3"),
        pressure("alone", "J4"),
        pressure("lost", "J5", redundant_with="nobody"),
        pressure("itself", "J6", redundant_with="itself"),
        Sensor("other-quantity", Quantity.FLOW, redundant_with="alone"),
        Sensor("meter-1", Quantity.VOLUME, Kind.TOTAL_INCREASING, redundant_with="meter-2"),
        Sensor("meter-2", Quantity.VOLUME, Kind.TOTAL_INCREASING),
        Sensor("nowhere-1", Quantity.LEVEL),
        Sensor("nowhere-2", Quantity.LEVEL),
    ]
    assert witnesses(sensors) == {
        "named": "names",
        "names": "named",
        "beside-1": "beside-2",
        "beside-2": "beside-1",
    }


def test_good_readings_meet_the_nearest_good_one_of_the_witness() -> None:
    mine = [said(0, 30), said(1, 31), said(2, 32, Quality.SUSPECT, "spike"), said(3, 33), said(4, 34)]
    other = [
        said(0.4, 20),
        said(0.1, 21),
        said(1, 22),
        said(2, 23),
        said(3.1, 99, Quality.BAD, "early"),
        said(4.6, 24),
    ]
    assert pairs_with_witness(P1, mine, other) == [Pair(21, 30), Pair(22, 31)]


# --------------------------------------------------------------------------------------------------- together


def test_the_figure_of_all_weighs_each_sensor_by_what_was_expected_of_it() -> None:
    whole = overall_trust([a_day(), a_day(expected=288, heard=144, received=144, timely=144, good=144)])
    assert whole.trust == pytest.approx((24 * 1 + 288 * 0.5) / 312)
    assert whole.availability == pytest.approx(168 / 312)
    assert (whole.timeliness, whole.validity, whole.accuracy) == (1, 1, None)
    assert (whole.sensor_days, whole.judged, whole.compared, whole.expected) == (2, 2, 0, 312)


def test_nothing_known_is_no_figure() -> None:
    whole = overall_trust([])
    assert (whole.trust, whole.availability, whole.timeliness) == (None, None, None)
    assert overall_trust([a_day(expected=0, heard=0, received=0, timely=0, good=0)]).trust is None


@given(
    st.lists(st.tuples(st.integers(0, 100), *[st.floats(0, 1) for _ in range(3)]), max_size=20),
)
def test_every_figure_is_a_share(rows: list[tuple[int, float, float, float]]) -> None:
    days = []
    for n, timely, good, within in rows:
        counts = {"received": n, "timely": int(n * timely), "good": int(n * good), "within": int(n * within)}
        days.append(a_day(expected=100, heard=n, compared=n, **counts))
    for one in [*days, overall_trust(days)]:
        shares = (one.availability, one.timeliness, one.validity, one.accuracy, one.trust)
        assert all(share is None or 0 <= share <= 1 for share in shares)
