"""Is the process alive, can it do its work, and its figures: for machines that watch."""

from __future__ import annotations

import ipaddress
from importlib.metadata import version

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.auth import KnownCaller, services_of
from api.metrics import scrape
from api.problems import Unauthenticated
from api.readiness import readiness, without_details
from api.schemas.health import HealthOut, ReadyOut

router = APIRouter(tags=["health"])
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


@router.get("/healthz")
def healthz() -> HealthOut:
    """Tell that the process answers; it asks nobody else."""
    return HealthOut(status="ok", version=version("h2twin"))


@router.get("/readyz", responses={503: {"model": ReadyOut, "description": "Something that is needed is missing"}})
def readyz(request: Request, response: Response, caller: KnownCaller) -> ReadyOut:
    """Tell whether h2twin can do its work: stores, broker, cycle, forecasts, weather. 503 if one check fails.

    Without a key the checks have their names and whether they are well; with a viewer's key they say why.
    """
    answer = readiness(services_of(request))
    if answer.status != "ready":
        response.status_code = 503
    return answer if caller is not None else without_details(answer)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(request: Request, caller: KnownCaller) -> Response:
    """Return the figures for Prometheus; without a key on this machine only."""
    if caller is None and not is_from_this_machine(request):
        raise Unauthenticated("figures are shown without a key on this machine only; send a viewer's key")
    return Response(scrape(services_of(request)), media_type=CONTENT_TYPE_LATEST)


def is_from_this_machine(request: Request) -> bool:
    """Whether the request comes over loopback and was not passed on by a proxy that stands here."""
    if any(name in request.headers for name in _FORWARDED) or request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
