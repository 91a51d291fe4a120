"""The report of a period, from the embedded stores themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from twin.customers import Customer
from twin.detection import Detector
from twin.errors import InputError
from twin.findings import findings_from_supply
from twin.forecasts import (
    ForecastSeries,
    PredictedOutage,
    Provenance,
    Run,
    RunKind,
    RunStatus,
    ShortageKind,
    SupplyForecast,
    TankOutlook,
)
from twin.incidents import IncidentKind
from twin.kpi_report import kpi_report
from twin.kpis import Kpi
from twin.ports import ReadingStore, Registry
from twin.readings import ElementType, Reading, Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

T0 = datetime(2026, 1, 10, 0, 0, tzinfo=UTC)
END = T0 + timedelta(hours=24)
HOURLY = Sensor("S1", Quantity.LEVEL, element_type=ElementType.NODE, element_id="T1", expected_every_s=3600)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = open_registry(f"sqlite:///{tmp_path / 'registry.db'}")
    yield opened
    opened.close()


@pytest.fixture
def readings(tmp_path: Path) -> Iterator[ReadingStore]:
    store = SqliteReadings(tmp_path / "readings.db")
    yield store
    store.close()


def a_reading(hour: int, level_m: float) -> Reading:
    at = T0 + timedelta(hours=hour)
    return Reading("S1", at, at, level_m, "m", level_m, "m")


def a_run(minute: int, dry: tuple[str, ...]) -> Run:
    issued = T0 + timedelta(minutes=minute)
    outages = tuple(
        PredictedOutage(node, issued, None, ShortageKind.NO_SOURCE, "tank_empty:T1", "", 0.0, 0.0) for node in dry
    )
    forecast = SupplyForecast(
        f"run-{minute:05}",
        issued,
        (issued, issued + timedelta(hours=1)),
        Provenance("m", "h", "e"),
        10.0,
        outages,
        tanks=(TankOutlook("T1", 0.0 if dry else 3.0, 0.0, 5.0, issued if dry else None, None, (0.0, 3.0)),),
        series=(ForecastSeries("node", "T1", "level", (0.0, 3.0)),),
        measured=("T1",),
    )
    return Run(forecast.run_id, RunKind.SUPPLY, issued, RunStatus.OK, 0.1, supply=forecast)


def live_through(registry: Registry, dry_at: dict[int, tuple[str, ...]], minutes: range) -> None:
    """Run the judgement on a forecast at each minute, with the nodes that are dry from then on."""
    detector = Detector()
    dry: tuple[str, ...] = ()
    for minute in minutes:
        dry = dry_at.get(minute, dry)
        run = a_run(minute, dry)
        assert run.supply is not None
        registry.save_run(run)
        findings = findings_from_supply(run.supply, now=run.issued_at)
        judged = {IncidentKind.OUTAGE_OBSERVED}
        changed = detector.judge(findings, registry.open_incidents(), judged, registry.customers(), now=run.issued_at)
        registry.save_incidents(changed)


def by_id(kpis: list[Kpi], subject: str = "all") -> dict[str, Kpi]:
    return {kpi.kpi_id: kpi for kpi in kpis if kpi.subject == subject}


def test_a_day_with_a_cut_that_grows_and_shrinks(registry: Registry, readings: ReadingStore) -> None:
    """A (2 connections) dry 02:00-04:00, B (1) dry 03:00-05:00: 2*120 + 120 = 360 minutes, 3 of 4 connections."""
    homes = [("C1", "A"), ("C2", "A"), ("C3", "B"), ("C4", "Z")]
    registry.upsert_customers([Customer(f"K{c}", c, node) for c, node in homes])
    registry.upsert_sensors([HOURLY])
    readings.append([a_reading(hour, 2.5) for hour in range(24)])
    live_through(registry, {120: ("A",), 180: ("A", "B"), 240: ("B",), 300: ()}, range(0, 24 * 60, 10))
    report = kpi_report(readings, registry, start=T0, end=END, now=END)
    found = by_id(report)
    assert found["observed_connection_minutes_without_supply"].value == 360.0
    assert found["observed_connections_without_supply"].value == 3
    assert found["observed_interruptions"].value == 3
    assert found["observed_connections_without_supply"].coverage == 1.0
    assert found["data_availability"].value == 100.0
    at_sensor = by_id(report, "sensor:S1")
    assert (at_sensor["model_mae"].value, at_sensor["model_bias"].value) == (0.5, 0.5)
    assert by_id(report, "supply")["forecast_age"].value == 10.0
    assert by_id(report, "drainage")["forecast_age"].value is None
    assert found["predicted_flood_nodes"].value is None


def test_half_a_day_without_forecasts_is_half_covered(registry: Registry, readings: ReadingStore) -> None:
    registry.upsert_customers([Customer("K1", "C1", "A")])
    live_through(registry, {}, range(0, 12 * 60, 10))
    found = by_id(kpi_report(readings, registry, start=T0, end=END, now=END))
    assert found["observed_interruptions"].coverage == pytest.approx(0.5, abs=0.02)
    assert found["observed_interruptions"].value == 0.0


def figures_of(readings: ReadingStore, registry: Registry, prefix: str, *, now: datetime = END) -> list[Kpi]:
    report = kpi_report(readings, registry, start=T0, end=now, now=now)
    return [kpi for kpi in report if kpi.kpi_id.startswith(prefix) and "without_supply" in kpi.kpi_id]


def keep_runs(registry: Registry, change: dict[str, Any], minutes: range = range(0, 24 * 60 + 1, 10)) -> None:
    for minute in minutes:
        run = a_run(minute, ())
        assert run.supply is not None
        registry.save_run(replace(run, supply=replace(run.supply, **change)))


@pytest.mark.parametrize("prefix", ["observed_", "predicted_"])
@pytest.mark.parametrize(
    ("change", "coverage"),
    [
        pytest.param({}, 1.0, id="all measured"),
        pytest.param({"measured": ()}, 0.0, id="nothing measured: the model file's state"),
        pytest.param({"measured": (), "assumed": ("T1",)}, 0.0, id="all sensors silent"),
        pytest.param({"assumed": ("PU4",), "assumed_area": ("A",)}, 0.75, id="the area of one of four unseen"),
        pytest.param({"assumed": ("PU4",)}, 0.0, id="something unseen, nobody knows for whom"),
    ],
)
def test_only_what_rests_on_measurement_is_covered(
    registry: Registry, readings: ReadingStore, prefix: str, change: dict[str, Any], coverage: float
) -> None:
    registry.upsert_customers([Customer(f"K{node}", f"C{node}", node) for node in "ABCD"])
    keep_runs(registry, change)
    for figure in figures_of(readings, registry, prefix):
        assert figure.coverage == coverage
        assert figure.value == (0.0 if coverage else None)


def test_an_old_forecast_predicts_nothing_any_more(registry: Registry, readings: ReadingStore) -> None:
    registry.upsert_customers([Customer("K1", "C1", "A")])
    keep_runs(registry, {}, range(0, 60, 10))
    fresh = figures_of(readings, registry, "predicted_", now=T0 + timedelta(minutes=65))
    assert [(figure.coverage, figure.value) for figure in fresh] == [(1.0, 0.0)] * len(fresh)
    old = figures_of(readings, registry, "predicted_", now=T0 + timedelta(minutes=66))
    assert [(figure.coverage, figure.value) for figure in old] == [(0.0, None)] * len(old)
    assert all("too old" in figure.remark for figure in old)


def test_an_empty_installation_knows_nothing_and_says_so(registry: Registry, readings: ReadingStore) -> None:
    report = kpi_report(readings, registry, start=T0, end=END, now=END)
    assert report
    assert {kpi.value for kpi in report} == {None}


def test_a_period_is_cut_at_now(registry: Registry, readings: ReadingStore) -> None:
    now = T0 + timedelta(hours=6)
    report = kpi_report(readings, registry, start=T0, end=END, now=now)
    assert {kpi.period_end for kpi in report} == {now}


def test_a_period_still_to_come_is_refused(registry: Registry, readings: ReadingStore) -> None:
    with pytest.raises(InputError, match="not yet begun"):
        kpi_report(readings, registry, start=T0, end=END, now=T0)


def test_too_many_readings_shorten_the_period_of_the_data_figures_and_say_so(
    registry: Registry, readings: ReadingStore
) -> None:
    """One reading a second for thirty days are 2.6 million: the newest half million seconds are looked at."""
    registry.upsert_sensors([Sensor("fast", Quantity.FLOW, expected_every_s=1.0)])
    start = END - timedelta(days=30)
    availability = by_id(kpi_report(readings, registry, start=start, end=END, now=END))["data_availability"]
    assert availability.period_start == END - timedelta(seconds=500_000)
    assert "too many readings" in availability.remark
