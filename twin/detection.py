"""From forecasts and readings to incidents: what is wrong, since when, for whom, and when it is over.

Two steps. Pure functions read one forecast (or the sensors) and return `Finding`s: what that one cycle says. The
`Detector` sets them against the open incidents and returns what opens, changes and closes. In between lie the rules
that keep people from being told twice, too early, or that all is well when nobody knows:

- One incident per (kind, cause key). Nodes of one cause are one incident, cycles of one storm too.
- Hysteresis: a value between the closing and the opening threshold (`band_ids`) keeps an open incident open and
  opens none.
- Delays, in cycles (`DEFAULT_DELAYS`):

  | kind             | opens after           | closes after clean cycles |
  |------------------|-----------------------|---------------------------|
  | outage_observed  | 1                     | 2                         |
  | outage_predicted | 1                     | 2 (at once when it began) |
  | flood_predicted  | 1; 2 below p = 0.6    | 2                         |
  | tank_low         | 1                     | 2                         |
  | pressure_low     | 2                     | 2                         |
  | sensor_silent    | 1 (cadence x 3 waited)| 2                         |

- Unknown is not all-clear: kinds that were not judged in a cycle stay untouched, and an `unknown` finding holds its
  incident as it is. Where a model merely assumed what it could not see (`blind_to`), every incident that could rest on
  it is held open with all its nodes, and says so in its cause.
- The counters live in memory: a restart can delay a step, never bring it forward.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from twin.customers import Customer, Sensitivity, customers_at
from twin.forecasts import DrainageForecast, NodeFlood, PredictedOutage, RunStatus, SupplyForecast, TankOutlook
from twin.incidents import DrySpell, Incident, IncidentKind, IncidentState, Severity, close
from twin.readings import ElementType, Reading, Sensor
from twin.units import Quantity

Key = tuple[IncidentKind, str]

CONCERNS_CUSTOMERS = frozenset({IncidentKind.OUTAGE_PREDICTED, IncidentKind.OUTAGE_OBSERVED, IncidentKind.PRESSURE_LOW})
"""Kinds whose nodes are nodes of the supply network: only these have customers (drainage ids may look the same)."""

GOING_ON = frozenset(
    {IncidentKind.OUTAGE_OBSERVED, IncidentKind.SENSOR_SILENT, IncidentKind.TANK_LOW, IncidentKind.PRESSURE_LOW}
)
"""Kinds that are true now: their start is the earliest ever found, however often it is found again."""

LIFE_DEPENDS = frozenset({Sensitivity.HOSPITAL, Sensitivity.DIALYSIS, Sensitivity.CARE_HOME, Sensitivity.FIRE_SERVICE})
"""Sensitive customers that make a cut severe."""

OBSERVED_CONFIDENCE = 0.9
PREDICTED_CONFIDENCE = 0.7
ASSUMED_CONFIDENCE = 0.4
"""One deterministic run states no probability: these three are conventions, not calibrated frequencies. The last is
for what rests on a tank, pump or valve that nobody measures now."""

HELD = "; held open, there is no fresh measurement of "
"""What the cause of an incident says, before the elements, while it is held for lack of data."""

_EMPTY_WITHIN_M = 0.005
"""A tank this close to its lowest level is empty."""

GROUP_SILENT_FROM = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one cycle says about one cause.

    `node_ids` and `sensor_ids` are over the opening threshold; `band_ids` lie between the closing and the opening
    threshold: they stay in an open incident that has them, and open none. `unknown` says that the cause could not
    be judged: an open incident stays exactly as it is. `resolution` is the forecast's step: what begins or ends at
    a moment may have done so up to one step earlier.

    `blind_to` names elements that the cycle could not see. Such a finding speaks about every open incident of its
    kind which names one of them in its cause, or has a node in `band_ids` (all of them where there are no
    `band_ids`): it must be `unknown`, and holds them.
    """

    kind: IncidentKind
    cause_key: str
    cause: str
    severity: Severity
    confidence: float
    starts_at: datetime | None = None
    expected_end_at: datetime | None = None
    node_ids: tuple[str, ...] = ()
    sensor_ids: tuple[str, ...] = ()
    run_id: str = ""
    band_ids: tuple[str, ...] = ()
    unknown: bool = False
    resolution: timedelta = timedelta(0)
    blind_to: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """What makes two findings the same incident."""
        return (self.kind, self.cause_key)

    @property
    def opens(self) -> bool:
        """Whether the finding may open an incident."""
        return not self.unknown and bool(self.node_ids or self.sensor_ids)


# ------------------------------------------------------------------------------------------------------- supply


def findings_from_supply(
    forecast: SupplyForecast, *, now: datetime, tank_low_share: float = 0.15, tank_clear_share: float = 0.20
) -> list[Finding]:
    """Return outages by cause (observed or predicted), low tanks, and what could not be seen.

    An outage is observed only if it holds at T0 and its cause is measured: the tank's measured level is at its
    minimum, or the pump or valve is measured closed. All else is predicted, also what the model shows at T0 but
    nobody measured (`low_pressure` among it). The observed part of a cause and the rest are two findings: a customer
    whose water is still running is never told that it is cut.

    A tank is low below `tank_low_share` of its usable range, and clear again from `tank_clear_share` on; one whose
    level is not measured is neither. What the forecast merely assumes lowers the confidence in outages that could
    rest on it, and holds open all incidents that could: each such area comes as an `unknown` finding.
    """
    parts: dict[Key, list[PredictedOutage]] = defaultdict(list)
    for outage in forecast.outages:
        observed = outage.starts_at <= forecast.issued_at and _is_measured(outage.cause_key, forecast)
        kind = IncidentKind.OUTAGE_OBSERVED if observed else IncidentKind.OUTAGE_PREDICTED
        parts[kind, outage.cause_key].append(outage)
    outages = [_outage_finding(kind, outages, forecast) for (kind, _), outages in sorted(parts.items())]
    tanks = [_tank_finding(tank, forecast, now, tank_low_share, tank_clear_share) for tank in forecast.tanks]
    return outages + [finding for finding in tanks if finding is not None] + _unseen(forecast)


def _named_in(cause_key: str) -> tuple[str, str]:
    """Return what happened and the element it happened to."""
    what, _, element = cause_key.partition(":")
    return what, element


def _is_measured(cause_key: str, forecast: SupplyForecast) -> bool:
    what, element = _named_in(cause_key)
    if element in forecast.assumed:
        return False
    if what == "tank_empty":
        return any(
            tank.measured and tank.level_m <= tank.min_level_m + _EMPTY_WITHIN_M
            for tank in forecast.tanks
            if tank.tank_id == element
        )
    return what in ("pump_down", "closed") and element in forecast.measured


def _is_assumed(outages: Sequence[PredictedOutage], forecast: SupplyForecast) -> bool:
    """Whether outages of one cause could rest on what nobody measures."""
    what, element = _named_in(outages[0].cause_key)
    unmeasured = {tank.tank_id for tank in forecast.tanks if not tank.measured}
    if what == "tank_empty" and element in unmeasured:
        return True
    return bool(forecast.resting_on_assumption(outage.node_id for outage in outages))


def _unseen(forecast: SupplyForecast) -> list[Finding]:
    """Return what holds the incidents that could rest on what the forecast assumes."""
    if not forecast.assumed:
        return []
    return [
        Finding(
            kind=kind,
            cause_key="assumed",
            cause=f"nobody measures {', '.join(forecast.assumed)} now",
            severity=Severity.MINOR,
            confidence=0.0,
            run_id=forecast.run_id,
            band_ids=forecast.assumed_area,
            unknown=True,
            blind_to=forecast.assumed,
        )
        for kind in (IncidentKind.OUTAGE_OBSERVED, IncidentKind.OUTAGE_PREDICTED)
    ]


def _outage_finding(kind: IncidentKind, outages: Sequence[PredictedOutage], forecast: SupplyForecast) -> Finding:
    first = min(outages, key=lambda outage: (outage.starts_at, outage.node_id))
    ends = [outage.ends_at for outage in outages if outage.ends_at is not None]
    observed = kind is IncidentKind.OUTAGE_OBSERVED
    assumed = _is_assumed(outages, forecast)
    predicted = ASSUMED_CONFIDENCE if assumed else PREDICTED_CONFIDENCE
    return Finding(
        kind=kind,
        cause_key=first.cause_key,
        cause=first.cause,
        severity=Severity.MODERATE,
        confidence=OBSERVED_CONFIDENCE if observed else predicted,
        starts_at=first.starts_at,
        expected_end_at=max(ends) if len(ends) == len(outages) and not assumed else None,
        node_ids=tuple(sorted({outage.node_id for outage in outages})),
        run_id=forecast.run_id,
        resolution=forecast.valid_at[1] - forecast.valid_at[0] if len(forecast.valid_at) > 1 else timedelta(0),
    )


def _tank_finding(
    tank: TankOutlook, forecast: SupplyForecast, now: datetime, low_share: float, clear_share: float
) -> Finding | None:
    usable_m = tank.max_level_m - tank.min_level_m
    if usable_m <= 0:
        return None
    if not tank.measured:
        return _unseen_tank(tank, forecast)
    share = (tank.level_m - tank.min_level_m) / usable_m
    if share >= clear_share:
        return None
    is_low = share < low_share
    return Finding(
        kind=IncidentKind.TANK_LOW,
        cause_key=f"tank_low:{tank.tank_id}",
        cause=f"tank {tank.tank_id} holds {max(share, 0.0):.0%} of its usable range (level {tank.level_m:.2f} m)",
        severity=_severity_of_emptying(tank.empty_at, now),
        confidence=OBSERVED_CONFIDENCE,
        starts_at=forecast.issued_at,
        node_ids=(tank.tank_id,) if is_low else (),
        run_id=forecast.run_id,
        band_ids=() if is_low else (tank.tank_id,),
    )


def _unseen_tank(tank: TankOutlook, forecast: SupplyForecast) -> Finding:
    return Finding(
        kind=IncidentKind.TANK_LOW,
        cause_key=f"tank_low:{tank.tank_id}",
        cause=f"the level of tank {tank.tank_id} is not measured now",
        severity=Severity.MINOR,
        confidence=0.0,
        run_id=forecast.run_id,
        band_ids=(tank.tank_id,),
        unknown=True,
        blind_to=(tank.tank_id,),
    )


def _severity_of_emptying(empty_at: datetime | None, now: datetime) -> Severity:
    """Return severe within 2 h of an empty tank, moderate within 6 h, else minor."""
    if empty_at is None or empty_at > now + timedelta(hours=6):
        return Severity.MINOR
    return Severity.SEVERE if empty_at <= now + timedelta(hours=2) else Severity.MODERATE


# ----------------------------------------------------------------------------------------------------- drainage


def findings_from_drainage(
    forecast: DrainageForecast,
    *,
    now: datetime,
    probability_threshold: float = 0.3,
    closing_threshold: float | None = None,
) -> list[Finding]:
    """Return the one finding of the coming storm, or none when every node is below the closing threshold.

    The cause is the storm over this model: as long as any node stays over the closing threshold (two thirds of the
    opening one unless given) cycle after cycle, it is one incident; two storms within one horizon are one as well.
    The end is unknown: the ensemble states onsets only. Too few members, or a forecast that ended before `now`,
    give an `unknown` finding: no incident opens, and none is taken for over.
    """
    cause_key = f"storm:{forecast.provenance.model_id}"
    cause = _rain_in_words(forecast)
    if forecast.status is not RunStatus.OK or forecast.valid_to <= now:
        return [Finding(IncidentKind.FLOOD_PREDICTED, cause_key, cause, Severity.MINOR, 0.0, unknown=True)]
    closing = probability_threshold * 2 / 3 if closing_threshold is None else closing_threshold
    over = [node for node in forecast.nodes if _probability(node) >= probability_threshold]
    band = [node for node in forecast.nodes if closing <= _probability(node) < probability_threshold]
    if not over and not band:
        return []
    judged = over or band
    onsets = [node.onset_median for node in judged if node.onset_median is not None]
    return [
        Finding(
            kind=IncidentKind.FLOOD_PREDICTED,
            cause_key=cause_key,
            cause=cause,
            severity=_severity_of_flood(judged),
            confidence=max(_probability(node) for node in judged),
            starts_at=min(onsets, default=None),
            node_ids=tuple(sorted(node.node_id for node in over)),
            run_id=forecast.run_id,
            band_ids=tuple(sorted(node.node_id for node in band)),
        )
    ]


def _rain_in_words(forecast: DrainageForecast) -> str:
    hours = (forecast.valid_to - forecast.valid_from).total_seconds() / 3600
    source = forecast.provenance.weather_source or "weather forecast"
    return (
        f"forecast rain of {forecast.rain_p50_mm:.0f} mm (median) to {forecast.rain_max_mm:.0f} mm in {hours:.0f} h "
        f"({source}, {len(forecast.members_done)} members)"
    )


def _probability(node: NodeFlood) -> float:
    return 0.0 if node.probability is None else node.probability


def _severity_of_flood(nodes: Iterable[NodeFlood]) -> Severity:
    """Return severe from 1000 m3 over the rim of one node (90th percentile), moderate from 100 m3, else minor."""
    volume_m3 = max(node.volume_p90_m3 for node in nodes)
    if volume_m3 >= 1000:
        return Severity.SEVERE
    return Severity.MODERATE if volume_m3 >= 100 else Severity.MINOR


# ------------------------------------------------------------------------------------------------------ sensors


def findings_from_sensors(
    sensors: Mapping[str, Sensor],
    latest_any: Mapping[str, Reading],
    *,
    now: datetime,
    known_since: datetime,
    customers: Iterable[Customer] = (),
    service_pressure_m: float = 10.0,
    pressure_clear_margin_m: float = 1.0,
) -> list[Finding]:
    """Return sensors that fell silent, and measured pressures below the service pressure where customers live.

    `latest_any` holds each sensor's newest reading of any quality. A sensor is silent when nothing was observed for
    three of its intervals; one that was never heard, or not since this process began at `known_since`, is judged
    from then on, and until then an open incident about it is held. A pressure counts when its newest reading is
    trusted; while it is not (or the sensor is silent) the pressure is unknown, which opens and closes nothing.
    """
    silent = {sensor_id for sensor_id, sensor in sensors.items() if _is_silent(sensor, latest_any, now)}
    findings = [_silence(sensors[sensor_id], latest_any, now, known_since) for sensor_id in sorted(silent)]
    supplied = {customer.node_id for customer in customers}
    for sensor_id, sensor in sorted(sensors.items()):
        at_customers = sensor.element_type is ElementType.NODE and sensor.element_id in supplied
        if sensor.quantity is not Quantity.PRESSURE or not at_customers:
            continue
        reading = None if sensor_id in silent else latest_any.get(sensor_id)
        finding = _pressure_finding(sensor, reading, service_pressure_m, pressure_clear_margin_m)
        if finding is not None:
            findings.append(finding)
    return findings


def _is_silent(sensor: Sensor, latest_any: Mapping[str, Reading], now: datetime) -> bool:
    reading = latest_any.get(sensor.sensor_id)
    return reading is None or sensor.is_silent(reading.observed_at, now=now)


def _silence(sensor: Sensor, latest_any: Mapping[str, Reading], now: datetime, known_since: datetime) -> Finding:
    reading = latest_any.get(sensor.sensor_id)
    last = "never heard" if reading is None else f"last reading {reading.observed_at:%Y-%m-%d %H:%M} UTC"
    return Finding(
        kind=IncidentKind.SENSOR_SILENT,
        cause_key=f"sensor:{sensor.sensor_id}",
        cause=f"sensor {sensor.sensor_id} is silent: {last}, expected every {sensor.expected_every_s:g} s",
        severity=Severity.MINOR,
        confidence=1.0,
        starts_at=known_since if reading is None else reading.observed_at,
        sensor_ids=(sensor.sensor_id,),
        unknown=not sensor.is_silent(known_since, now=now),
    )


def _pressure_finding(
    sensor: Sensor, reading: Reading | None, service_pressure_m: float, margin_m: float
) -> Finding | None:
    known = reading is not None and reading.is_trusted
    if reading is not None and known and reading.value >= service_pressure_m + margin_m:
        return None
    is_low = reading is not None and known and reading.value < service_pressure_m
    said = f"{reading.value:.1f} m" if reading is not None and known else "unknown"
    return Finding(
        kind=IncidentKind.PRESSURE_LOW,
        cause_key=f"pressure_low:{sensor.sensor_id}",
        cause=f"pressure at {sensor.element_id} is {said}, service pressure {service_pressure_m:g} m "
        f"(sensor {sensor.sensor_id})",
        severity=Severity.MODERATE,
        confidence=OBSERVED_CONFIDENCE,
        starts_at=reading.observed_at if reading is not None else None,
        node_ids=(sensor.element_id,) if is_low else (),
        sensor_ids=(sensor.sensor_id,) if is_low else (),
        band_ids=() if is_low else (sensor.element_id, sensor.sensor_id),
        unknown=not known,
    )


# ----------------------------------------------------------------------------------------------------- judgement


@dataclass(frozen=True, slots=True)
class Delays:
    """How many consecutive cycles it takes to open and to close; findings below `sure_from` take `open_doubtful`."""

    open_after: int = 1
    close_after: int = 2
    sure_from: float = 0.0
    open_doubtful: int = 1

    def needed(self, confidence: float) -> int:
        """Return the cycles that a finding of this confidence must last before it opens an incident."""
        return self.open_after if confidence >= self.sure_from else max(self.open_after, self.open_doubtful)


DEFAULT_DELAYS: Mapping[IncidentKind, Delays] = {
    IncidentKind.OUTAGE_OBSERVED: Delays(),
    IncidentKind.OUTAGE_PREDICTED: Delays(),
    IncidentKind.FLOOD_PREDICTED: Delays(sure_from=0.6, open_doubtful=2),
    IncidentKind.TANK_LOW: Delays(),
    IncidentKind.PRESSURE_LOW: Delays(open_after=2),
    IncidentKind.SENSOR_SILENT: Delays(),
}


@dataclass(frozen=True, slots=True)
class Rules:
    """The delays of each kind; kinds left out have `Delays()`."""

    delays: Mapping[IncidentKind, Delays] = field(default_factory=lambda: DEFAULT_DELAYS)

    def of(self, kind: IncidentKind) -> Delays:
        """Return the delays of a kind."""
        return self.delays.get(kind, Delays())


class Detector:
    """Sets each cycle's findings against the open incidents. One instance per running cycle; not for threads."""

    def __init__(self, rules: Rules | None = None) -> None:
        self._rules = rules or Rules()
        self._found_in_a_row: dict[Key, int] = {}
        self._clean_in_a_row: dict[Key, int] = {}
        self._clean_since: dict[Key, datetime] = {}

    def judge(
        self,
        findings: Iterable[Finding],
        open_incidents: Iterable[Incident],
        judged_kinds: Collection[IncidentKind],
        customers: Sequence[Customer],
        *,
        now: datetime,
    ) -> list[Incident]:
        """Return the incidents that are new, changed or closed by this cycle, to be saved.

        `judged_kinds` are the kinds about which this cycle can speak; incidents of other kinds stay untouched.
        """
        still_open = {
            (incident.kind, incident.cause_key): incident
            for incident in sorted(open_incidents, key=lambda i: (i.opened_at, i.incident_id), reverse=True)
            if incident.kind in judged_kinds and incident.state is IncidentState.OPEN
        }
        told = [finding for finding in findings if finding.kind in judged_kinds]
        held = _held_for_lack_of_data([finding for finding in told if finding.blind_to], still_open.values())
        grouped = _group_silent_sensors([finding for finding in told if not finding.blind_to], still_open.values())
        found = _one_per_key(grouped)
        self._forget_interrupted(found, judged_kinds)
        opened = self._open(_news(found, still_open, held), still_open, customers, now)
        changed = self._carry_on(found, still_open, held, customers, now)
        going_on = {i.incident_id: i for i in (*still_open.values(), *changed, *opened)}.values()
        return opened + changed + self._close_or_hold(found, still_open, held, going_on, now)

    def _forget_interrupted(self, found: Mapping[Key, Finding], judged_kinds: Collection[IncidentKind]) -> None:
        for key in list(self._found_in_a_row):
            finding = found.get(key)
            if key[0] in judged_kinds and (finding is None or not (finding.opens or finding.unknown)):
                del self._found_in_a_row[key]

    def _open(
        self,
        found: Mapping[Key, Finding],
        still_open: Mapping[Key, Incident],
        customers: Sequence[Customer],
        now: datetime,
    ) -> list[Incident]:
        opened = []
        for key, finding in found.items():
            if key in still_open or not finding.opens:
                continue
            cycles = self._found_in_a_row.get(key, 0) + 1
            self._found_in_a_row[key] = cycles
            if cycles >= self._rules.of(finding.kind).needed(finding.confidence):
                del self._found_in_a_row[key]
                opened.append(_opened(finding, customers, now))
        return opened

    def _carry_on(
        self,
        found: Mapping[Key, Finding],
        still_open: Mapping[Key, Incident],
        held: Mapping[Key, str],
        customers: Sequence[Customer],
        now: datetime,
    ) -> list[Incident]:
        changed = []
        for key, finding in found.items():
            incident = still_open.get(key)
            if incident is None:
                continue
            self._forget_clean(key)
            if finding.unknown:
                continue
            continued = _continued_or_held(incident, finding, held.get(key, ""), customers, now)
            if replace(continued, updated_at=incident.updated_at, run_id=incident.run_id) != incident:
                changed.append(continued)
        return changed

    def _close_or_hold(
        self,
        found: Mapping[Key, Finding],
        still_open: Mapping[Key, Incident],
        held: Mapping[Key, str],
        going_on: Iterable[Incident],
        now: datetime,
    ) -> list[Incident]:
        observed = {i.cause_key: i for i in going_on if i.kind is IncidentKind.OUTAGE_OBSERVED}
        closed = []
        for key, known in still_open.items():
            if key in found:
                continue
            has_begun = _has_begun(known, observed.get(known.cause_key))
            if key in held and not has_begun:
                self._forget_clean(key)
                if not known.cause.endswith(held[key]):
                    closed.append(replace(known, cause=_plain(known.cause) + held[key], updated_at=now))
                continue
            since = self._clean_since.setdefault(key, now)
            cycles = self._clean_in_a_row[key] = self._clean_in_a_row.get(key, 0) + 1
            incident = replace(known, cause=_plain(known.cause))
            if has_begun:
                incident = replace(incident, cause=f"{incident.cause}; it began: {observed[key[1]].incident_id}")
            if has_begun or cycles >= self._rules.of(incident.kind).close_after:
                self._forget_clean(key)
                closed.append(close(_dry_until(incident, (), since), now=now))
        return sorted(closed, key=lambda incident: incident.incident_id)

    def _forget_clean(self, key: Key) -> None:
        self._clean_in_a_row.pop(key, None)
        self._clean_since.pop(key, None)


def incident_id_of(kind: IncidentKind, cause_key: str, opened_at: datetime) -> str:
    """Return the id of the incident of this kind and cause opened then: the same facts give the same id."""
    digest = hashlib.sha256(f"{kind}|{cause_key}|{opened_at.isoformat()}".encode()).hexdigest()
    return f"{kind}-{opened_at:%Y%m%dT%H%M%SZ}-{digest[:10]}"


def _opened(finding: Finding, customers: Sequence[Customer], now: datetime) -> Incident:
    incident = Incident(
        incident_id=incident_id_of(finding.kind, finding.cause_key, now),
        kind=finding.kind,
        cause_key=finding.cause_key,
        cause=finding.cause,
        severity=finding.severity,
        confidence=round(finding.confidence, 2),
        opened_at=now,
        updated_at=now,
        starts_at=finding.starts_at,
        expected_end_at=finding.expected_end_at,
        node_ids=finding.node_ids,
        sensor_ids=finding.sensor_ids,
        run_id=finding.run_id,
    )
    return _with_customers(_dry_since(incident, finding.starts_at or now), customers, finding.severity)


def _continued(incident: Incident, finding: Finding, customers: Sequence[Customer], now: datetime) -> Incident:
    """Return the incident as the finding says it is now; what lies in the band stays if it was in it before."""
    band = frozenset(finding.band_ids)
    nodes = {*finding.node_ids, *(node for node in incident.node_ids if node in band)}
    sensors = {*finding.sensor_ids, *(sensor for sensor in incident.sensor_ids if sensor in band)}
    continued = replace(
        incident,
        updated_at=now,
        confidence=round(finding.confidence, 2),
        node_ids=tuple(sorted(nodes)),
        sensor_ids=tuple(sorted(sensors)),
        run_id=finding.run_id,
    )
    severity = incident.severity
    if finding.opens:
        severity = finding.severity
        continued = replace(
            continued,
            cause=finding.cause,
            starts_at=_start(incident, finding, now),
            expected_end_at=_settled(incident.expected_end_at, finding.expected_end_at, finding.resolution),
        )
    continued = _dry_since(_dry_until(continued, nodes, now), now)
    return _with_customers(continued, customers, severity)


def _held_for_lack_of_data(blind: Sequence[Finding], open_incidents: Iterable[Incident]) -> dict[Key, str]:
    """Return the incidents that could rest on what a cycle did not see, with the words that their causes end in."""
    held = {}
    for incident in open_incidents:
        unseen = {element for finding in blind if _concerns(finding, incident) for element in finding.blind_to}
        if unseen:
            held[incident.kind, incident.cause_key] = HELD + ", ".join(sorted(unseen))
    return held


def _concerns(blind: Finding, incident: Incident) -> bool:
    if blind.kind is not incident.kind:
        return False
    _, element = _named_in(incident.cause_key)
    unplaced = not blind.band_ids or not incident.node_ids
    return unplaced or element in blind.blind_to or not frozenset(blind.band_ids).isdisjoint(incident.node_ids)


def _news(
    found: Mapping[Key, Finding], still_open: Mapping[Key, Incident], held: Mapping[Key, str]
) -> dict[Key, Finding]:
    """Leave out predictions of what is already known as observed, but cannot be seen to go on."""
    cut_before = {key[1]: still_open[key] for key in held if key[0] is IncidentKind.OUTAGE_OBSERVED}
    return {
        key: finding
        for key, finding in found.items()
        if not (
            finding.kind is IncidentKind.OUTAGE_PREDICTED
            and finding.cause_key in cut_before
            and frozenset(finding.node_ids) <= frozenset(cut_before[finding.cause_key].node_ids)
        )
    }


def _continued_or_held(
    incident: Incident, finding: Finding, held: str, customers: Sequence[Customer], now: datetime
) -> Incident:
    """Return the incident as the finding says it is now; while it is held no node leaves it."""
    incident = replace(incident, cause=_plain(incident.cause))
    if not held:
        return _continued(incident, finding, customers, now)
    kept = frozenset(incident.node_ids) - frozenset((*finding.node_ids, *finding.band_ids))
    finding = replace(finding, band_ids=(*finding.band_ids, *sorted(kept)))
    continued = _continued(incident, finding, customers, now)
    return replace(continued, cause=continued.cause + held) if kept else continued


def _plain(cause: str) -> str:
    """Return the cause without the words that it is held for lack of data."""
    return cause.partition(HELD)[0]


def _has_begun(incident: Incident, observed: Incident | None) -> bool:
    """Whether a predicted outage is what the observed one of the same cause now shows, node for node."""
    if observed is None or incident.kind is not IncidentKind.OUTAGE_PREDICTED:
        return False
    return frozenset(incident.node_ids) <= frozenset(observed.node_ids)


def _start(incident: Incident, finding: Finding, now: datetime) -> datetime | None:
    """Return when the trouble begins: what goes on keeps its earliest start, what is to come follows the forecast.

    A predicted outage goes on when it has begun by both the incident and the forecast, a predicted flood when its
    start has passed and the newest forecast still has it within half an hour.
    """
    if incident.starts_at is None or finding.starts_at is None:
        return finding.starts_at
    flooding = (
        incident.kind is IncidentKind.FLOOD_PREDICTED
        and incident.starts_at <= now
        and finding.starts_at <= now + timedelta(minutes=30)
    )
    dry = incident.kind is IncidentKind.OUTAGE_PREDICTED and max(incident.starts_at, finding.starts_at) <= now
    if flooding or dry or incident.kind in GOING_ON:
        return min(incident.starts_at, finding.starts_at)
    return _settled(incident.starts_at, finding.starts_at, finding.resolution)


def _settled(said: datetime | None, found: datetime | None, resolution: timedelta) -> datetime | None:
    """Keep the moment said before while the new forecast, with its coarse steps, agrees with it.

    Steps count from each forecast's own issue, so the moment of one and the same event wanders by up to a step from
    cycle to cycle; people would be told a new time again and again.
    """
    if said is not None and found is not None and found - resolution < said <= found:
        return said
    return found


def _with_customers(incident: Incident, customers: Sequence[Customer], severity: Severity) -> Incident:
    """List every connection of the incident's nodes once; a cut that life may depend on is severe at least."""
    if incident.kind not in CONCERNS_CUSTOMERS:
        return replace(incident, severity=severity)
    concerned = customers_at(customers, incident.node_ids)
    vital = any(customer.sensitive in LIFE_DEPENDS for customer in concerned)
    return replace(
        incident,
        severity=Severity.SEVERE if vital and severity is not Severity.EXTREME else severity,
        connection_ids=_connections(concerned),
        sensitive_connection_ids=_connections(c for c in concerned if c.sensitive is not Sensitivity.NONE),
    )


def _connections(customers: Iterable[Customer]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(customer.connection_id for customer in customers))


def _dry_since(incident: Incident, moment: datetime) -> Incident:
    """Begin a dry spell at each node of an observed outage that has none running."""
    if incident.kind is not IncidentKind.OUTAGE_OBSERVED:
        return incident
    running = {spell.node_id for spell in incident.dry_spells if spell.ends_at is None}
    begun = [DrySpell(node_id, moment, None) for node_id in incident.node_ids if node_id not in running]
    return replace(incident, dry_spells=(*incident.dry_spells, *begun))


def _dry_until(incident: Incident, still_dry: Collection[str], moment: datetime) -> Incident:
    """End the running dry spells of the nodes that are not `still_dry`."""
    spells = tuple(
        replace(spell, ends_at=moment) if spell.ends_at is None and spell.node_id not in still_dry else spell
        for spell in incident.dry_spells
    )
    return replace(incident, dry_spells=spells)


# ------------------------------------------------------------------------------------------------ same causes


def _group_silent_sensors(findings: Sequence[Finding], open_incidents: Iterable[Incident]) -> list[Finding]:
    """Give each silent sensor to the open incident that has it; three or more new ones in one cycle are one cause.

    A logger or gateway that dies takes its signals along in one cycle: that is one incident with all of them, which
    shrinks as they come back. Signals that fall silent in different cycles are incidents of their own.
    """
    home = {
        sensor_id: incident.cause_key
        for incident in open_incidents
        if incident.kind is IncidentKind.SENSOR_SILENT
        for sensor_id in incident.sensor_ids
    }
    silent = [finding for finding in findings if finding.kind is IncidentKind.SENSOR_SILENT]
    others = [finding for finding in findings if finding.kind is not IncidentKind.SENSOR_SILENT]
    at_home = [_as_cause(f, home[f.sensor_ids[0]]) for f in silent if f.sensor_ids[0] in home]
    new = [finding for finding in silent if finding.sensor_ids[0] not in home and not finding.unknown]
    if len({finding.sensor_ids for finding in new}) >= GROUP_SILENT_FROM:
        first = min(finding.sensor_ids[0] for finding in new)
        new = [_as_cause(finding, f"silent_group:{first}") for finding in new]
    return others + at_home + new


def _as_cause(finding: Finding, cause_key: str) -> Finding:
    return replace(finding, cause_key=cause_key)


def _one_per_key(findings: Iterable[Finding]) -> dict[Key, Finding]:
    """Merge findings of one kind and cause; the result does not depend on their order."""
    by_key: dict[Key, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_key[finding.key].append(finding)
    return {key: _merged(by_key[key]) for key in sorted(by_key)}


def _merged(findings: list[Finding]) -> Finding:
    known = [finding for finding in findings if not finding.unknown]
    if len(findings) == 1 or not known:
        return min(findings, key=_in_order)
    first = min(known, key=_in_order)
    nodes = {node for finding in known for node in finding.node_ids}
    # A sensor that cannot be judged yet stays with its group: it is in the band.
    sensors = {sensor for finding in known for sensor in finding.sensor_ids}
    band = {b for f in findings for b in (*f.band_ids, *(f.sensor_ids if f.unknown else ()))} - nodes - sensors
    starts = [finding.starts_at for finding in known if finding.starts_at is not None]
    ends = [finding.expected_end_at for finding in known if finding.expected_end_at is not None]
    return replace(
        first,
        cause=_merged_cause(first, sensors),
        severity=_merged_severity(known, sensors),
        confidence=max(finding.confidence for finding in known),
        starts_at=min(starts, default=None),
        expected_end_at=max(ends) if len(ends) == len(known) else None,
        node_ids=tuple(sorted(nodes)),
        sensor_ids=tuple(sorted(sensors)),
        band_ids=tuple(sorted(band)),
    )


def _rank(severity: Severity) -> int:
    return severity.rank


def _in_order(finding: Finding) -> tuple[str, ...]:
    return (finding.cause, *finding.node_ids, *finding.sensor_ids, finding.run_id)


def _merged_cause(first: Finding, sensors: Collection[str]) -> str:
    if first.kind is not IncidentKind.SENSOR_SILENT:
        return first.cause
    return f"{len(sensors)} sensors are silent together: {', '.join(sorted(sensors))}"


def _merged_severity(findings: Sequence[Finding], sensors: Collection[str]) -> Severity:
    worst = max((finding.severity for finding in findings), key=_rank)
    if findings[0].kind is IncidentKind.SENSOR_SILENT and len(sensors) >= GROUP_SILENT_FROM:
        return max(worst, Severity.MODERATE, key=_rank)
    return worst
