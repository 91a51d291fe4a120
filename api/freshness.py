"""How old the newest good run of a model is, and whether it may still be taken for the present.

A failed or late run leaves the last good forecast in place; everything that shows it says so with its age.
"""

from __future__ import annotations

from dataclasses import dataclass

from api.services import Services
from twin.forecasts import Run, RunKind, RunStatus

LATE_AFTER_CYCLES = 2.0
"""One missed cycle is a hiccup; after two the forecast is stale."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """A run's age, whether it is stale, and why."""

    age_s: float
    stale: bool
    because: str = ""


def freshness_of(run: Run, newest: Run | None, services: Services) -> Freshness:
    """Judge `run`, knowing the newest attempt of its kind."""
    age_s = max(0.0, (services.clock.now() - run.issued_at).total_seconds())
    if newest is not None and newest.issued_at > run.issued_at:
        if newest.status is RunStatus.FAILED:
            return Freshness(age_s, True, f"the newest run failed: {newest.cause}")
        return Freshness(age_s, True, f"run {newest.run_id} is newer")
    limit_s = LATE_AFTER_CYCLES * services.cycle_s
    if age_s > limit_s:
        return Freshness(age_s, True, f"no run for {age_s:.0f} s; one is expected every {services.cycle_s:.0f} s")
    if run.status is RunStatus.FAILED:
        return Freshness(age_s, True, f"this run failed: {run.cause}")
    return Freshness(age_s, False)


def latest_good(kind: RunKind, services: Services) -> tuple[Run, Freshness] | None:
    """Return the newest good run of a kind and its freshness, or None if there is none."""
    now = services.clock.now()
    good = services.registry.latest_run(kind, good_only=True, issued_by=now)
    if good is None:
        return None
    return good, freshness_of(good, services.registry.latest_run(kind, good_only=False, issued_by=now), services)
