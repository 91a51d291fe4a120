"""Incidents."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from api.auth import Caller, Role
from api.schemas.base import In, Moment, Out, example
from twin.incidents import Incident, IncidentKind, IncidentState, Severity


class IncidentOut(Out):
    """Something wrong, or about to be. The ids of connections are shown to operators only, counts to everyone."""

    model_config = example(
        {
            "incident_id": "i-1",
            "kind": "outage_predicted",
            "cause_key": "tank_empty:T1",
            "cause": "tank T1 is empty from 01:00",
            "severity": "severe",
            "confidence": 0.8,
            "state": "open",
            "opened_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:05:00Z",
            "starts_at": "2026-01-01T01:00:00Z",
            "expected_end_at": None,
            "closed_at": None,
            "node_ids": ["J12"],
            "sensor_ids": [],
            "connections": 41,
            "sensitive_connections": 1,
            "connection_ids": None,
            "sensitive_connection_ids": None,
            "run_id": "supply-20260101T000000Z",
            "acknowledged_by": "",
            "acknowledged_at": None,
            "shelved_by": "",
            "shelved_until": None,
            "shelved_reason": "",
        }
    )

    incident_id: str
    kind: IncidentKind
    cause_key: str
    cause: str
    severity: Severity
    confidence: float
    state: IncidentState
    opened_at: datetime
    updated_at: datetime
    starts_at: datetime | None
    expected_end_at: datetime | None
    closed_at: datetime | None
    node_ids: list[str]
    sensor_ids: list[str]
    connections: int
    sensitive_connections: int
    connection_ids: list[str] | None
    sensitive_connection_ids: list[str] | None
    run_id: str
    acknowledged_by: str
    acknowledged_at: datetime | None
    shelved_by: str
    shelved_until: datetime | None
    shelved_reason: str


class ShelveIn(In):
    """Put an incident aside until a moment to come, and say why."""

    model_config = example({"until": "2026-01-01T08:00:00Z", "reason": "crew is on site"}, In)

    until: Moment
    reason: str = Field(min_length=1, max_length=500)


def incident_out(incident: Incident, caller: Caller) -> IncidentOut:
    """Show an incident to a caller."""
    sees_ids = caller.may(Role.OPERATOR)
    plain = {name: getattr(incident, name) for name in IncidentOut.model_fields if hasattr(incident, name)}
    return IncidentOut.model_validate(
        {
            **plain,
            "node_ids": list(incident.node_ids),
            "sensor_ids": list(incident.sensor_ids),
            "connections": len(incident.connection_ids),
            "sensitive_connections": len(incident.sensitive_connection_ids),
            "connection_ids": list(incident.connection_ids) if sees_ids else None,
            "sensitive_connection_ids": list(incident.sensitive_connection_ids) if sees_ids else None,
        }
    )
