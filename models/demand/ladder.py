"""How much water each district will draw in the coming hours: a seasonal baseline, on a ladder of what is known.

All series are hourly means in m3/s on one grid that ends (the past) or begins (the future) at the forecast's origin.
Which rung was used is part of the answer; with `y` the observed demand, `m` the model's own patterns and `h` hours
from the origin:

Hourly balances scatter, because pumps switch and tank levels are read to the centimetre within the hour; so the past is
first smoothed over three hours, and little knowledge counts little: `s` is the observed scale, the sum of the last 24
known `y` over that of `m`, drawn towards 1 (or the scale of the whole network) as if that had been seen for 6 hours.

weekly (at least 7 days known): `f(h) = b(h) * (1 + (r - 1) * exp(-h / 24))`, where `b` is the mean of `y` at the same
    hour of the week over the known weeks, drawn towards `s * m` as if that had been seen for 3 weeks, and `r` the sum
    of the last 24 known hours over that of `b` at those hours: the recent level, which fades within days.
daily (at least 24 hours known): `f(h) = (y(same hour yesterday) + 3 * s * m(h)) / 4`.
scaled (at least 1 hour known): `f(h) = s * m(h)`.
network: as scaled, with the scale of the whole network.
model: `f(h) = m(h)`.

The result is given as multipliers of the model's patterns, held within LOWEST_SCALE and HIGHEST_SCALE.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOWEST_SCALE = 0.2
HIGHEST_SCALE = 3.0
_DAY_H = 24
_WEEK_H = 168
_LEVEL_FADES_H = 24.0
_ENOUGH_KNOWN = 0.8
_NEGATIVE_TOLERANCE = 0.05
_SMOOTHED_OVER_H = 3
_PRIOR_HOURS = 6
_PRIOR_WEEKS = 3
_PRIOR_DAYS = 3


class DemandBasis(StrEnum):
    """The rung of the ladder that a demand forecast stands on, best first."""

    WEEKLY = "weekly"
    DAILY = "daily"
    SCALED = "scaled"
    NETWORK = "network"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class DemandForecast:
    """Demand of one district per hour, also as multiplier of the model's own patterns. `scale` is the observed one
    (None: not known); `clipped_hours` counts the hours in which the limits held a multiplier back.
    """

    district: str
    basis: DemandBasis
    demand_m3s: Floats
    multiplier: Floats
    scale: float | None
    clipped_hours: int


def forecast_demand(
    district: str, observed_m3s: Floats, past_m3s: Floats, ahead_m3s: Floats, *, network_scale: float | None = None
) -> DemandForecast:
    """Forecast a district's demand for the hours of `ahead_m3s`.

    Args:
        district: Its name.
        observed_m3s: Observed hourly demand, oldest first, up to the origin; NaN where unknown.
        past_m3s: What the model's patterns say for the same hours.
        ahead_m3s: What the model's patterns say for the hours to come.
        network_scale: Observed over modelled demand of the whole network, if known.
    """
    scale = observed_scale(observed_m3s, past_m3s, prior=1.0 if network_scale is None else network_scale)
    basis = _rung(observed_m3s, scale, network_scale)
    observed = without_impossible(smoothed(observed_m3s), past_m3s)
    drawn = scale if scale is not None else network_scale if network_scale is not None else 1.0
    wanted = _demand_on(basis, observed, drawn * past_m3s, drawn * ahead_m3s)
    raw = np.divide(wanted, ahead_m3s, out=np.ones_like(ahead_m3s), where=ahead_m3s > 0)
    multiplier = np.clip(raw, LOWEST_SCALE, HIGHEST_SCALE)
    clipped = int(np.count_nonzero(raw != multiplier))
    return DemandForecast(district, basis, multiplier * ahead_m3s, multiplier, scale, clipped)


def without_impossible(observed_m3s: Floats, past_m3s: Floats) -> Floats:
    """Return observed demand with what a balance cannot yield taken as unknown."""
    floor = -_NEGATIVE_TOLERANCE * float(past_m3s.mean()) if len(past_m3s) else 0.0
    return np.where(observed_m3s < floor, np.nan, np.maximum(observed_m3s, 0.0))


def smoothed(observed_m3s: Floats) -> Floats:
    """Return the mean of the known among three neighbouring hours; an hour that is unknown stays so."""
    if not len(observed_m3s):
        return observed_m3s
    known = np.isfinite(observed_m3s)
    window = np.ones(_SMOOTHED_OVER_H)
    total = np.convolve(np.where(known, observed_m3s, 0.0), window)[1:-1]
    return np.where(known, total / np.maximum(np.convolve(known, window)[1:-1], 1), np.nan)


def observed_scale(observed_m3s: Floats, past_m3s: Floats, *, prior: float = 1.0) -> float | None:
    """Return observed over modelled demand of the last 24 known hours, drawn towards `prior`; None: nothing known."""
    recent = np.flatnonzero(np.isfinite(observed_m3s))[-_DAY_H:]
    modelled = float(past_m3s[recent].sum())
    if modelled <= 0:
        return None
    seen = float(observed_m3s[recent].sum()) / modelled
    weighed = (len(recent) * seen + _PRIOR_HOURS * prior) / (len(recent) + _PRIOR_HOURS)
    return min(max(weighed, LOWEST_SCALE), HIGHEST_SCALE)


def _rung(observed: Floats, scale: float | None, network_scale: float | None) -> DemandBasis:
    known = np.isfinite(observed)
    if len(observed) >= _WEEK_H and known[-_WEEK_H:].mean() >= _ENOUGH_KNOWN:
        return DemandBasis.WEEKLY
    if len(observed) >= _DAY_H and known[-_DAY_H:].mean() >= _ENOUGH_KNOWN:
        return DemandBasis.DAILY
    if scale is not None:
        return DemandBasis.SCALED
    return DemandBasis.MODEL if network_scale is None else DemandBasis.NETWORK


def _demand_on(basis: DemandBasis, observed: Floats, past: Floats, ahead: Floats) -> Floats:
    """Return the demand of a rung, given the smoothed past and the model's patterns at the observed scale."""
    if basis is DemandBasis.WEEKLY:
        return _weekly(observed, past, len(ahead))
    return _daily(observed, ahead) if basis is DemandBasis.DAILY else ahead


def _weekly(observed: Floats, past: Floats, hours: int) -> Floats:
    total, weeks = _folded(observed, _WEEK_H)
    modelled, times = _folded(past, _WEEK_H)
    week = (total + _PRIOR_WEEKS * modelled / times) / (weeks + _PRIOR_WEEKS)  # position 0: the first hour ahead
    recent = np.flatnonzero(np.isfinite(observed))[-_DAY_H:]
    usual = float(week[(recent - len(observed)) % _WEEK_H].sum())
    level = float(observed[recent].sum()) / usual if usual > 0 else 1.0
    ahead = np.arange(hours)
    forecast: Floats = week[ahead % _WEEK_H] * (1 + (level - 1) * np.exp(-ahead / _LEVEL_FADES_H))
    return forecast


def _daily(observed: Floats, ahead: Floats) -> Floats:
    yesterday = np.resize(observed[-_DAY_H:], len(ahead))
    forecast: Floats = (np.where(np.isfinite(yesterday), yesterday, ahead) + _PRIOR_DAYS * ahead) / (1 + _PRIOR_DAYS)
    return forecast


def _folded(values: Floats, period: int) -> tuple[Floats, Floats]:
    """Return sum and number of the known values at each place of a period, counted back from the end."""
    periods = -(-len(values) // period)
    padded = np.full(periods * period, np.nan)
    padded[len(padded) - len(values) :] = values
    folded = padded.reshape(periods, period)
    return np.nansum(folded, axis=0), np.isfinite(folded).sum(axis=0).astype(np.float64)
