"""How far sensors could be trusted, day by day."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import Viewer, services_of
from api.routes.query import Cursor, IdFilter, Limit, page_by_key
from api.schemas.trust import TrustDayOut, TrustOut, TrustPageOut
from twin.errors import InputError, NotFoundError
from twin.trust import overall_trust
from twin.trust_report import last_closed_day, trust_report

router = APIRouter(tags=["kpis"])


@router.get("/trust")
def list_trust(
    request: Request,
    _: Viewer,
    day: Annotated[date | None, Query(description="A UTC day that is over [default: the last one].")] = None,
    sensor_id: IdFilter = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> TrustPageOut:
    """Return every sensor's trust on a closed day, and that of all together.

    Trust is availability x timeliness x validity x accuracy, over those that are known.
    """
    services = services_of(request)
    now = services.clock.now()
    newest = last_closed_day(now)
    day = day or newest
    if day > newest:
        raise InputError(f"{day} is not over yet; the newest day that can be judged is {newest}")
    if sensor_id is not None and sensor_id not in services.registry.sensors():
        raise NotFoundError(f"there is no sensor {sensor_id!r}")
    report = trust_report(services.readings, services.registry, first=day, last=day, now=now, sensor_id=sensor_id)
    page = page_by_key(report.days, lambda one: one.sensor_id, of=f"trust:{day}", limit=limit, cursor=cursor)
    return TrustPageOut(
        items=[TrustDayOut.model_validate(one) for one in page.items],
        next_cursor=page.next_cursor,
        day=day,
        overall=TrustOut.model_validate(overall_trust(report.days)),
        missing=report.missing,
    )
