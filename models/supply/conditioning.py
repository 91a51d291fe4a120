"""Bringing a demand forecast up to date: demand now is what flows in now, whatever the seasonal baseline says.

A baseline follows the level of the last 24 hours. A burst, a hot afternoon or a factory that began an hour ago is not
in it. So the last known hour is forecast from before it; what was observed over what would have been forecast is `q`.
Hourly balances scatter (pumps switch, levels are read to the centimetre): with `s` the scatter of the last day's hours
about the mean of three neighbours, over their mean, the deviation `d = q - 1` counts as `b = d^3 / (d^2 + s^2)`: a jump
is believed, what is within the scatter is not. Hour h of the forecast is multiplied by `1 + b exp(-h / 4)`.

Districts with tanks keep their baseline: what a tank keeps in one hour is known too coarsely, and a tank's outlook must
not swing with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.demand.ladder import HIGHEST_SCALE, LOWEST_SCALE, DemandForecast, forecast_demand, smoothed
from models.supply.facts import Floats

FADES_H = 4.0
_DAY_H = 24
_LEAST_KNOWN_H = 12
_OF_THREE = 1.5  # the variance of single hours over that of their deviations from the mean of three


def brought_up_to_date(
    forecast: DemandForecast,
    observed_m3s: Floats,
    past_m3s: Floats,
    ahead_m3s: Floats,
    *,
    network_scale: float | None = None,
) -> DemandForecast:
    """Return a forecast that begins with the demand observed in the last hour; arguments as of `forecast_demand`.

    It stays as it is where the last hour, or half of the last day, is not known.
    """
    scatter = _scatter(observed_m3s)
    if scatter is None or not np.isfinite(observed_m3s[-1]):
        return forecast
    name, before = forecast.district, slice(None, -1)
    expected = forecast_demand(
        name, observed_m3s[before], past_m3s[before], past_m3s[-1:], network_scale=network_scale
    ).demand_m3s[0]
    if expected <= 0:
        return forecast
    deviation = max(float(observed_m3s[-1]), 0.0) / expected - 1
    believed = deviation**3 / (deviation**2 + scatter**2) if deviation else 0.0
    factor = 1 + believed * np.exp(-np.arange(len(ahead_m3s)) / FADES_H)
    multiplier = np.clip(forecast.multiplier * factor, LOWEST_SCALE, HIGHEST_SCALE)
    return replace(forecast, multiplier=multiplier, demand_m3s=multiplier * ahead_m3s)


def _scatter(observed_m3s: Floats) -> float | None:
    """Return how far single hours of the last day scatter, over their mean; None if too few are known."""
    day = observed_m3s[-_DAY_H:]
    known = np.isfinite(day)
    if known.sum() < _LEAST_KNOWN_H or day[known].mean() <= 0:
        return None
    apart = (day - smoothed(day))[known]
    return float(np.sqrt(_OF_THREE * np.mean(apart**2)) / day[known].mean())
