"""Something wrong, or about to be: one incident per cause, from opening to closing, with everyone it concerns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from twin.errors import ConflictError, InputError


class IncidentKind(StrEnum):
    """What is wrong."""

    OUTAGE_PREDICTED = "outage_predicted"
    OUTAGE_OBSERVED = "outage_observed"
    FLOOD_PREDICTED = "flood_predicted"
    SENSOR_SILENT = "sensor_silent"
    TANK_LOW = "tank_low"
    PRESSURE_LOW = "pressure_low"
    STATUS_MISMATCH = "status_mismatch"


class IncidentState(StrEnum):
    """Where an incident stands. Acknowledging and shelving are marks on an open incident, not states."""

    OPEN = "open"
    CLOSED = "closed"


class Severity(StrEnum):
    """CAP 1.2's severities, so that a notice needs no second judgement."""

    MINOR = "minor"
    MODERATE = "moderate"
    SEVERE = "severe"
    EXTREME = "extreme"

    @property
    def rank(self) -> int:
        """The place in this order: the higher, the worse."""
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class DrySpell:
    """One node out of supply from `starts_at` until it was first seen supplied again (None: it still is dry)."""

    node_id: str
    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that is wrong, by its cause.

    `cause_key` names the cause: two findings with the same kind and cause key are the same incident.
    `starts_at` and `expected_end_at` say when the trouble itself begins and ends (None: unknown), `opened_at` and
    `closed_at` when we knew. `connection_ids` is the exact list of the connections concerned. Nodes join and leave
    an observed outage as it goes on: `dry_spells` keeps when each was dry, which customer-minutes are counted from.
    """

    incident_id: str
    kind: IncidentKind
    cause_key: str
    cause: str
    severity: Severity
    confidence: float
    opened_at: datetime
    updated_at: datetime
    starts_at: datetime | None = None
    expected_end_at: datetime | None = None
    closed_at: datetime | None = None
    state: IncidentState = IncidentState.OPEN
    node_ids: tuple[str, ...] = ()
    connection_ids: tuple[str, ...] = ()
    sensitive_connection_ids: tuple[str, ...] = ()
    sensor_ids: tuple[str, ...] = ()
    run_id: str = ""
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    shelved_by: str = ""
    shelved_until: datetime | None = None
    shelved_reason: str = ""
    dry_spells: tuple[DrySpell, ...] = ()

    def is_shelved(self, now: datetime) -> bool:
        """Whether an operator has put the incident aside until a moment still to come."""
        return self.shelved_until is not None and now < self.shelved_until


def acknowledge(incident: Incident, *, by: str, now: datetime) -> Incident:
    """Mark that a person has seen the incident.

    Raises:
        ConflictError: If it is closed already.
    """
    _require_open(incident)
    return replace(incident, acknowledged_by=by, acknowledged_at=now, updated_at=now)


def shelve(incident: Incident, *, by: str, until: datetime, reason: str, now: datetime) -> Incident:
    """Put the incident aside until a stated moment; nothing is shelved for ever.

    Raises:
        ConflictError: If it is closed already.
        InputError: If `until` is not in the future.
    """
    _require_open(incident)
    if until <= now:
        raise InputError(f"shelve until {until.isoformat()} is not after now ({now.isoformat()})")
    return replace(incident, shelved_by=by, shelved_until=until, shelved_reason=reason, updated_at=now)


def unshelve(incident: Incident, *, now: datetime) -> Incident:
    """Take the incident out of the shelf before its time.

    Raises:
        ConflictError: If it is closed already.
    """
    _require_open(incident)
    return replace(incident, shelved_by="", shelved_until=None, shelved_reason="", updated_at=now)


def judged_anew(stored: Incident, judged: Incident) -> Incident:
    """Return the incident as judged with the marks as stored: operators may have made some since it was read.

    A closed one stays as it was closed: who judged it open had read it before.
    """
    if stored.state is IncidentState.CLOSED:
        return stored
    return replace(
        judged,
        acknowledged_by=stored.acknowledged_by,
        acknowledged_at=stored.acknowledged_at,
        shelved_by=stored.shelved_by,
        shelved_until=stored.shelved_until,
        shelved_reason=stored.shelved_reason,
    )


def close(incident: Incident, *, now: datetime) -> Incident:
    """Close the incident: its cause is gone.

    Raises:
        ConflictError: If it is closed already.
    """
    _require_open(incident)
    return replace(incident, state=IncidentState.CLOSED, closed_at=now, updated_at=now)


def _require_open(incident: Incident) -> None:
    if incident.state is IncidentState.CLOSED:
        raise ConflictError(f"incident {incident.incident_id} was closed at {incident.closed_at}")
