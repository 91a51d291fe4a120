"""Readings that should have come and did not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import Viewer, services_of
from api.routes.query import Cursor, From, IdFilter, Limit, To, require_order
from api.schemas.base import PageOut, page_out
from api.schemas.gaps import GapOut
from twin.gaps import GapState

router = APIRouter(tags=["gaps"])


@router.get("/gaps")
def list_gaps(
    request: Request,
    _: Viewer,
    sensor_id: IdFilter = None,
    gateway_id: IdFilter = None,
    state: Annotated[list[GapState] | None, Query(description="Only these states; repeat for several.")] = None,
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[GapOut]:
    """List gaps by their start, newest first.

    A gap is open until its gateway is asked to send again (requested), and until its readings came late (closed) or
    were asked for in vain (given_up). Before a gap is asked for, it is held against the stored readings.
    """
    require_order(start, end)
    page = services_of(request).registry.gaps(
        sensor_id=sensor_id, gateway_id=gateway_id, states=state, start=start, end=end, limit=limit, cursor=cursor
    )
    return page_out(page, GapOut.model_validate)
