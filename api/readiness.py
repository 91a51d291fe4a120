"""Can h2twin do its work? Each check asks one part and says in words what it found."""

from __future__ import annotations

from collections.abc import Callable

from api.freshness import LATE_AFTER_CYCLES, latest_good
from api.schemas.health import CheckOut, ReadyOut
from api.services import Services
from twin.errors import TwinError
from twin.forecasts import RunKind
from twin.network import NetworkKind

BEAT_LIMIT_S = 60.0
"""A role that is well leaves a sign of life far more often than this."""


def readiness(services: Services) -> ReadyOut:
    """Make every check; one that fails does not keep the others from being made."""
    checks = [
        _checked("readings", lambda: _answers(services.readings.check)),
        _checked("registry", lambda: _answers(services.registry.check)),
        _checked("broker", lambda: _broker(services)),
        *(_checked(f"{kind}_cycle", lambda kind=kind: _cycle(kind, services)) for kind in RunKind),  # type: ignore[misc]
    ]
    return ReadyOut(status="ready" if all(check.ok for check in checks) else "not_ready", checks=checks)


Found = tuple[bool, str, float | None]


def _checked(name: str, ask: Callable[[], Found]) -> CheckOut:
    try:
        ok, detail, age_s = ask()
    except TwinError as error:
        ok, detail, age_s = False, str(error), None
    return CheckOut(name=name, ok=ok, detail=detail, age_s=age_s)


def _answers(check: Callable[[], None]) -> Found:
    check()
    return True, "answers and can be written", None


def _broker(services: Services) -> Found:
    beat = services.registry.beats().get("ingest")
    if beat is None:
        return False, "the ingest role has never left a sign of life: is it running?", None
    age_s = (services.clock.now() - beat.at).total_seconds()
    if age_s > BEAT_LIMIT_S:
        return False, f"the ingest role has been silent for {age_s:.0f} s; it last said: {beat.detail or 'ok'}", age_s
    return beat.ok, beat.detail or ("connected" if beat.ok else "the ingest role is not well"), age_s


def _cycle(kind: RunKind, services: Services) -> Found:
    if services.registry.model_file(NetworkKind(kind.value)) is None:
        return True, f"no {kind} model was imported: nothing to run", None
    found = latest_good(kind, services)
    if found is None:
        return False, f"no good {kind} run yet", None
    freshness = found[1]
    in_time = freshness.age_s <= LATE_AFTER_CYCLES * services.cycle_s
    return in_time, freshness.because or "in time", freshness.age_s
