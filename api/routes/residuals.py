"""How far the supply model is from what sensors read."""

from __future__ import annotations

from fastapi import APIRouter, Request

from api.auth import Viewer, services_of
from api.routes.query import Cursor, From, IdFilter, KnownAt, Limit, To, require_order
from api.schemas.base import PageOut, page_out
from api.schemas.residuals import ResidualOut

router = APIRouter(tags=["state"])


@router.get("/residuals")
def list_residuals(
    request: Request,
    _: Viewer,
    sensor_id: IdFilter = None,
    start: From = None,
    end: To = None,
    known_at: KnownAt = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[ResidualOut]:
    """List residuals (observed minus model) by their reading's time, newest first.

    One for each cycle and each pressure, head, flow and level sensor with a fresh trusted reading; kept for 60 days.
    """
    require_order(start, end)
    page = services_of(request).registry.residuals(
        sensor_id=sensor_id, start=start, end=end, known_at=known_at, limit=limit, cursor=cursor
    )
    return page_out(page, ResidualOut.model_validate)
