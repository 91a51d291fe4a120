"""The use case behind a day's trust: days are counted when they are over, kept, and counted anew after late readings.

A day is over an hour after its end. Days that windows still wait for are counted but not kept: `settle` forgets what
was kept of them. Nothing is expected of a sensor before it was heard for the first time. The counting costs one look at
every reading, so it is done in portions: what nobody has counted yet is left out, and `missing` says how much it is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Protocol

from twin.clock import as_utc
from twin.forecasts import RunKind, SupplyForecast
from twin.kpis import Kpi, Pair, Period, pairs_at_lead_time
from twin.ports import ForecastArchive, ReadingStore, SensorRegistry, TrustLog, WindowLog
from twin.readings import ElementType, Quality, Reading, Sensor
from twin.trust import (
    DAY,
    MODEL,
    PARTS,
    REDUNDANT,
    TOLERANCES,
    TrustDay,
    overall_trust,
    pairs_with_witness,
    period_of,
    trust_day,
    witnesses,
)

OVER_AFTER = timedelta(hours=1)
LEAD_TIME = timedelta(hours=1)
FORECASTS_A_DAY = 24
READINGS_AT_ONCE = 500_000
"""No call counts days of more expected readings than this, unless it is told to."""
READINGS_A_TURN = 50_000
"""So many expected readings are counted after a turn of the cycle: about half a second."""
WINDOWS_AT_MOST = 100_000
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Every store can hold these years, and no reading of a water network lies outside them."""


class TrustMemory(SensorRegistry, ForecastArchive, WindowLog, TrustLog, Protocol):
    """What the days are counted from besides readings, and where they are kept."""


@dataclass(frozen=True, slots=True)
class TrustReport:
    """The trust of sensors on closed days, by day and sensor; `missing` sensor-days are not counted yet."""

    days: tuple[TrustDay, ...]
    missing: int = 0


def last_closed_day(now: datetime) -> date:
    """Return the newest UTC day that is over."""
    return (as_utc(now) - OVER_AFTER).date() - DAY


def trust_report(
    readings: ReadingStore,
    registry: TrustMemory,
    *,
    first: date,
    last: date,
    now: datetime,
    sensor_id: str | None = None,
    at_most: int = READINGS_AT_ONCE,
    afresh: bool = False,
    waiting: bool = True,
) -> TrustReport:
    """Return the trust from `first` to `last` (inclusive, as far as closed), counting and keeping what is missing.

    `at_most` limits the expected readings of the days counted now, newest day first; 0 counts none. `afresh` counts
    kept days again too. Days that wait for a window are counted, though not kept, unless `waiting` is False.
    """
    sensors = registry.sensors()
    wanted = {one.sensor_id: one for one in sensors.values() if sensor_id in (None, one.sensor_id)}
    last = min(last, last_closed_day(now))
    touched = _touched_days(registry)
    stored = [] if afresh else registry.trust_days(first, last, sensor_id=sensor_id)
    kept = {(one.sensor_id, one.day): one for one in stored if one.sensor_id in wanted}
    counting = _Counting(readings, registry, sensors)
    missing = 0
    for day in _days_backwards(first, last):
        uncounted = [
            one
            for one in wanted
            if ((one, day) not in kept or (waiting and (one, day) in touched)) and counting.was_heard(one, by=day)
        ]
        affordable, left = counting.affordable(day, uncounted, at_most)
        at_most -= sum(_cost(one) for one in affordable)
        counted = counting.days(day, affordable)
        registry.save_trust([one for one in counted if (one.sensor_id, day) not in touched])
        kept.update({(one.sensor_id, day): one for one in counted if one.sensor_id in wanted})
        missing += left
    return TrustReport(tuple(sorted(kept.values(), key=lambda one: (one.day, one.sensor_id))), missing)


def keep_trust(readings: ReadingStore, registry: TrustMemory, *, now: datetime) -> None:
    """Count a portion of what nobody has counted of the last closed week; cheap when all is counted."""
    last = last_closed_day(now)
    trust_report(readings, registry, first=last - 6 * DAY, last=last, now=now, at_most=READINGS_A_TURN, waiting=False)


def _days_backwards(first: date, last: date) -> Iterable[date]:
    return (last - n * DAY for n in range(max((last - first).days + 1, 0)))


def _cost(sensor: Sensor) -> int:
    return int(DAY / timedelta(seconds=sensor.expected_every_s)) + 1


def _touched_days(windows: WindowLog) -> set[tuple[str, date]]:
    """Return the sensor-days that wait to be looked at again."""
    touched: set[tuple[str, date]] = set()
    for window in windows.reopened(WINDOWS_AT_MOST):
        first, last = as_utc(window.start).date(), as_utc(window.end).date()
        touched.update((window.sensor_id, day) for day in _days_backwards(first, last))
    return touched


class _Counting:
    """Counts days; what several sensors of one day need is read once."""

    def __init__(self, readings: ReadingStore, archive: ForecastArchive, sensors: Mapping[str, Sensor]) -> None:
        self._readings = readings
        self._archive = archive
        self._sensors = sensors
        self._witnesses = witnesses(sensors.values())
        self._borne_out: dict[str, list[str]] = defaultdict(list)
        for sensor_id, witness in self._witnesses.items():
            self._borne_out[witness].append(sensor_id)
        self._first_heard: dict[str, datetime | None] = {}
        self._has_begun = False

    def affordable(self, day: date, uncounted: Sequence[str], at_most: int) -> tuple[list[Sensor], int]:
        """Return the sensors to be counted now, and how many are left for later.

        With a sensor go those that it bears witness for. The first of all are counted whatever they cost,
        or they never were.
        """
        chosen: dict[str, Sensor] = {}
        left = 0
        for sensor_id in uncounted:
            borne_out = (one for one in self._borne_out[sensor_id] if self.was_heard(one, by=day))
            group = {one: self._sensors[one] for one in (sensor_id, *borne_out) if one not in chosen}
            cost = sum(_cost(sensor) for sensor in group.values())
            if sensor_id in chosen or cost <= at_most or (at_most > 0 and not self._has_begun):
                chosen |= group
                self._has_begun = True
                at_most -= cost
            else:
                left += 1
        return [chosen[one] for one in sorted(chosen)], left

    def was_heard(self, sensor_id: str, *, by: date) -> bool:
        """Whether the sensor was ever heard by the end of a day."""
        since = self._since(sensor_id)
        return since is not None and since < period_of(by).end

    def days(self, day: date, sensors: Sequence[Sensor]) -> list[TrustDay]:
        """Return one day of each of the sensors, all of which had been heard by then."""
        read: dict[str, list[Reading]] = {}
        forecasts: list[SupplyForecast] | None = None
        counted = []
        for sensor in sensors:
            since = self._since(sensor.sensor_id)
            mine = self._read(sensor.sensor_id, day, read)
            witness = self._witnesses.get(sensor.sensor_id)
            if witness is not None:
                estimate, pairs = (
                    f"{REDUNDANT}:{witness}",
                    pairs_with_witness(sensor, mine, self._read(witness, day, read)),
                )
            else:
                if mine and _is_modelled(sensor):
                    forecasts = self._forecasts(day) if forecasts is None else forecasts
                estimate, pairs = MODEL, _pairs_with_model(sensor, mine, forecasts or [])
            counted.append(trust_day(sensor, day, mine, pairs, estimate=estimate, since=since))
        return counted

    def _since(self, sensor_id: str) -> datetime | None:
        if sensor_id not in self._first_heard:
            first = self._readings.between(sensor_id, EARLIEST, LATEST, limit=1)
            self._first_heard[sensor_id] = first[0].observed_at if first else None
        return self._first_heard[sensor_id]

    def _read(self, sensor_id: str, day: date, read: dict[str, list[Reading]]) -> list[Reading]:
        if sensor_id not in read:
            period = period_of(day)
            read[sensor_id] = self._readings.between(sensor_id, period.start, period.end)
        return read[sensor_id]

    def _forecasts(self, day: date) -> list[SupplyForecast]:
        """Return the good supply forecasts that said something of the day an hour ahead, about one an hour."""
        start, found = period_of(day).start - LEAD_TIME, {}
        for hour in range(FORECASTS_A_DAY):
            issued_by = start + (hour + 1) * DAY / FORECASTS_A_DAY
            run = self._archive.latest_run(RunKind.SUPPLY, good_only=True, issued_by=issued_by)
            if run is not None and run.supply is not None and run.issued_at >= start:
                found[run.run_id] = run.supply
        return list(found.values())


def _is_modelled(sensor: Sensor) -> bool:
    return sensor.element_type in (ElementType.NODE, ElementType.LINK) and sensor.quantity in TOLERANCES


def _pairs_with_model(sensor: Sensor, readings: Sequence[Reading], forecasts: Sequence[SupplyForecast]) -> list[Pair]:
    good = [reading for reading in readings if reading.quality is Quality.GOOD]
    return pairs_at_lead_time(forecasts, sensor, good, lead_time=LEAD_TIME) if good else []


# ---------------------------------------------------------------------------------------------- the worst first


@dataclass(frozen=True, slots=True)
class SensorTrust:
    """One sensor over several days: the counts put together, and when it was heard last."""

    sensor: Sensor
    days: int
    total: TrustDay
    last_observed_at: datetime | None
    is_silent: bool

    @property
    def why(self) -> str:
        """Say in words what cost most, the worst part first."""
        words = []
        if self.is_silent:
            words.append("silent now" if self.last_observed_at else "never heard")
        parts = sorted(self.total.parts.items(), key=lambda part: part[1])
        words += [f"{name} {share:.0%}" for name, share in parts if share < 1]
        words += [f"{reason} {count}x" for reason, count in islice(self.total.reasons.items(), TOP_REASONS)]
        return ", ".join(words)


TOP_REASONS = 3


def sensors_worst_first(
    report: TrustReport, sensors: Mapping[str, Sensor], latest: Mapping[str, Reading], *, now: datetime
) -> list[SensorTrust]:
    """Return every sensor with its days put together, the least trusted first; the silent first among equals.

    `latest` are the newest readings of any quality. Sensors without a single closed day come by their silence.
    """
    of_sensor: dict[str, list[TrustDay]] = defaultdict(list)
    for day in report.days:
        of_sensor[day.sensor_id].append(day)
    lines = []
    for sensor_id, sensor in sensors.items():
        newest = latest.get(sensor_id)
        heard_at = newest.observed_at if newest else None
        silent = heard_at is None or sensor.is_silent(heard_at, now=now)
        days = of_sensor[sensor_id]
        lines.append(SensorTrust(sensor, len(days), _put_together(sensor_id, days, now), heard_at, silent))
    return sorted(lines, key=_worst_first)


def _worst_first(line: SensorTrust) -> tuple[float, bool, str]:
    trust = line.total.trust
    unknown = 0.0 if line.is_silent else 1.0
    return (unknown if trust is None else trust, not line.is_silent, line.sensor.sensor_id)


def _put_together(sensor_id: str, days: Sequence[TrustDay], now: datetime) -> TrustDay:
    reasons: dict[str, int] = defaultdict(int)
    for day in days:
        for reason, count in day.reasons.items():
            reasons[reason] += count
    return TrustDay(
        sensor_id=sensor_id,
        day=days[-1].day if days else as_utc(now).date(),
        expected=sum(day.expected for day in days),
        heard=sum(day.heard for day in days),
        received=sum(day.received for day in days),
        timely=sum(day.timely for day in days),
        good=sum(day.good for day in days),
        compared=sum(day.compared for day in days),
        within=sum(day.within for day in days),
        estimate=", ".join(sorted({day.estimate for day in days} - {""})),
        reasons=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        last_observed_at=max((day.last_observed_at for day in days if day.last_observed_at), default=None),
    )


# --------------------------------------------------------------------------------------------------------- KPIs


def trust_kpis(days: Sequence[TrustDay], period: Period, *, remark: str = "") -> list[Kpi]:
    """Return the trust in all sensors over a period, and what it is made of, in per cent."""
    whole = overall_trust(days)
    rests_on = f"{whole.compared} of {whole.sensor_days} sensors against an independent estimate"
    product = f"100 x {' x '.join(PARTS)} (those that are known) of each sensor, weighted by its expected readings"
    within = "100 x good readings within tolerance of an independent estimate / those compared"
    heard = "100 x expected intervals with a reading, however late / expected intervals (declared cadence)"
    good = "100 x readings of good quality / readings"
    rows = (
        ("data_trust", "Trust in the data", product, whole.trust),
        ("data_heard", "Data that came at all", heard, whole.availability),
        ("data_good", "Good data", good, whole.validity),
        ("data_accuracy", "Data accuracy", within, whole.accuracy),
    )
    return [
        Kpi(
            kpi_id=kpi_id,
            name=name,
            definition=definition,
            unit="%",
            period_start=period.start,
            period_end=period.end,
            value=None if share is None else 100 * share,
            coverage=(whole.compared if kpi_id == "data_accuracy" else whole.judged) / max(whole.sensor_days, 1),
            remark="; ".join(filter(None, (rests_on, remark))),
        )
        for kpi_id, name, definition, share in rows
    ]
