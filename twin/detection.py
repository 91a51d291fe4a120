"""From forecasts and readings to incidents: what is wrong, since when, for whom, and when it is over.

Two steps. The pure functions of `twin.findings` read one forecast (or the sensors) and return what that one cycle
says. The `Detector` sets it against the open incidents and returns what opens, changes and closes. In between lie the
rules that keep people from being told twice, too early, or that all is well when nobody knows:

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
  | status_mismatch  | 1 (two searches agree)| 2                         |

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
from twin.findings import Finding, Key, named_in
from twin.incidents import DrySpell, Incident, IncidentKind, IncidentState, Severity, close

CONCERNS_CUSTOMERS = frozenset({IncidentKind.OUTAGE_PREDICTED, IncidentKind.OUTAGE_OBSERVED, IncidentKind.PRESSURE_LOW})
"""Kinds whose nodes are nodes of the supply network: only these have customers (drainage ids may look the same)."""

GOING_ON = frozenset(
    {
        IncidentKind.OUTAGE_OBSERVED,
        IncidentKind.SENSOR_SILENT,
        IncidentKind.TANK_LOW,
        IncidentKind.PRESSURE_LOW,
        IncidentKind.STATUS_MISMATCH,
    }
)
"""Kinds that are true now: their start is the earliest ever found, however often it is found again."""

LIFE_DEPENDS = frozenset({Sensitivity.HOSPITAL, Sensitivity.DIALYSIS, Sensitivity.CARE_HOME, Sensitivity.FIRE_SERVICE})
"""Sensitive customers that make a cut severe."""

HELD = "; held open, there is no fresh measurement of "
"""What the cause of an incident says, before the elements, while it is held for lack of data."""

GROUP_SILENT_FROM = 3


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
    IncidentKind.STATUS_MISMATCH: Delays(),
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
    _, element = named_in(incident.cause_key)
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

    A logger that dies takes its signals along in one cycle: that is one incident with all of them, which shrinks as
    they come back. Signals that fall silent in different cycles are incidents of their own, until nothing is heard
    of their gateway any more: then that is the cause, and the incident of all of them.
    """
    home = {
        sensor_id: incident.cause_key
        for incident in open_incidents
        if incident.kind is IncidentKind.SENSOR_SILENT
        for sensor_id in incident.sensor_ids
    }
    silent = [finding for finding in findings if finding.kind is IncidentKind.SENSOR_SILENT]
    with_gateway = [_as_cause(f, f"gateway:{f.gateway_id}") for f in silent if f.gateway_id and not f.unknown]
    silent = [finding for finding in silent if not finding.gateway_id or finding.unknown]
    others = [finding for finding in findings if finding.kind is not IncidentKind.SENSOR_SILENT]
    at_home = [_as_cause(f, home[f.sensor_ids[0]]) for f in silent if f.sensor_ids[0] in home]
    new = [finding for finding in silent if finding.sensor_ids[0] not in home and not finding.unknown]
    if len({finding.sensor_ids for finding in new}) >= GROUP_SILENT_FROM:
        first = min(finding.sensor_ids[0] for finding in new)
        new = [_as_cause(finding, f"silent_group:{first}") for finding in new]
    return others + with_gateway + at_home + new


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
    if first.gateway_id:
        return f"nothing is heard of gateway {first.gateway_id}: {', '.join(sorted(sensors))} are silent"
    return f"{len(sensors)} sensors are silent together: {', '.join(sorted(sensors))}"


def _merged_severity(findings: Sequence[Finding], sensors: Collection[str]) -> Severity:
    worst = max((finding.severity for finding in findings), key=_rank)
    if findings[0].kind is IncidentKind.SENSOR_SILENT and len(sensors) >= GROUP_SILENT_FROM:
        return max(worst, Severity.MODERATE, key=_rank)
    return worst
