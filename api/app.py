"""The web application: every route under one roof, made from services that are ready wired."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI

from api import description, problems
from api.guard import Guard
from api.routes import (
    about,
    administration,
    consumption,
    customers,
    events,
    forecasts,
    gaps,
    health,
    incidents,
    isolation,
    kpis,
    network,
    notices,
    ops,
    ops_isolation,
    public,
    reference,
    residuals,
    scenarios,
    sensors,
    state,
    trust,
)
from api.services import Services
from api.web.login import LoginNeededError, to_login
from api.web.sessions import Attempts, Sessions

API_PREFIX = "/api/v1"
_RESOURCES = (
    about,
    sensors,
    gaps,
    events,
    consumption,
    network,
    state,
    residuals,
    forecasts,
    isolation,
    scenarios,
    incidents,
    notices,
    customers,
    kpis,
    trust,
    administration,
)
_TAGS = {
    "about": "What is running here.",
    "sensors": "Sensors and their readings, with quality and reasons.",
    "gaps": "Readings that should have come and did not.",
    "events": "What happened around the readings: alarms of devices, suspicious senders, stores that fill up.",
    "network": "The supply and drainage networks and their districts.",
    "state": "The newest trusted values, and how far the model is from them.",
    "forecasts": "Forecasts of supply and drainage, with what they rest on and how old they are.",
    "isolation": "Which valves cut a pipe or node off, and whom that leaves without water.",
    "scenarios": "What if: closures, trips, bursts and fires, beside the run in which nothing happens.",
    "incidents": "What is wrong, or about to be.",
    "notices": "What the public is told.",
    "customers": "Whom it concerns. Personal data: every read is written down.",
    "kpis": "Indicators, each with what it was made from.",
    "administration": "Audit log, keys and dead letters.",
    "public": "What everybody may see, without a key.",
    "health": "For machines that watch.",
}
_DESCRIPTION = """The open digital twin of a city's water: supply, sewers and stormwater in one service.

Values are SI, times RFC 3339 in UTC. Lists come in pages: `from` is inclusive, `to` exclusive, `next_cursor` of one
page is the `cursor` of the next. Refusals are RFC 9457 problems with a stable `type`."""


def create_app(services: Services) -> FastAPI:
    """Return the application that serves `services`. Logins live in it: run one process of it per address."""
    app = FastAPI(
        title="h2twin",
        version=version("h2twin"),
        description=_DESCRIPTION,
        openapi_tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.state.sessions = Sessions()
    app.state.attempts = Attempts()
    app.add_middleware(Guard)
    app.add_exception_handler(LoginNeededError, to_login)
    problems.install(app)
    for resource in _RESOURCES:
        app.include_router(resource.router, prefix=API_PREFIX, responses=problems.documented((401, 403, 422)))
    for plain in (health, public, ops, ops_isolation, reference):
        app.include_router(plain.router)
    description.install(app)
    return app
