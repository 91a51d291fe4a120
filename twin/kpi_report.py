"""The use case that gathers what the figures of a period are made from, through ports, at a bounded cost.

The archive is not read run by run: the newest good run is looked up at no more than `SAMPLES` moments spread evenly
over the period, which says how much of it was judged and gives the forecasts that are set against readings. Readings
are read for the newest part of the period that holds no more than `READINGS_AT_MOST` expected ones; the figures
about data then say that shorter period themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from twin.clock import as_utc
from twin.customers import Customer
from twin.errors import InputError
from twin.forecasts import Run, RunKind, SupplyForecast
from twin.incidents import Incident, IncidentKind
from twin.kpis import (
    Kpi,
    Pair,
    Period,
    accuracy_kpis,
    count_data,
    data_kpis,
    flood_kpis,
    forecast_age_kpi,
    interruption_kpis,
    observed_interruptions,
    overall,
    pairs_at_lead_time,
    predicted_interruptions,
)
from twin.ports import CustomerRegistry, ForecastArchive, IncidentLog, ReadingStore, SensorRegistry
from twin.readings import Quality, Reading, Sensor
from twin.trust import MODEL, REDUNDANT, pairs_with_witness, trust_over, witnesses
from twin.trust_report import trust_kpis
from twin.units import si_unit

SAMPLES = 96
READINGS_AT_MOST = 500_000
LONGEST_OUTAGE = timedelta(days=90)
LEAD_TIME = timedelta(hours=1)
FRESH_CYCLES = 3
"""A forecast counts as fresh for this many cycles."""
FRESH_FOR = FRESH_CYCLES * timedelta(minutes=5)


class KpiMemory(SensorRegistry, CustomerRegistry, IncidentLog, ForecastArchive, Protocol):
    """What the report looks up besides readings."""


def kpi_report(
    readings: ReadingStore,
    registry: KpiMemory,
    *,
    start: datetime,
    end: datetime,
    now: datetime,
    flood_probability: float = 0.3,
    fresh_for: timedelta = FRESH_FOR,
    lead_time: timedelta = LEAD_TIME,
) -> list[Kpi]:
    """Return all figures of [start, end), no further than `now`: outages, floods, data, models, age of forecasts.

    A moment counts as judged when its newest good supply forecast was no older than `fresh_for` (three cycles of
    five minutes) and rested on measurement, for the connections whose supply it did not merely assume. Outages that
    were opened more than 90 days before the period and are closed are not seen.

    Raises:
        InputError: If the period is empty or lies in the future.
    """
    start, end = as_utc(start), min(as_utc(end), as_utc(now))
    if start >= end:
        raise InputError(f"the period from {start.isoformat()} to {end.isoformat()} is empty or not yet begun")
    period = Period(start, end)
    sampled = _sampled_runs(registry, period)
    newest = {kind: registry.latest_run(kind, good_only=True, issued_by=end) for kind in RunKind}
    drainage = newest[RunKind.DRAINAGE]
    return [
        *_outages(registry, period, sampled, newest[RunKind.SUPPLY], now=now, fresh_for=fresh_for),
        *flood_kpis(drainage.drainage if drainage else None, probability_threshold=flood_probability, period=period),
        *_data_and_accuracy(readings, registry.sensors(), period, _forecasts(sampled), lead_time),
        *(forecast_age_kpi(kind, newest[kind], period=period, now=end) for kind in RunKind),
    ]


# --------------------------------------------------------------------------------------------------- outages


def _sampled_runs(archive: ForecastArchive, period: Period) -> list[tuple[datetime, Run | None]]:
    """Return the newest good supply run at each of the moments looked at, which end with the period's end."""
    step = period.length / SAMPLES
    moments = [period.end - step * i for i in reversed(range(SAMPLES))]
    return [(moment, archive.latest_run(RunKind.SUPPLY, good_only=True, issued_by=moment)) for moment in moments]


def _forecasts(sampled: list[tuple[datetime, Run | None]]) -> list[SupplyForecast]:
    runs = {run.run_id: run for _, run in sampled if run is not None}
    return [run.supply for run in runs.values() if run.supply is not None]


def _outages(
    registry: KpiMemory,
    period: Period,
    sampled: list[tuple[datetime, Run | None]],
    newest: Run | None,
    *,
    now: datetime,
    fresh_for: timedelta,
) -> list[Kpi]:
    customers = registry.customers()
    judged = _JudgedShare(customers, fresh_for)
    observed = interruption_kpis(
        observed_interruptions(_outage_incidents(registry, period), customers),
        period,
        connections=len(customers),
        now=now,
        coverage=sum(judged.of(run.supply, at=moment) for moment, run in sampled if run is not None) / len(sampled),
    )
    forecast = newest.supply if newest else None
    ahead = Period(forecast.issued_at, max(forecast.valid_at, default=forecast.issued_at)) if forecast else period
    predicted = interruption_kpis(
        predicted_interruptions(forecast, customers) if forecast else [],
        ahead,
        connections=len(customers),
        now=now,
        prefix="predicted",
        coverage=judged.of(forecast, at=period.end),
        remark=_words_on(forecast, judged, at=period.end),
    )
    return observed + predicted


class _JudgedShare:
    """Says for which share of the connections a forecast could tell at a moment whether they are supplied.

    For none when there is none, when it is older than `fresh_for`, or when it rests on no measurement at all.
    """

    def __init__(self, customers: Sequence[Customer], fresh_for: timedelta) -> None:
        self._connections_at = Counter(customer.node_id for customer in customers)
        self._fresh_for = fresh_for
        self._seen: dict[str, float] = {}

    def of(self, forecast: SupplyForecast | None, *, at: datetime) -> float:
        """Return the share, 0 to 1."""
        if forecast is None or not forecast.measured or self.is_old(forecast, at=at):
            return 0.0
        if forecast.run_id not in self._seen:
            unseen = forecast.resting_on_assumption(self._connections_at)
            all_of_them = max(self._connections_at.total(), 1)
            self._seen[forecast.run_id] = 1 - sum(self._connections_at[node] for node in unseen) / all_of_them
        return self._seen[forecast.run_id]

    def is_old(self, forecast: SupplyForecast, *, at: datetime) -> bool:
        """Whether the forecast is too old to tell anything at a moment."""
        return at - forecast.issued_at > self._fresh_for


def _words_on(forecast: SupplyForecast | None, judged: _JudgedShare, *, at: datetime) -> str:
    if forecast is None:
        return "no forecast"
    words = [f"forecast of {forecast.issued_at.isoformat()}"]
    if judged.is_old(forecast, at=at):
        words.append("it is too old")
    if not forecast.measured:
        words.append("it rests on no measurement")
    if forecast.assumed:
        words.append(f"nobody measures {', '.join(forecast.assumed)}")
    return "; ".join(words)


def _outage_incidents(log: IncidentLog, period: Period) -> list[Incident]:
    found = {incident.incident_id: incident for incident in log.open_incidents()}
    cursor: str | None = None
    while True:
        page = log.incidents(
            kind=IncidentKind.OUTAGE_OBSERVED,
            start=period.start - LONGEST_OUTAGE,
            end=period.end,
            limit=1000,
            cursor=cursor,
        )
        found |= {incident.incident_id: incident for incident in page.items}
        cursor = page.next_cursor
        if cursor is None:
            return list(found.values())


# ------------------------------------------------------------------------------------------------------ data


def _data_and_accuracy(
    store: ReadingStore,
    sensors: dict[str, Sensor],
    period: Period,
    forecasts: list[SupplyForecast],
    lead_time: timedelta,
) -> Iterator[Kpi]:
    looked_at = _affordable(sensors, period)
    remark = "" if looked_at == period else "only the newest part of the period asked for: too many readings"
    witness = witnesses(sensors.values())
    kept: dict[str, list[Reading]] = {}
    counts, trust = {}, []
    figures: list[Kpi] = []
    for sensor_id, sensor in sensors.items():
        readings = store.between(sensor_id, looked_at.start, looked_at.end)
        counts[sensor_id] = count_data(sensor, readings, looked_at)
        figures += data_kpis(counts[sensor_id], looked_at, subject=f"sensor:{sensor_id}", remark=remark)
        pairs, due = _pairs(sensor, readings, looked_at, forecasts, lead_time)
        if due:
            figures += accuracy_kpis(
                pairs, looked_at, sensor=sensor, unit=si_unit(sensor.quantity), lead_time=lead_time, forecasts=due
            )
        if sensor_id in witness:
            kept[sensor_id] = readings
        else:
            good = [reading for reading in readings if reading.quality is Quality.GOOD]
            if due and len(good) < len(readings):  # a replaced value is not the sensor's own
                pairs, _ = _pairs(sensor, good, looked_at, forecasts, lead_time)
            trust.append(trust_over(sensor, looked_at, readings, pairs, estimate=MODEL))
    for sensor_id, readings in kept.items():
        other = witness[sensor_id]
        pairs = pairs_with_witness(sensors[sensor_id], readings, kept[other])
        trust.append(trust_over(sensors[sensor_id], looked_at, readings, pairs, estimate=f"{REDUNDANT}:{other}"))
    yield from data_kpis(overall(counts), looked_at, remark=remark)
    yield from trust_kpis(trust, looked_at, remark=remark)
    yield from figures


def _affordable(sensors: dict[str, Sensor], period: Period) -> Period:
    per_second = sum(1 / sensor.expected_every_s for sensor in sensors.values())
    if per_second * period.length.total_seconds() <= READINGS_AT_MOST:
        return period
    return Period(period.end - timedelta(seconds=int(READINGS_AT_MOST / per_second)), period.end)


def _pairs(
    sensor: Sensor, readings: list[Reading], period: Period, forecasts: list[SupplyForecast], lead_time: timedelta
) -> tuple[list[Pair], int]:
    """Pair forecasts with readings at a sensor that they have a series for; and how many forecasts have one."""
    place = (sensor.element_type, sensor.element_id, sensor.quantity)
    due = [
        forecast
        for forecast in forecasts
        if period.start <= forecast.issued_at + lead_time < period.end
        and any((s.element_type, s.element_id, s.quantity) == place for s in forecast.series)
    ]
    return (pairs_at_lead_time(due, sensor, readings, lead_time=lead_time) if due else []), len(due)
