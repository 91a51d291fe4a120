"""How good a week's demand forecast was, in the measures of the Battle of Water Demand Forecasting.

Source: Alvisi et al. (2025), Battle of Water Demand Forecasting, J. Water Resour. Plann. Manage. 151(10),
doi 10.1061/JWRMD5.WRENG-6887: PI1, PI2 and PI3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.demand.surroundings import Floats

_DAY_H = 24


@dataclass(frozen=True, slots=True)
class Scores:
    """Errors in the unit of the demand; NaN where nothing was observed.

    `pi1` is the mean absolute error of the first day, `pi2` its largest, `pi3` the mean of the days after it.
    """

    pi1: float
    pi2: float
    pi3: float


def score(forecast: Floats, observed: Floats) -> Scores:
    """Compare a forecast with what came (hours each, from the origin on); hours that are not known do not count."""
    error = np.abs(forecast - observed)
    first, later = (part[np.isfinite(part)] for part in (error[:_DAY_H], error[_DAY_H:]))
    return Scores(_mean(first), float(first.max()) if len(first) else np.nan, _mean(later))


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Return the mean of each measure over districts and weeks, of those that are known."""
    table = np.array([(s.pi1, s.pi2, s.pi3) for s in scores]).reshape(-1, 3)
    return Scores(*(_mean(column[np.isfinite(column)]) for column in table.T))


def share_below(quantiles: Mapping[float, Floats], observed: Floats) -> dict[float, float]:
    """Return for each level how much of what came lay at or below its quantile: the level itself, if it is honest."""
    known = np.isfinite(observed)
    return {
        level: _mean((observed <= values)[known & np.isfinite(values)].astype(float))
        for level, values in quantiles.items()
    }


def pinball(quantiles: Mapping[float, Floats], observed: Floats) -> float:
    """Return the mean pinball loss over levels and hours (Koenker and Bassett 1978): small if sharp and honest."""
    losses = [
        np.maximum(level * (observed - values), (level - 1) * (observed - values))
        for level, values in quantiles.items()
    ]
    return _mean(np.array(losses)[np.isfinite(losses)]) if losses else np.nan


def _mean(values: Floats) -> float:
    return float(np.mean(values)) if len(values) else np.nan
