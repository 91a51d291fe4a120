"""What one cycle says about each cause: pure functions from one forecast, or the sensors, to findings.

What becomes of a finding over the cycles (opening, holding, closing) is the business of `twin.detection`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twin.customers import Customer
from twin.forecasts import DrainageForecast, NodeFlood, PredictedOutage, RunStatus, SupplyForecast, TankOutlook
from twin.incidents import IncidentKind, Severity
from twin.readings import ElementType, Reading, Sensor
from twin.units import Quantity

Key = tuple[IncidentKind, str]

OBSERVED_CONFIDENCE = 0.9
PREDICTED_CONFIDENCE = 0.7
ASSUMED_CONFIDENCE = 0.4
"""Conventions, not calibrated frequencies. The second is for a run without members, which states no probability; with
members it is that probability times the first, as they vary demand and not the model. The last is the most for what
rests on a tank, pump or valve that nobody measures now."""

STAYS_FROM = 1 / 3
"""An outage that so many of the members have stays in an incident that half of them opened: no flickering."""

_EMPTY_WITHIN_M = 0.005
"""A tank this close to its lowest level is empty."""


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

    `gateway_id` is the gateway that fell silent with all of its sensors, this one among them.
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
    gateway_id: str = ""

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

    Outages that few members have open nothing; from `STAYS_FROM` on they stay in an open incident of their cause.
    """
    parts: dict[Key, list[PredictedOutage]] = defaultdict(list)
    band: dict[Key, list[PredictedOutage]] = defaultdict(list)
    for outage in forecast.possible:
        if (outage.probability or 0.0) >= STAYS_FROM:
            band[IncidentKind.OUTAGE_PREDICTED, outage.cause_key].append(outage)
    for outage in forecast.outages:
        observed = outage.starts_at <= forecast.issued_at and _is_measured(outage.cause_key, forecast)
        kind = IncidentKind.OUTAGE_OBSERVED if observed else IncidentKind.OUTAGE_PREDICTED
        parts[kind, outage.cause_key].append(outage)
    outages = [_outage_finding(key[0], parts[key], band[key], forecast) for key in sorted({*parts, *band})]
    tanks = [_tank_finding(tank, forecast, now, tank_low_share, tank_clear_share) for tank in forecast.tanks]
    return outages + [finding for finding in tanks if finding is not None] + _unseen(forecast)


def named_in(cause_key: str) -> tuple[str, str]:
    """Return what happened and the element it happened to."""
    what, _, element = cause_key.partition(":")
    return what, element


def _is_measured(cause_key: str, forecast: SupplyForecast) -> bool:
    what, element = named_in(cause_key)
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
    what, element = named_in(outages[0].cause_key)
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


def _outage_finding(
    kind: IncidentKind,
    outages: Sequence[PredictedOutage],
    band: Sequence[PredictedOutage],
    forecast: SupplyForecast,
) -> Finding:
    judged = outages or band
    first = min(judged, key=lambda outage: (outage.starts_at, outage.node_id))
    ends = [outage.ends_at for outage in judged if outage.ends_at is not None]
    observed = kind is IncidentKind.OUTAGE_OBSERVED
    assumed = _is_assumed(judged, forecast)
    predicted = min(_confidence(judged), ASSUMED_CONFIDENCE) if assumed else _confidence(judged)
    nodes = {outage.node_id for outage in outages}
    return Finding(
        kind=kind,
        cause_key=first.cause_key,
        cause=first.cause,
        severity=Severity.MODERATE,
        confidence=OBSERVED_CONFIDENCE if observed else predicted,
        starts_at=first.starts_at,
        expected_end_at=max(ends) if len(ends) == len(judged) and not assumed else None,
        node_ids=tuple(sorted(nodes)),
        run_id=forecast.run_id,
        band_ids=tuple(sorted({outage.node_id for outage in band} - nodes)),
        resolution=forecast.valid_at[1] - forecast.valid_at[0] if len(forecast.valid_at) > 1 else timedelta(0),
    )


def _confidence(outages: Sequence[PredictedOutage]) -> float:
    """Return how sure a predicted cause is: as its likeliest outage."""
    known = [outage.probability for outage in outages if outage.probability is not None]
    return OBSERVED_CONFIDENCE * max(known) if known else PREDICTED_CONFIDENCE


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
    stale: Mapping[str, datetime] | None = None,
) -> list[Finding]:
    """Return sensors that fell silent, and measured pressures below the service pressure where customers live.

    `latest_any` holds each sensor's newest reading of any quality. A sensor is silent when nothing was observed for
    three of its intervals; one that was never heard, or not since this process began at `known_since`, is judged
    from then on, and until then an open incident about it is held. One that is `stale` (its sender said that it is
    gone) is silent at once. Where all sensors of a gateway are, the findings name it. A pressure counts when its
    newest reading is trusted; while it is not (or the sensor is silent) the pressure is unknown, which opens and
    closes nothing.
    """
    stale = stale or {}
    silent = {sensor_id for sensor_id, sensor in sensors.items() if _is_silent(sensor, latest_any, now)}
    silent |= sensors.keys() & stale.keys()
    gateways = _silent_gateways(sensors.values(), silent)
    findings = [
        _silence(sensors[sensor_id], latest_any.get(sensor_id), now, known_since, stale.get(sensor_id), gateways)
        for sensor_id in sorted(silent)
    ]
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


def _silent_gateways(sensors: Iterable[Sensor], silent: Collection[str]) -> frozenset[str]:
    """Return the gateways of several sensors none of which is heard."""
    behind: dict[str, list[str]] = defaultdict(list)
    for sensor in sensors:
        if sensor.gateway_id:
            behind[sensor.gateway_id].append(sensor.sensor_id)
    return frozenset(gateway for gateway, ids in behind.items() if len(ids) > 1 and all(one in silent for one in ids))


def _silence(
    sensor: Sensor,
    reading: Reading | None,
    now: datetime,
    known_since: datetime,
    gone_since: datetime | None,
    silent_gateways: Collection[str],
) -> Finding:
    last = "never heard" if reading is None else f"last reading {reading.observed_at:%Y-%m-%d %H:%M} UTC"
    why = f"expected every {sensor.expected_every_s:g} s"
    if gone_since is not None:
        why = f"its sender said at {gone_since:%Y-%m-%d %H:%M} UTC that it is gone"
    return Finding(
        kind=IncidentKind.SENSOR_SILENT,
        cause_key=f"sensor:{sensor.sensor_id}",
        cause=f"sensor {sensor.sensor_id} is silent: {last}, {why}",
        severity=Severity.MINOR,
        confidence=1.0,
        starts_at=known_since if reading is None else reading.observed_at,
        sensor_ids=(sensor.sensor_id,),
        unknown=gone_since is None and not sensor.is_silent(known_since, now=now),
        gateway_id=sensor.gateway_id if sensor.gateway_id in silent_gateways else "",
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
