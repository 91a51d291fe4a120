"""Baselines: what a week ahead would be if it were like those before. A forecast has to beat them."""

from __future__ import annotations

import numpy as np

from models.demand.surroundings import Floats

WEEK_H = 168
WEEKS = 6
WEEK_WEIGHTS: Floats = 0.8 ** np.arange(WEEKS, dtype=np.float64)
"""How much each of the last weeks counts, the latest first."""

_DAY_H = 24
_DAYS = 28


def usual(demand: Floats) -> Floats:
    """Return the seasonal mean of the week after the last hour (168 hours).

    It is the mean of the same hour of the last six weeks, each weighing 0.8 of the one after it. Where none of them is
    known, that of the same hour of the day in the last four weeks; NaN where that is not known either.

    Args:
        demand: Up to the origin (hours); NaN where unknown.
    """
    weekly = weighted_mean(_periods(demand, WEEK_H, WEEKS), WEEK_WEIGHTS[:, None])
    daily = weighted_mean(_periods(demand, _DAY_H, _DAYS), np.ones((_DAYS, 1)))
    return np.where(np.isfinite(weekly), weekly, np.tile(daily, WEEK_H // _DAY_H))


def mean_of_weeks(demand: Floats, weeks: int) -> Floats:
    """Return the plain mean of the same hour of the last `weeks` weeks (168 hours), of those that are known."""
    return weighted_mean(_periods(demand, WEEK_H, weeks), np.ones((weeks, 1)))


def weighted_mean(values: Floats, weights: Floats) -> Floats:
    """Return the mean over the first axis of what is known, NaN where nothing is."""
    known = np.isfinite(values)
    total = (np.where(known, values, 0.0) * weights).sum(axis=0)
    weight = (known * weights).sum(axis=0)
    mean: Floats = np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)
    return mean


def _periods(values: Floats, period: int, number: int) -> Floats:
    """Return the last periods, the latest first (number, period); NaN before the first value."""
    missing = max(period * number - len(values), 0)
    last = np.concatenate([np.full(missing, np.nan), values])[-period * number :]
    return last.reshape(number, period)[::-1]
