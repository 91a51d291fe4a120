"""What happened around the readings: devices' alarms, suspicious senders, stores that fill up."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import Operator, services_of
from api.routes.query import Cursor, From, IdFilter, Limit, To, require_order
from api.schemas.base import PageOut, page_out
from api.schemas.events import EventOut
from twin.errors import InputError
from twin.events import SECURITY, EventKind

router = APIRouter(tags=["events"])


@router.get("/events")
def list_events(
    request: Request,
    _: Operator,
    kind: Annotated[list[EventKind] | None, Query(description="Only these kinds; repeat for several.")] = None,
    security: Annotated[bool, Query(description="Only what somebody or something sent that it must not.")] = False,
    subject: IdFilter = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[EventOut]:
    """List events by the first time they were seen, newest first."""
    require_order(start, end)
    page = services_of(request).registry.events(
        kinds=_kinds(kind, security=security), subject=subject, start=start, end=end, limit=limit, cursor=cursor
    )
    return page_out(page, EventOut.model_validate)


def _kinds(kinds: list[EventKind] | None, *, security: bool) -> list[EventKind] | None:
    if not security:
        return kinds
    wanted = sorted(SECURITY.intersection(kinds or EventKind))
    if not wanted:
        raise InputError(
            f"none of {', '.join(kinds or ())} is a security event: these are {', '.join(sorted(SECURITY))}"
        )
    return wanted
