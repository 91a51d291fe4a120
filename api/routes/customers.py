"""Customers: counts for operators; rows only for a stated purpose, and every read is written down."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request

from api.auth import Operator, audit, services_of
from api.routes.query import Cursor, IdFilter, Limit, page_by_key
from api.schemas.customers import CustomerCountsOut, CustomerOut, CustomersOut
from api.services import Services
from twin.customers import Customer, Sensitivity
from twin.errors import InputError
from twin.ports import Page

router = APIRouter(tags=["customers"])

Purpose = Annotated[str | None, Query(max_length=200, description="Why the rows are read; goes into the audit log.")]
PurposeHeader = Annotated[str | None, Header(alias="Purpose", max_length=200, description="The same, as a header.")]


@router.get("/customers")
def list_customers(
    request: Request,
    caller: Operator,
    incident_id: IdFilter = None,
    node_id: IdFilter = None,
    rows: Annotated[bool, Query(description="Return the rows as well; needs a purpose.")] = False,
    purpose: Purpose = None,
    purpose_header: PurposeHeader = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> CustomersOut:
    """Count the connections (of an incident, of a node), and with `rows=true` and a purpose list them."""
    services = services_of(request)
    why = (purpose or purpose_header or "").strip()
    if rows and not why:
        raise InputError("rows are personal data: say why they are read, with purpose=... or the header Purpose")
    matching = _matching(services, incident_id, node_id)
    page: Page[Customer] = Page(())
    if rows:
        page = page_by_key(matching, lambda one: one.connection_id, of="customers", limit=limit, cursor=cursor)
    what = incident_id or node_id or "all"
    audit(services, caller.actor, "customers.read", what, f"{len(page.items)} rows; purpose: {why or 'counts'}")
    return CustomersOut(
        items=[CustomerOut.model_validate(one) for one in page.items],
        next_cursor=page.next_cursor,
        counts=_counts(matching),
    )


def _matching(services: Services, incident_id: str | None, node_id: str | None) -> list[Customer]:
    customers = services.registry.customers()
    if incident_id is not None:
        wanted = frozenset(services.registry.incident(incident_id).connection_ids)
        customers = [one for one in customers if one.connection_id in wanted]
    if node_id is not None:
        customers = [one for one in customers if one.node_id == node_id]
    return customers


def _counts(customers: list[Customer]) -> CustomerCountsOut:
    sensitive = Counter(one.sensitive.value for one in customers if one.sensitive is not Sensitivity.NONE)
    return CustomerCountsOut(
        connections=len(customers),
        population=sum(one.population for one in customers),
        sensitive=dict(sorted(sensitive.items())),
    )
