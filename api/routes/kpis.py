"""Indicators of a period."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request

from api.auth import Viewer, services_of
from api.routes.query import From, To, require_order
from api.schemas.base import PageOut
from api.schemas.kpis import KpiOut
from twin.kpi_report import FRESH_CYCLES, kpi_report

router = APIRouter(tags=["kpis"])
DEFAULT_PERIOD = timedelta(days=1)


@router.get("/kpis")
def list_kpis(request: Request, _: Viewer, start: From = None, end: To = None) -> PageOut[KpiOut]:
    """Return all figures of a period (the last 24 h unless given), each with what it was made from."""
    services = services_of(request)
    now = services.clock.now()
    end = end or now
    start = start or end - DEFAULT_PERIOD
    require_order(start, end)
    report = kpi_report(
        services.readings,
        services.registry,
        start=start,
        end=end,
        now=now,
        flood_probability=services.flood_probability,
        fresh_for=timedelta(seconds=FRESH_CYCLES * services.cycle_s),
    )
    return PageOut(items=[KpiOut.model_validate(kpi) for kpi in report])
