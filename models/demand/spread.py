"""How far a demand forecast may lie off, and the members of an ensemble that lie so.

A forecast of the same kind is made again for each of the past days, from before it. With `q(h)` what was observed (mean
of three hours) over what was forecast, a day says two things: its level `L`, the log of observed over forecast volume,
and how its hours scatter around that, the standard deviation of `log q(h) - L`. Their root mean squares over the days
are drawn towards a prior as if that had been seen on `PRIOR_DAYS` days; the priors are judgement, not measurement.

A member's demand is the forecast times `exp(level * z + hourly * a(h))`: `z` is one standard normal number a member
and district (half of its variance is common to all districts, as the weather is), `a(h)` an AR(1) series of unit
variance. The forecast itself is the median of the members. The numbers are the same in every cycle, so probabilities
change only with what is known.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from models.demand.ladder import (
    HIGHEST_SCALE,
    LOWEST_SCALE,
    DemandBasis,
    DemandForecast,
    Floats,
    forecast_demand,
    smoothed,
)

PRIOR_DAYS = 5
_MOST_DAYS = 14
_DAY_H = 24
_LEAST_KNOWN_H = 18
_COMMON = 0.5
_STAYS = 0.7  # correlation of one hour with the next


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of the log of observed over forecast demand: of whole days, and of hours within them."""

    level: float
    hourly: float


PRIORS: Mapping[DemandBasis, Spread] = {
    DemandBasis.WEEKLY: Spread(0.06, 0.10),
    DemandBasis.DAILY: Spread(0.10, 0.15),
    DemandBasis.SCALED: Spread(0.12, 0.20),
    DemandBasis.NETWORK: Spread(0.20, 0.25),
    DemandBasis.MODEL: Spread(0.30, 0.30),
}


def spread_of(
    forecast: DemandForecast, observed_m3s: Floats, past_m3s: Floats, *, network_scale: float | None = None
) -> Spread:
    """Return how far a forecast may lie off; arguments as of `forecast_demand`."""
    prior, days = PRIORS[forecast.basis], []
    for back in range(1, _MOST_DAYS + 1):
        origin = len(observed_m3s) - back * _DAY_H
        if origin < 1:
            break
        day = slice(origin, origin + _DAY_H)
        then = forecast_demand(
            forecast.district, observed_m3s[:origin], past_m3s[:origin], past_m3s[day], network_scale=network_scale
        )
        if then.basis is forecast.basis:
            days.append(_errors(smoothed(observed_m3s[day]), then.demand_m3s))
    known = [day for day in days if day is not None]
    return Spread(
        _drawn([level for level, _ in known], prior.level), _drawn([hourly for _, hourly in known], prior.hourly)
    )


def _errors(observed_m3s: Floats, forecast_m3s: Floats) -> tuple[float, float] | None:
    """Return a day's level and scatter, None if too little of it is known."""
    known = np.isfinite(observed_m3s) & (forecast_m3s > 0)
    if known.sum() < _LEAST_KNOWN_H:
        return None
    observed, forecast = observed_m3s[known], forecast_m3s[known]
    level = float(np.log(np.clip(observed.sum() / forecast.sum(), LOWEST_SCALE, HIGHEST_SCALE)))
    around = np.log(np.clip(observed / forecast, LOWEST_SCALE, HIGHEST_SCALE)) - level
    return level, float(around.std())


def _drawn(seen: Sequence[float], prior: float) -> float:
    squares = sum(value**2 for value in seen)
    return float(np.sqrt((PRIOR_DAYS * prior**2 + squares) / (PRIOR_DAYS + len(seen))))


def member_multipliers(demand: Sequence[DemandForecast], spreads: Sequence[Spread], members: int) -> Floats:
    """Return the multipliers of the model's patterns for each member (members, districts, hours)."""
    hours = len(demand[0].multiplier) if demand else 0
    common = _levels("", members)
    drawn = np.empty((members, len(demand), hours))
    for position, (forecast, spread) in enumerate(zip(demand, spreads, strict=True)):
        level = np.sqrt(_COMMON) * common + np.sqrt(1 - _COMMON) * _levels(forecast.district, members)
        off = spread.level * level[:, None] + spread.hourly * _series(forecast.district, members, hours)
        drawn[:, position] = np.clip(forecast.multiplier * np.exp(off), LOWEST_SCALE, HIGHEST_SCALE)
    return drawn


def _levels(name: str, members: int) -> Floats:
    """Return standard normal numbers, one from each of as many equally likely ranges, in an order of their own."""
    middle = [NormalDist().inv_cdf((member + 0.5) / members) for member in range(members)]
    return _numbers(f"level {name}").permutation(np.array(middle))


def _series(name: str, members: int, hours: int) -> Floats:
    """Return an AR(1) series of unit variance for each member (members, hours)."""
    news = _numbers(f"hours {name}").standard_normal((hours, members))
    series = np.empty((members, hours))
    now = np.zeros(members)
    for hour in range(hours):
        now = news[hour] if hour == 0 else _STAYS * now + np.sqrt(1 - _STAYS**2) * news[hour]
        series[:, hour] = now
    return series


def _numbers(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))
