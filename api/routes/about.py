"""What is running here: versions, models, engines, and whom the inputs are owed to."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Request

from api.auth import Viewer, services_of
from api.schemas.about import AboutOut, ModelOut
from api.services import Services
from twin.forecasts import RunKind
from twin.network import NetworkKind

router = APIRouter(tags=["about"])


@router.get("/about")
def about(request: Request, _: Viewer) -> AboutOut:
    """Tell the version, the models and engines in use, and the attributions."""
    services = services_of(request)
    files = [services.registry.model_file(kind) for kind in NetworkKind]
    return AboutOut(
        version=version("h2twin"),
        exercise=services.exercise,
        timezone=services.timezone.key,
        models=[ModelOut.model_validate(file) for file in files if file],
        engines=_engines(services),
        attributions=_attributions(services),
    )


def _engines(services: Services) -> dict[str, str]:
    engines = {}
    for kind in RunKind:
        run = services.registry.latest_run(kind, good_only=True)
        forecast = (run.supply or run.drainage) if run else None
        if forecast:
            engines[kind.value] = forecast.provenance.engine
    return engines


def _attributions(services: Services) -> list[str]:
    weather = services.registry.latest_weather(known_at=services.clock.now())
    return [weather.attribution] if weather and weather.attribution else []
