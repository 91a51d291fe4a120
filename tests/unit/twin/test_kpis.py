"""Key figures against hand calculation and brute force."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.customers import Customer
from twin.forecasts import (
    DrainageForecast,
    FailedMember,
    ForecastSeries,
    NodeFlood,
    PredictedOutage,
    Provenance,
    Run,
    RunKind,
    RunStatus,
    ShortageKind,
    SupplyForecast,
)
from twin.incidents import DrySpell, Incident, IncidentKind, Severity
from twin.kpis import (
    DataCounts,
    Interruption,
    Kpi,
    Pair,
    Period,
    accuracy_kpis,
    count_data,
    data_kpis,
    dry_times,
    flood_kpis,
    forecast_age_kpi,
    interruption_kpis,
    observed_interruptions,
    overall,
    pairs_at_lead_time,
    predicted_interruptions,
)
from twin.readings import ElementType, Quality, Reading, Sensor
from twin.units import Quantity

T0 = datetime(2026, 1, 10, 0, 0, tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


DAY = Period(T0, at(24))


def a_cut(connection: str, start_h: float, end_h: float | None) -> Interruption:
    return Interruption(connection, at(start_h), None if end_h is None else at(end_h))


def figures(cuts: Iterable[Interruption], period: Period = DAY, **changed: object) -> dict[str, Kpi]:
    settings: dict[str, object] = {"connections": 100, "now": at(24)} | changed
    kpis = interruption_kpis(cuts, period, **settings)  # type: ignore[arg-type]
    return {kpi.kpi_id.removeprefix("observed_"): kpi for kpi in kpis}


# ---------------------------------------------------------------------------------------------- interruptions


def test_two_overlapping_cuts_for_one_house_count_once() -> None:
    """08:00-10:00 and 09:00-11:30 are 210 minutes, one interruption; another house 30 minutes."""
    found = figures([a_cut("C1", 8, 10), a_cut("C1", 9, 11.5), a_cut("C2", 12, 12.5)])
    assert found["connection_minutes_without_supply"].value == 240.0
    assert found["connections_without_supply"].value == 2
    assert found["interruptions"].value == 2
    assert found["minutes_lost_per_connection"].value == pytest.approx(2.4)


@pytest.mark.parametrize(
    ("gap_min", "interruptions"),
    [pytest.param(60, 1, id="within the hour"), pytest.param(61, 2, id="after more than an hour")],
)
def test_a_recut_within_an_hour_continues_the_interruption_but_not_the_minutes(
    gap_min: float, interruptions: int
) -> None:
    found = figures([a_cut("C1", 8, 9), a_cut("C1", 9 + gap_min / 60, 12)])
    assert found["interruptions"].value == interruptions
    assert found["connection_minutes_without_supply"].value == pytest.approx(240 - gap_min)


@pytest.mark.parametrize(
    ("start_h", "end_h", "minutes_lost", "counted"),
    [
        pytest.param(-2, 1, 60, 0, id="began before the period"),
        pytest.param(23, 30, 60, 1, id="ends after it"),
        pytest.param(-5, 40, 1440, 0, id="lasts longer than it"),
        pytest.param(20, None, 240, 1, id="still goes on"),
        pytest.param(-5, 0, 0, 0, id="ends where it starts"),
        pytest.param(24, 25, 0, 0, id="begins where it ends"),
    ],
)
def test_cuts_are_clipped_to_the_period(start_h: float, end_h: float | None, minutes_lost: float, counted: int) -> None:
    found = figures([a_cut("C1", start_h, end_h)], now=at(50) if end_h else at(24))
    assert found["connection_minutes_without_supply"].value == minutes_lost
    assert found["interruptions"].value == counted


@given(
    cuts=st.lists(st.tuples(st.sampled_from(["C1", "C2"]), st.integers(-60, 1500), st.integers(0, 400)), max_size=12)
)
def test_minutes_lost_equal_a_count_of_every_single_minute(cuts: list[tuple[str, int, int]]) -> None:
    intervals = [Interruption(c, T0 + minutes(s), T0 + minutes(s + length)) for c, s, length in cuts]
    dry = {(c, minute) for c, s, length in cuts for minute in range(s, s + length) if 0 <= minute < 1440}
    found = figures(intervals)
    assert found["connection_minutes_without_supply"].value == len(dry)
    assert found["connections_without_supply"].value == len({connection for connection, _ in dry})


@pytest.mark.parametrize(
    ("days", "value", "unit"),
    [
        pytest.param(89, 3.0, "interruptions", id="89 days: the bare count"),
        # 1000 * 3 / (100 connections * 73/365 years) = 150, were 73 days enough; with 146 days (0.4 years): 75
        pytest.param(146, 75.0, "per 1000 connections and year", id="146 days: annualised"),
    ],
)
def test_interruptions_are_annualised_from_ninety_days_on(days: int, value: float, unit: str) -> None:
    cuts = [a_cut("C1", 1, 2), a_cut("C2", 1, 2), a_cut("C3", 1, 2)]
    rate = figures(cuts, Period(T0, T0 + timedelta(days=days)))["interruptions"]
    assert (rate.value, rate.unit, rate.numerator, rate.denominator) == (pytest.approx(value), unit, 3.0, 100.0)


def test_the_least_duration_is_a_parameter() -> None:
    cuts = [a_cut("C1", 1, 4), a_cut("C2", 1, 3.9)]
    assert figures(cuts, min_duration=timedelta(hours=3))["interruptions"].value == 1


@pytest.mark.parametrize("unknown", [{"connections": 0}, {"coverage": 0.0}], ids=["no connections", "never judged"])
@pytest.mark.parametrize("days", [1, 365])
def test_nothing_known_is_no_zero(unknown: dict[str, object], days: int) -> None:
    for kpi in figures([], Period(T0, T0 + timedelta(days=days)), **unknown).values():
        assert kpi.value is None
        assert kpi.numerator is None


def test_nobody_cut_in_a_judged_period_is_a_zero() -> None:
    assert {kpi.value for kpi in figures([], coverage=1.0).values()} == {0.0}


def test_observed_interruptions_are_the_dry_spells_of_every_connection_at_the_node() -> None:
    customers = [Customer("K1", "C1", "A"), Customer("K2", "C2", "A"), Customer("K3", "C3", "B")]
    spells = (DrySpell("A", at(1), at(2)), DrySpell("B", at(3), None), DrySpell("nobody", at(1), None))
    incident = Incident("i", IncidentKind.OUTAGE_OBSERVED, "k", "", Severity.MODERATE, 0.9, T0, T0, dry_spells=spells)
    assert sorted(observed_interruptions([incident], customers), key=lambda cut: cut.connection_id) == [
        a_cut("C1", 1, 2),
        a_cut("C2", 1, 2),
        a_cut("C3", 3, None),
    ]


def test_predicted_interruptions_last_to_the_horizon_where_no_end_is_known() -> None:
    outages = (
        PredictedOutage("A", at(1), at(2), ShortageKind.NO_SOURCE, "k", "", 0, 0),
        PredictedOutage("B", at(3), None, ShortageKind.NO_SOURCE, "k", "", 0, 0),
    )
    forecast = SupplyForecast("r", T0, (T0, at(48)), Provenance("m", "h", "e"), 10.0, outages)
    customers = [Customer("K1", "C1", "A"), Customer("K3", "C3", "B")]
    assert predicted_interruptions(forecast, customers) == [a_cut("C1", 1, 2), a_cut("C3", 3, 48)]


def test_dry_times_of_touching_cuts_are_one() -> None:
    assert dry_times([a_cut("C1", 1, 2), a_cut("C1", 2, 3)], now=at(24)) == {"C1": [(at(1), at(3))]}


# ---------------------------------------------------------------------------------------------------- floods


def a_drainage_forecast(*probabilities: float | None, status: RunStatus = RunStatus.OK) -> DrainageForecast:
    nodes = tuple(NodeFlood(f"N{i}", p, None, 0, 0, 0, 0) for i, p in enumerate(probabilities))
    return DrainageForecast(
        "r", T0, T0, at(24), status, Provenance("m", "h", "e"), nodes,
        members_done=tuple("abcdefghijklmnopq"), members_failed=tuple(FailedMember(m, "crash") for m in "xyz"),
    )  # fmt: skip


def test_flood_figures_count_nodes_from_the_threshold_on() -> None:
    nodes, probability = flood_kpis(a_drainage_forecast(0.0, 0.3, 0.29, 0.8), probability_threshold=0.3, period=DAY)
    assert (nodes.value, nodes.denominator, nodes.remark) == (2, 4, "17 members done, 3 failed")
    assert probability.value == 0.8
    assert nodes.coverage == pytest.approx(0.85)


@pytest.mark.parametrize(
    "forecast", [None, a_drainage_forecast(None, None, status=RunStatus.INSUFFICIENT)], ids=["none", "insufficient"]
)
def test_without_probabilities_the_flood_figures_are_unknown(forecast: DrainageForecast | None) -> None:
    assert [kpi.value for kpi in flood_kpis(forecast, probability_threshold=0.3, period=DAY)] == [None, None]


# ------------------------------------------------------------------------------------------------------ data

HOURLY = Sensor("S1", Quantity.LEVEL, element_type=ElementType.NODE, element_id="T1", expected_every_s=3600)


def a_reading(hour: float, value: float = 1.0, *, late_h: float = 0.0, quality: Quality = Quality.GOOD) -> Reading:
    return Reading("S1", at(hour), at(hour + late_h), value, "m", value, "m", quality)


def test_availability_validity_and_timeliness_of_a_day_with_known_faults() -> None:
    """24 expected: 3 never came, 2 came two hours late, 4 of the 21 that came are not trusted."""
    readings = []
    for hour in range(24):
        if hour in {3, 4, 5}:
            continue
        quality = Quality.BAD if hour in {10, 11} else Quality.SUSPECT if hour in {12, 13} else Quality.GOOD
        readings.append(a_reading(hour, late_h=2.0 if hour in {20, 21} else 0.0, quality=quality))
    availability, validity, timeliness = data_kpis(count_data(HOURLY, readings, DAY), DAY, subject="sensor:S1")
    assert (availability.numerator, availability.denominator) == (19, 24)
    assert availability.value == pytest.approx(100 * 19 / 24)
    assert validity.value == pytest.approx(100 * 17 / 21)
    assert timeliness.value == pytest.approx(100 * 19 / 21)


@pytest.mark.parametrize("phase_h", [0.0, 0.25, 0.5, 0.9])
@given(jitter_min=st.lists(st.integers(-14, 14), min_size=23, max_size=23))
def test_jitter_loses_no_interval(phase_h: float, jitter_min: list[int]) -> None:
    readings = [a_reading(i + phase_h + (jitter_min[i] / 60 if i else 0)) for i in range(23)]
    assert count_data(HOURLY, readings, DAY).on_time_intervals == 23


def test_many_readings_in_one_interval_make_up_for_no_other() -> None:
    readings = [a_reading(i / 60) for i in range(25)]
    assert count_data(HOURLY, readings, DAY).on_time_intervals == 1


def test_a_sensor_without_readings_is_unavailable_and_its_validity_unknown() -> None:
    availability, validity, timeliness = data_kpis(count_data(HOURLY, [], DAY), DAY)
    assert (availability.value, availability.coverage) == (0.0, 0.0)
    assert validity.value is timeliness.value is None


def test_a_period_shorter_than_the_cadence_expects_nothing() -> None:
    period = Period(T0, T0 + minutes(30))
    assert data_kpis(count_data(HOURLY, [], period), period)[0].value is None


def test_all_sensors_together_are_weighted_by_what_was_expected() -> None:
    together = overall({"a": DataCounts(10, 10, 10, 10, 10), "b": DataCounts(90, 0, 0, 0, 0)})
    assert data_kpis(together, DAY)[0].value == 10.0


# ---------------------------------------------------------------------------------------------------- models


def a_forecast(issued_h: float, *levels: float) -> SupplyForecast:
    moments = tuple(at(issued_h + i) for i in range(len(levels)))
    series = (ForecastSeries("node", "T1", "level", levels),)
    return SupplyForecast(f"r{issued_h}", at(issued_h), moments, Provenance("m", "h", "e"), 10.0, series=series)


def test_accuracy_sets_each_forecast_against_what_was_measured_a_lead_time_later() -> None:
    """1 h ahead: 2.0 against 2.5, then 3.0 against 2.0: absolute 0.5 and 1.0, signed -0.5 and +1.0."""
    forecasts = [a_forecast(0, 9.0, 2.0), a_forecast(1, 9.0, 3.0), a_forecast(2, 9.0, 5.0)]
    readings = [a_reading(1, 2.5), a_reading(2, 2.0), a_reading(3, 99.0, quality=Quality.BAD)]
    pairs = pairs_at_lead_time(forecasts, HOURLY, readings, lead_time=timedelta(hours=1))
    assert pairs == [Pair(2.0, 2.5), Pair(3.0, 2.0)]
    mae, bias = accuracy_kpis(
        pairs, DAY, sensor=HOURLY, unit="m", lead_time=timedelta(hours=1), forecasts=len(forecasts)
    )
    assert (mae.value, bias.value, mae.denominator) == (0.75, 0.25, 2)
    assert mae.coverage == pytest.approx(2 / 3)


def test_a_forecast_is_not_stretched_beyond_its_horizon_nor_a_reading_beyond_its_reach() -> None:
    readings = [a_reading(5, 1.0)]
    assert pairs_at_lead_time([a_forecast(0, 1.0, 1.0)], HOURLY, readings, lead_time=timedelta(hours=5)) == []
    assert pairs_at_lead_time([a_forecast(3, 1.0, 1.0)], HOURLY, readings, lead_time=timedelta(hours=1)) == []


def test_accuracy_without_pairs_is_unknown() -> None:
    kpis = accuracy_kpis([], DAY, sensor=HOURLY, unit="m", lead_time=timedelta(hours=1), forecasts=0)
    assert [(kpi.value, kpi.coverage) for kpi in kpis] == [(None, None), (None, None)]


def test_the_age_of_a_forecast_is_in_minutes_and_unknown_without_one() -> None:
    run = Run("r", RunKind.SUPPLY, at(1), RunStatus.OK, 1.0)
    assert forecast_age_kpi(RunKind.SUPPLY, run, period=DAY, now=at(1.2)).value == pytest.approx(12.0)
    assert forecast_age_kpi(RunKind.SUPPLY, None, period=DAY, now=at(1.2)).value is None
