"""Incidents: look, acknowledge, put aside, take back."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.auth import Caller, Operator, Viewer, services_of
from api.routes.query import Cursor, From, Id, Limit, To, require_order
from api.schemas.base import PageOut, page_out
from api.schemas.incidents import IncidentOut, ShelveIn, incident_out
from api.services import Services
from twin.incident_desk import IncidentDesk
from twin.incidents import Incident, IncidentKind, IncidentState

router = APIRouter(prefix="/incidents", tags=["incidents"])


@router.get("")
def list_incidents(
    request: Request,
    caller: Viewer,
    kind: IncidentKind | None = None,
    state: IncidentState | None = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[IncidentOut]:
    """List incidents by the time they were opened, newest first."""
    require_order(start, end)
    page = services_of(request).registry.incidents(
        kind=kind, state=state, start=start, end=end, limit=limit, cursor=cursor
    )
    return page_out(page, lambda incident: incident_out(incident, caller))


@router.get("/{incident_id}")
def get_incident(request: Request, caller: Viewer, incident_id: Id) -> IncidentOut:
    """Return one incident."""
    return incident_out(services_of(request).registry.incident(incident_id), caller)


@router.post("/{incident_id}/acknowledge")
def acknowledge_incident(request: Request, caller: Operator, incident_id: Id) -> IncidentOut:
    """Mark that a person has seen the incident."""
    return incident_out(acknowledge(services_of(request), caller, incident_id), caller)


@router.post("/{incident_id}/shelve")
def shelve_incident(request: Request, caller: Operator, incident_id: Id, body: ShelveIn) -> IncidentOut:
    """Put the incident aside until a moment to come; nothing is shelved for ever."""
    return incident_out(shelve(services_of(request), caller, incident_id, body), caller)


@router.post("/{incident_id}/unshelve")
def unshelve_incident(request: Request, caller: Operator, incident_id: Id) -> IncidentOut:
    """Take the incident out of the shelf before its time."""
    return incident_out(unshelve(services_of(request), caller, incident_id), caller)


def acknowledge(services: Services, caller: Caller, incident_id: str) -> Incident:
    """Take the step in the caller's name."""
    return _desk(services).acknowledge(incident_id, by=caller.name, actor=caller.actor)


def shelve(services: Services, caller: Caller, incident_id: str, asked: ShelveIn) -> Incident:
    """Take the step in the caller's name."""
    return _desk(services).shelve(
        incident_id, by=caller.name, until=asked.until, reason=asked.reason, actor=caller.actor
    )


def unshelve(services: Services, caller: Caller, incident_id: str) -> Incident:
    """Take the step in the caller's name."""
    return _desk(services).unshelve(incident_id, by=caller.name, actor=caller.actor)


def _desk(services: Services) -> IncidentDesk:
    return IncidentDesk(services.registry, services.clock)
