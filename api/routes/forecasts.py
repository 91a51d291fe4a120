"""The forecasts: the newest good one with its age, any one by its id, and the list of all attempts."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import Operator, Viewer, audit, services_of
from api.freshness import Freshness, freshness_of, latest_good
from api.routes.query import Cursor, From, IdFilter, Limit, To, page_by_key, require_order
from api.schemas.base import PageOut, page_out
from api.schemas.forecasts import (
    CustomerOutageOut,
    CustomerOutagesOut,
    DrainageRunOut,
    RunOut,
    SupplyRunOut,
    drainage_run_out,
    supply_run_out,
)
from api.services import Services
from twin.customer_outlook import CustomerOutage, customer_outages
from twin.errors import NotFoundError
from twin.forecasts import Run, RunKind

router = APIRouter(prefix="/forecasts", tags=["forecasts"])


@router.get("/supply")
def supply_forecast(request: Request, _: Viewer, run_id: IdFilter = None) -> SupplyRunOut:
    """Return the newest good supply forecast, or the one named by `run_id`."""
    return supply_run_out(*_run(services_of(request), RunKind.SUPPLY, run_id))


@router.get("/supply/runs")
def supply_runs(
    request: Request, _: Viewer, start: From = None, end: To = None, limit: Limit = 100, cursor: Cursor = None
) -> PageOut[RunOut]:
    """List the supply runs by the time they were issued, newest first, failed ones included."""
    return _runs(services_of(request), RunKind.SUPPLY, start, end, limit, cursor)


@router.get("/supply/customers")
def supply_customers(
    request: Request,
    caller: Operator,
    run_id: IdFilter = None,
    least_probability: Annotated[float, Query(ge=0.0, le=1.0, description="Nothing less likely than this.")] = 0.0,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> CustomerOutagesOut:
    """List which connections will be out of supply, how likely, from when on, for how long and why."""
    services = services_of(request)
    run, freshness = _run(services, RunKind.SUPPLY, run_id)
    if run.supply is None:
        raise NotFoundError(f"run {run.run_id!r} gave no forecast: {run.cause}")
    found = customer_outages(run.supply, services.registry.customers(), least_probability=least_probability)
    of = f"outlook:{run.run_id}:{least_probability:g}"
    page = page_by_key(found, _place, of=of, limit=limit, cursor=cursor)
    audit(services, caller.actor, "outlook.read", run.run_id, f"{len(page.items)} rows")
    return CustomerOutagesOut(
        items=[CustomerOutageOut.of(one) for one in page.items],
        next_cursor=page.next_cursor,
        run_id=run.run_id,
        issued_at=run.issued_at,
        stale=freshness.stale,
        members_done=run.supply.members_done,
    )


def _place(found: CustomerOutage) -> str:
    return f"{found.customer.connection_id} {found.outage.starts_at.isoformat()}"


@router.get("/drainage")
def drainage_forecast(request: Request, _: Viewer, run_id: IdFilter = None) -> DrainageRunOut:
    """Return the newest good drainage forecast, or the one named by `run_id`."""
    return drainage_run_out(*_run(services_of(request), RunKind.DRAINAGE, run_id))


@router.get("/drainage/runs")
def drainage_runs(
    request: Request, _: Viewer, start: From = None, end: To = None, limit: Limit = 100, cursor: Cursor = None
) -> PageOut[RunOut]:
    """List the drainage runs by the time they were issued, newest first, failed ones included."""
    return _runs(services_of(request), RunKind.DRAINAGE, start, end, limit, cursor)


def _run(services: Services, kind: RunKind, run_id: str | None) -> tuple[Run, Freshness]:
    if run_id is None:
        found = latest_good(kind, services)
        if found is None:
            raise NotFoundError(f"there is no good {kind} forecast yet; /readyz says what the last attempts came to")
        return found
    run = services.registry.run(run_id)
    if run.kind is not kind:
        raise NotFoundError(f"run {run_id!r} is a {run.kind} run, not a {kind} run")
    newest = services.registry.latest_run(kind, good_only=False, issued_by=services.clock.now())
    return run, freshness_of(run, newest, services)


def _runs(
    services: Services, kind: RunKind, start: datetime | None, end: datetime | None, limit: int, cursor: str | None
) -> PageOut[RunOut]:
    require_order(start, end)
    page = services.registry.runs(kind, start=start, end=end, limit=limit, cursor=cursor)
    return page_out(page, RunOut.model_validate)
