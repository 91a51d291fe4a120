"""Dressing: members around a forecast that has none, so that a single forecast can warn of floods too.

A probability needs members; services like MET Norway issue one forecast. The given members stay as they are. The
made ones, `dressed-01` and on, are the given forecast delayed and scaled by the errors of `lead_errors`, each with
draws of its own: the ensemble is centred on what was issued. The draws depend on the content of the forecast only,
so the same forecast gives the same members on every machine and in every replay.

A delay that grows with lead time stretches or presses time: a burst of one single step is doubled in a few percent of
the made members and missing in as many.

What this cannot do: rain that the given forecast does not have anywhere near does not appear in any member, and the
spread is a convention, not the weather's own uncertainty.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import numpy as np

from ingest.weather.lead_errors import Floats, amount_factor, delay_h
from twin.forecasts import WeatherEnsemble, WeatherMember

DRESSED_MEMBERS = 20
"""Members after dressing, the given ones included."""

FEWEST_MEMBERS = 3
"""From this many on an ensemble speaks for itself (the drainage model states no probability from fewer)."""

_HOUR = timedelta(hours=1)


def is_bare(ensemble: WeatherEnsemble) -> bool:
    """Whether the forecast has members, but too few to say how likely anything is."""
    return 0 < len(ensemble.members) < FEWEST_MEMBERS


def with_members(ensemble: WeatherEnsemble) -> WeatherEnsemble:
    """Return a bare forecast as an ensemble of `DRESSED_MEMBERS`, whose source says so; any other as it is.

    An unknown step stays unknown in every member. Where a delay would take a step from outside the forecast, or from
    an unknown one, the step itself stands in.
    """
    if not is_bare(ensemble):
        return ensemble
    made = tuple(
        _dressed(ensemble.members[number % len(ensemble.members)], number + 1, ensemble)
        for number in range(DRESSED_MEMBERS - len(ensemble.members))
    )
    return replace(ensemble, source=f"{ensemble.source} (dressed)", members=(*ensemble.members, *made))


def _dressed(given: WeatherMember, number: int, ensemble: WeatherEnsemble) -> WeatherMember:
    timing, quantity = np.random.default_rng([_seed(ensemble), number]).standard_normal(2)
    lead_h = _lead_h(ensemble, len(given.rain_mm))
    given_mm = np.array([np.nan if value is None else value for value in given.rain_mm], dtype=float)
    steps = np.arange(len(given_mm))
    taken = steps - np.round(delay_h(timing, lead_h) * _HOUR.total_seconds() / ensemble.interval_s).astype(int)
    taken = np.where((taken >= 0) & (taken < len(steps)), taken, steps)
    taken = np.where(np.isnan(given_mm[taken]), steps, taken)
    rain_mm = np.where(np.isnan(given_mm), np.nan, given_mm[taken]) * amount_factor(quantity, lead_h)
    known = tuple(None if np.isnan(value) else round(float(value), 2) for value in rain_mm)
    return WeatherMember(f"dressed-{number:02d}", known, given.temperature_c)


def _lead_h(ensemble: WeatherEnsemble, steps: int) -> Floats:
    """Return the hours from the issue to each step's end; what lies before the issue has no lead."""
    issued_at = ensemble.issued_at or ensemble.available_at
    first_h = (ensemble.valid_from - issued_at) / _HOUR
    ends_h = first_h + np.arange(1, steps + 1) * ensemble.interval_s / _HOUR.total_seconds()
    return np.asarray(np.maximum(0.0, ends_h), dtype=np.float64)


def _seed(ensemble: WeatherEnsemble) -> int:
    content = repr((ensemble.source, ensemble.gage_id, ensemble.valid_from.timestamp(), ensemble.interval_s))
    rain = repr([member.rain_mm for member in ensemble.members])
    return int.from_bytes(hashlib.sha256((content + rain).encode()).digest()[:8], "big")
