"""Key figures, by definition: pure functions from records to `Kpi`s.

Each figure carries its numerator, denominator and coverage (the share of the period that there was data for). Where
there is no data the value is None, never 0: nobody measured is not the same as nobody suffered.

Definitions and their sources:
- Interruptions: intervals are merged per connection before anything is counted; a re-cut within one hour continues
  the same interruption (our choice). Minutes are those without water: the hour with water in between is not counted.
  Unthresholded, like SAIDI and SAIFI; Ofwat counts from 3 h on, so the least duration is a parameter.
- Counts are put on a year's footing only from 90 days on (our choice); below, the bare count is given.
- Availability, validity, timeliness: the declared cadence says what was expected, not what arrived.
- Model accuracy: forecasts as issued, a stated lead time ahead, against trusted readings.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twin.customers import Customer
from twin.forecasts import DrainageForecast, Run, RunKind, RunStatus, SupplyForecast
from twin.incidents import Incident, IncidentKind
from twin.readings import Reading, Sensor

RECUT = timedelta(hours=1)
ANNUALISED_FROM = timedelta(days=90)
YEAR = timedelta(days=365)
TIMELY_S = 900.0

OWN = "h2twin's own definition"
IWA_LIKE = "after SAIDI/SAIFI and ERSAR AA03 (1000 service connections and year)"


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure. `value` is None where there is no data; `coverage` is a share of the period, 0 to 1."""

    kpi_id: str
    name: str
    definition: str
    unit: str
    period_start: datetime
    period_end: datetime
    subject: str = "all"
    numerator: float | None = None
    denominator: float | None = None
    value: float | None = None
    coverage: float | None = None
    remark: str = ""
    source: str = OWN


@dataclass(frozen=True, slots=True)
class Period:
    """What the figures are about: start <= t < end."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """The time from start to end."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Interruption:
    """One connection without supply from `starts_at` to `ends_at` (None: it still is)."""

    connection_id: str
    starts_at: datetime
    ends_at: datetime | None


# ------------------------------------------------------------------------------------------------ interruptions


def observed_interruptions(incidents: Iterable[Incident], customers: Iterable[Customer]) -> list[Interruption]:
    """Return the dry spells of observed outages, one per connection at the node."""
    connections = _connections_of(customers)
    return [
        Interruption(connection_id, spell.starts_at, spell.ends_at)
        for incident in incidents
        if incident.kind is IncidentKind.OUTAGE_OBSERVED
        for spell in incident.dry_spells
        for connection_id in connections.get(spell.node_id, ())
    ]


def predicted_interruptions(forecast: SupplyForecast, customers: Iterable[Customer]) -> list[Interruption]:
    """Return the outages of a forecast, one per connection at the node; without an end they last to the horizon."""
    connections = _connections_of(customers)
    horizon = max(forecast.valid_at, default=forecast.issued_at)
    return [
        Interruption(connection_id, outage.starts_at, outage.ends_at or horizon)
        for outage in forecast.outages
        for connection_id in connections.get(outage.node_id, ())
    ]


def _connections_of(customers: Iterable[Customer]) -> dict[str, list[str]]:
    by_node: dict[str, list[str]] = defaultdict(list)
    for customer in customers:
        by_node[customer.node_id].append(customer.connection_id)
    return by_node


def dry_times(interruptions: Iterable[Interruption], *, now: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
    """Return each connection's times without supply, disjoint and in order; overlapping cuts count once."""
    by_connection: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for cut in interruptions:
        end = cut.ends_at if cut.ends_at is not None else now
        if end > cut.starts_at:
            by_connection[cut.connection_id].append((cut.starts_at, end))
    return {connection: _merged(times, timedelta(0)) for connection, times in by_connection.items()}


def _merged(times: Iterable[tuple[datetime, datetime]], gap: timedelta) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(times):
        if merged and start - merged[-1][1] <= gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def interruption_kpis(
    interruptions: Iterable[Interruption],
    period: Period,
    *,
    connections: int,
    now: datetime,
    prefix: str = "observed",
    coverage: float | None = None,
    min_duration: timedelta = timedelta(0),
    remark: str = "",
) -> list[Kpi]:
    """Return connections and connection-minutes without supply, minutes per connection, and interruptions.

    `coverage` is the share of the period (and of the connections) in which supply was judged; without any (0) nothing
    is known and the values are None, as they are without connections. An interruption counts in the period in which
    it starts.
    """
    times = dry_times(interruptions, now=now)
    within = {connection: _clipped(spans, period) for connection, spans in times.items()}
    minutes = sum((end - start).total_seconds() for spans in within.values() for start, end in spans) / 60
    concerned = sum(1 for spans in within.values() if spans)
    counted = sum(
        period.start <= start < period.end and end - start >= min_duration
        for spans in times.values()
        for start, end in _merged(spans, RECUT)
    )
    known = connections > 0 and coverage != 0
    figure = _Figures(period, prefix, connections if known else None, coverage if connections else None, remark)
    return [
        figure.total(
            "connections_without_supply", "Connections without supply", "connections out of supply at any time",
            "connections", concerned,
        ),
        figure.total(
            "connection_minutes_without_supply", "Connection-minutes without supply",
            "sum over connections of the minutes out of supply; overlapping cuts count once", "min", minutes,
        ),
        figure.ratio(
            "minutes_lost_per_connection", "Minutes lost per connection",
            "connection-minutes without supply / connections", "min/connection", minutes,
        ),
        figure.rate(counted),
    ]  # fmt: skip


def _clipped(spans: Iterable[tuple[datetime, datetime]], period: Period) -> list[tuple[datetime, datetime]]:
    clipped = ((max(start, period.start), min(end, period.end)) for start, end in spans)
    return [(start, end) for start, end in clipped if end > start]


@dataclass(frozen=True, slots=True)
class _Figures:
    """Makes the figures of one period; `connections` is None where nothing is known."""

    period: Period
    prefix: str
    connections: int | None
    coverage: float | None
    remark: str

    def total(self, name_id: str, name: str, definition: str, unit: str, amount: float) -> Kpi:
        value = None if self.connections is None else float(amount)
        return self._kpi(name_id, name, definition, unit, value, value)

    def ratio(self, name_id: str, name: str, definition: str, unit: str, amount: float) -> Kpi:
        numerator = None if self.connections is None else float(amount)
        value = None if self.connections is None else amount / self.connections
        return self._kpi(name_id, name, definition, unit, numerator, value)

    def rate(self, counted: int) -> Kpi:
        name = "Interruptions"
        if self.connections is None or self.period.length < ANNUALISED_FROM:
            definition = (
                "interruptions that began in the period, re-cuts within 1 h being one; bare count below 90 days"
            )
            count = None if self.connections is None else float(counted)
            return self._kpi("interruptions", name, definition, "interruptions", count, count)
        years = self.period.length / YEAR
        value = 1000 * counted / (self.connections * years)
        definition = "1000 x interruptions / (connections x years)"
        return self._kpi("interruptions", name, definition, "per 1000 connections and year", float(counted), value)

    def _kpi(
        self, name_id: str, name: str, definition: str, unit: str, numerator: float | None, value: float | None
    ) -> Kpi:
        return Kpi(
            kpi_id=f"{self.prefix}_{name_id}",
            name=f"{name} ({self.prefix})",
            definition=definition,
            unit=unit,
            period_start=self.period.start,
            period_end=self.period.end,
            numerator=numerator,
            denominator=None if self.connections is None else float(self.connections),
            value=value,
            coverage=self.coverage,
            remark=self.remark,
            source=IWA_LIKE,
        )


# ------------------------------------------------------------------------------------------------------- floods


def flood_kpis(forecast: DrainageForecast | None, *, probability_threshold: float, period: Period) -> list[Kpi]:
    """Return how many drainage nodes are expected to flood, and the highest probability of any node.

    Without a forecast, or with too few members, both are None. `period` is what to show without a forecast.
    """
    known = forecast is not None and forecast.status is RunStatus.OK
    if forecast is not None:
        period = Period(forecast.valid_from, forecast.valid_to)
    probabilities = [n.probability for n in forecast.nodes if n.probability is not None] if forecast and known else []
    over = sum(probability >= probability_threshold for probability in probabilities)
    done = len(forecast.members_done) if forecast else 0
    failed = len(forecast.members_failed) if forecast else 0
    remark = f"{done} members done, {failed} failed" if forecast else "no forecast"
    nodes = float(len(probabilities)) if probabilities else None
    shared = {"period_start": period.start, "period_end": period.end, "remark": remark, "denominator": nodes}
    coverage = done / (done + failed) if done + failed else None
    count = float(over) if probabilities else None
    highest = max(probabilities, default=None)
    return [
        Kpi(
            kpi_id="predicted_flood_nodes",
            name="Nodes expected to flood",
            definition=f"drainage nodes that flood in at least {probability_threshold:.0%} of the members",
            unit="nodes",
            numerator=count,
            value=count,
            coverage=coverage,
            **shared,  # type: ignore[arg-type]
        ),
        Kpi(
            kpi_id="predicted_flood_probability",
            name="Highest probability of flooding",
            definition="the highest share of members in which a node floods, over all nodes",
            unit="1",
            numerator=highest,
            value=highest,
            coverage=coverage,
            **shared,  # type: ignore[arg-type]
        ),
    ]


# --------------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True, slots=True)
class DataCounts:
    """What came of one sensor in a period, in numbers that can be added up.

    `heard_intervals` are the expected intervals with a reading whenever it came, `on_time_intervals` those with one
    that came in time.
    """

    expected: int
    on_time_intervals: int
    received: int
    trusted: int
    timely: int
    heard_intervals: int = 0

    def __add__(self, other: DataCounts) -> DataCounts:
        return DataCounts(
            self.expected + other.expected,
            self.on_time_intervals + other.on_time_intervals,
            self.received + other.received,
            self.trusted + other.trusted,
            self.timely + other.timely,
            self.heard_intervals + other.heard_intervals,
        )


def count_data(
    sensor: Sensor, readings: Sequence[Reading], period: Period, *, timely_s: float = TIMELY_S
) -> DataCounts:
    """Count a sensor's readings of the period against its declared cadence.

    A reading is timely when it arrived within `timely_s`, or one interval where that is longer. Intervals follow
    the phase of the sensor's first reading, each reading counting for the nearest: a little jitter loses nothing.
    """
    every = timedelta(seconds=sensor.expected_every_s)
    expected = int(period.length / every)
    allowed = timedelta(seconds=max(timely_s, sensor.expected_every_s))
    inside = [reading for reading in readings if period.start <= reading.observed_at < period.end]
    timely = [reading for reading in inside if reading.available_at - reading.observed_at <= allowed]
    first = min((reading.observed_at for reading in inside), default=period.start)
    anchor = period.start + (first - period.start) % every
    on_time = {round((reading.observed_at - anchor) / every) for reading in timely}
    heard = on_time | {round((reading.observed_at - anchor) / every) for reading in inside if len(timely) < len(inside)}
    return DataCounts(
        expected=expected,
        on_time_intervals=sum(0 <= slot < expected for slot in on_time),
        received=len(inside),
        trusted=sum(reading.is_trusted for reading in inside),
        timely=len(timely),
        heard_intervals=sum(0 <= slot < expected for slot in heard),
    )


def data_kpis(counts: DataCounts, period: Period, *, subject: str = "all", remark: str = "") -> list[Kpi]:
    """Return availability, validity and timeliness in per cent of counts; coverage is the share of intervals heard."""
    coverage = _share(counts.on_time_intervals, counts.expected)
    rows = (
        (
            "data_availability",
            "Data availability",
            "100 x expected intervals with a timely reading / expected intervals (declared cadence)",
            counts.on_time_intervals,
            counts.expected,
        ),
        ("data_validity", "Data validity", "100 x trusted readings / readings", counts.trusted, counts.received),
        ("data_timeliness", "Data timeliness", "100 x readings in time / readings", counts.timely, counts.received),
    )
    return [
        Kpi(
            kpi_id=kpi_id,
            name=name,
            definition=definition,
            unit="%",
            period_start=period.start,
            period_end=period.end,
            subject=subject,
            numerator=float(numerator),
            denominator=float(denominator),
            value=None if denominator == 0 else 100 * numerator / denominator,
            coverage=coverage,
            remark=remark,
        )
        for kpi_id, name, definition, numerator, denominator in rows
    ]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


# ------------------------------------------------------------------------------------------------------- models


@dataclass(frozen=True, slots=True)
class Pair:
    """A value as forecast and as measured, in the SI unit of the quantity."""

    forecast: float
    measured: float


def pairs_at_lead_time(
    forecasts: Iterable[SupplyForecast], sensor: Sensor, readings: Sequence[Reading], *, lead_time: timedelta
) -> list[Pair]:
    """Pair what each forecast said for `lead_time` after its issue with the trusted reading nearest to that moment.

    The reading may be half of the sensor's interval away, the forecast's moment half of its own step; a forecast
    without one gives no pair.
    """
    trusted = sorted((r for r in readings if r.is_trusted), key=lambda r: r.observed_at)
    times = [reading.observed_at for reading in trusted]
    reach = timedelta(seconds=sensor.expected_every_s) / 2
    pairs = []
    for forecast in forecasts:
        said = _said_at(forecast, sensor, forecast.issued_at + lead_time)
        if said is None:
            continue
        moment, value = said
        after = bisect_left(times, moment)
        nearest = min(trusted[max(after - 1, 0) : after + 1], key=lambda r: abs(r.observed_at - moment), default=None)
        if nearest is not None and abs(nearest.observed_at - moment) <= reach:
            pairs.append(Pair(value, nearest.value))
    return pairs


def _said_at(forecast: SupplyForecast, sensor: Sensor, moment: datetime) -> tuple[datetime, float] | None:
    series = next(
        (
            s
            for s in forecast.series
            if (s.element_type, s.element_id, s.quantity) == (sensor.element_type, sensor.element_id, sensor.quantity)
        ),
        None,
    )
    if series is None or len(forecast.valid_at) < 2:
        return None
    step = forecast.valid_at[1] - forecast.valid_at[0]
    index = min(range(len(forecast.valid_at)), key=lambda i: abs(forecast.valid_at[i] - moment))
    if abs(forecast.valid_at[index] - moment) > step / 2:
        return None
    return forecast.valid_at[index], series.values[index]


def accuracy_kpis(
    pairs: Sequence[Pair], period: Period, *, sensor: Sensor, unit: str, lead_time: timedelta, forecasts: int
) -> list[Kpi]:
    """Return the mean absolute error and the bias (forecast - measured) at one sensor, in the quantity's SI unit.

    Coverage is the share of the `forecasts` looked at that could be paired.
    """
    count = len(pairs)
    absolute = sum(abs(pair.forecast - pair.measured) for pair in pairs)
    signed = sum(pair.forecast - pair.measured for pair in pairs)
    rows = (
        ("model_mae", "Mean absolute error of the model", "sum |forecast - measured| / pairs", absolute),
        ("model_bias", "Bias of the model", "sum (forecast - measured) / pairs", signed),
    )
    hours = lead_time / timedelta(hours=1)
    return [
        Kpi(
            kpi_id=kpi_id,
            name=name,
            definition=f"{definition}, {hours:g} h after issue, trusted readings only",
            unit=unit,
            period_start=period.start,
            period_end=period.end,
            subject=f"sensor:{sensor.sensor_id}",
            numerator=total if count else None,
            denominator=float(count),
            value=total / count if count else None,
            coverage=_share(count, forecasts),
        )
        for kpi_id, name, definition, total in rows
    ]


def forecast_age_kpi(kind: RunKind, latest_good: Run | None, *, period: Period, now: datetime) -> Kpi:
    """Return how many minutes ago the newest good forecast of a kind was issued; None without one."""
    age_min = None if latest_good is None else (now - latest_good.issued_at) / timedelta(minutes=1)
    return Kpi(
        kpi_id="forecast_age",
        name="Age of the last good forecast",
        definition="now - issue of the newest forecast that did not fail",
        unit="min",
        period_start=period.start,
        period_end=period.end,
        subject=str(kind),
        numerator=age_min,
        value=age_min,
        remark="" if latest_good else "no good forecast yet",
    )


def overall(counts: Mapping[str, DataCounts]) -> DataCounts:
    """Add up the counts of all sensors."""
    return sum(counts.values(), start=DataCounts(0, 0, 0, 0, 0))
