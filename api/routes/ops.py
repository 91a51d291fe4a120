"""The operators' pages: plain forms, no script."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from api.auth import audit, caller_of, find_key, services_of
from api.routes import incidents, notices
from api.routes.query import Id
from api.schemas.incidents import ShelveIn
from api.services import Services
from api.web.flood_outlook import flood_nodes, lead_in_words
from api.web.login import (
    LOGIN_PATH,
    ActingVisitor,
    AnyVisitor,
    Form,
    Visitor,
    attempts_of,
    require_same_site,
    sessions_of,
)
from api.web.outage_outlook import lasting_in_words, outages_of
from api.web.overview import LISTED, overview
from api.web.rendering import local_time, page
from api.web.sessions import COOKIE, SESSION_S
from twin.errors import ForbiddenError, InputError

router = APIRouter(prefix="/ops", include_in_schema=False)
SHELF_HOURS = (1, 4, 8, 24, 72)


@router.get("/login")
def login_page(request: Request) -> Response:
    """Ask for the key."""
    return page("login.html", {"exercise": services_of(request).exercise, "problem": ""})


@router.post("/login")
def log_in(request: Request, form: Form) -> Response:
    """Start a session for a good key; an address that fails too often must wait."""
    require_same_site(request)
    services, attempts = services_of(request), attempts_of(request)
    address = request.client.host if request.client else ""
    wait_s = attempts.wait_s(address)
    if wait_s > 0:
        raise HTTPException(
            429, f"too many failed logins; try again in {wait_s:.0f} s", headers={"Retry-After": f"{wait_s:.0f}"}
        )
    key = find_key(services.registry, form.get("key", "").strip())
    if key is None:
        attempts.failed(address)
        context = {"exercise": services.exercise, "problem": "This key is unknown or revoked."}
        return page("login.html", context, status=401)
    attempts.succeeded(address)
    audit(services, caller_of(key).actor, "ops.login", address)
    response = RedirectResponse("/ops", status_code=303)
    response.set_cookie(
        COOKIE,
        sessions_of(request).start(key.key_id),
        max_age=int(SESSION_S),
        path="/ops",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return response


@router.post("/logout")
def log_out(request: Request, visitor: AnyVisitor, form: Form) -> Response:
    """End the session."""
    require_same_site(request)
    if not visitor.session.is_form_token(form.get("form_token", "")):
        raise ForbiddenError("this form is not from your session: load the page again")
    sessions_of(request).end(request.cookies.get(COOKIE))
    response = RedirectResponse(LOGIN_PATH, status_code=303)
    response.delete_cookie(COOKIE, path="/ops")
    return response


@router.get("")
def show_overview(request: Request, visitor: AnyVisitor) -> Response:
    """Show what is wrong, worst first, and whether the twin can be believed."""
    return page(
        "overview.html",
        {
            **frame(request, visitor),
            "view": overview(services_of(request)),
            "listed": LISTED,
            "cycle_s": services_of(request).cycle_s,
        },
    )


@router.get("/incidents/{incident_id}")
def show_incident(request: Request, visitor: AnyVisitor, incident_id: Id) -> Response:
    """Show one incident with its notices."""
    registry = services_of(request).registry
    incident = registry.incident(incident_id)
    return page(
        "incident.html",
        {
            **frame(request, visitor),
            "incident": incident,
            "notices": registry.notices_of(incident_id),
            "shelf_hours": SHELF_HOURS,
            "flood_nodes": flood_nodes(services_of(request), incident),
            "outages": outages_of(services_of(request), incident),
            "lasting_in_words": lasting_in_words,
            "lead_in_words": lambda node: lead_in_words(node, services_of(request).clock.now()),
        },
    )


@router.post("/incidents/{incident_id}/acknowledge")
def acknowledge(request: Request, visitor: ActingVisitor, incident_id: Id) -> Response:
    """Mark that the visitor has seen the incident."""
    incidents.acknowledge(services_of(request), visitor.caller, incident_id)
    return RedirectResponse("/ops", status_code=303)


@router.post("/incidents/{incident_id}/shelve")
def shelve(request: Request, visitor: ActingVisitor, form: Form, incident_id: Id) -> Response:
    """Put the incident aside for some hours."""
    services = services_of(request)
    hours, reason = form.get("hours", ""), form.get("reason", "").strip()
    if hours not in {str(offered) for offered in SHELF_HOURS} or not 0 < len(reason) <= 500:
        raise InputError("choose for how long, and write the reason (up to 500 characters)")
    asked = ShelveIn(until=services.clock.now() + timedelta(hours=int(hours)), reason=reason)
    incidents.shelve(services, visitor.caller, incident_id, asked)
    return RedirectResponse("/ops", status_code=303)


@router.post("/incidents/{incident_id}/unshelve")
def unshelve(request: Request, visitor: ActingVisitor, incident_id: Id) -> Response:
    """Take the incident out of the shelf."""
    incidents.unshelve(services_of(request), visitor.caller, incident_id)
    return RedirectResponse("/ops", status_code=303)


@router.get("/notices/{notice_id}")
def show_notice(request: Request, visitor: AnyVisitor, notice_id: Id) -> Response:
    """Show one notice with every word the public would read."""
    notice = services_of(request).registry.notice(notice_id)
    return page(
        "notice.html", {**frame(request, visitor), "notice": notice, "seen_version": notices.seen_version(notice)}
    )


@router.post("/notices/{notice_id}/approve")
def approve(request: Request, visitor: ActingVisitor, form: Form, notice_id: Id) -> Response:
    """Approve exactly the words that were shown."""
    return _notice_step(request, visitor, form, notice_id, "approve")


@router.post("/notices/{notice_id}/publish")
def publish(request: Request, visitor: ActingVisitor, form: Form, notice_id: Id) -> Response:
    """Publish exactly the words that were shown."""
    return _notice_step(request, visitor, form, notice_id, "publish")


@router.post("/notices/{notice_id}/cancel")
def cancel(request: Request, visitor: ActingVisitor, form: Form, notice_id: Id) -> Response:
    """Withdraw the notice."""
    return _notice_step(request, visitor, form, notice_id, "cancel")


def _notice_step(request: Request, visitor: Visitor, form: dict[str, str], notice_id: str, verb: str) -> Response:
    notices.take_step(services_of(request), visitor.caller, notice_id, verb, form.get("seen_version", ""))
    return RedirectResponse(f"/ops/notices/{notice_id}", status_code=303)


def frame(request: Request, visitor: Visitor) -> dict[str, Any]:
    """Return what every operators' page shows around its content."""
    services = services_of(request)
    return {
        "visitor": visitor,
        "exercise": services.exercise,
        "now": services.clock.now(),
        "when": lambda moment: local_time(moment, services.timezone, "en"),
        "soon": lambda moment: local_time(moment, services.timezone, "en", _near(moment, services)),
    }


def _near(moment: datetime, services: Services) -> str:
    """Return how to write a moment shortly; another year must be seen to be another year."""
    year = services.clock.now().astimezone(services.timezone).year
    is_this_year = moment.astimezone(services.timezone).year == year
    return "EEE d MMM HH:mm" if is_this_year else "EEE d MMM y, HH:mm"
