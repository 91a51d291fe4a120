"""A district's hourly demand for up to a week, learned from years of its inflows.

What is learned is the difference between demand and its seasonal mean (the same hour of the last six weeks, each
weighing 0.8 of the one after it) from what the past, the calendar and the weather say of the hour (`samples`). Every
day of the past at the origin's own hour of the day is an origin to learn from. Two learners that err differently are
averaged: ridge regression of each hour (`linear`), which counts twice on the first day, and gradient-boosted trees
[1] of all hours. Quantiles are learned by such trees with the pinball loss [2] and put in order where they cross [3].

[1] Ke et al. (2017), LightGBM, NeurIPS 30; as in scikit-learn's HistGradientBoostingRegressor.
[2] Koenker and Bassett (1978), Regression quantiles, Econometrica 46(1).
[3] Chernozhukov, Fernandez-Val and Galichon (2010), Quantile and probability curves without crossing, Econometrica 78.
[4] Romano, Patterson and Candes (2019), Conformalized quantile regression, NeurIPS 32; here a level at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.demand.linear import predict_by_hour
from models.demand.samples import HORIZON_H, LEAST_PAST_H, Past, samples
from models.demand.surroundings import Booleans, Floats, Integers, Surroundings
from twin.errors import ConfigError

LEAST_DAYS = 56
"""Days to learn from below which nothing is learned."""

_DAY_H = 24
_TREES = {
    "max_iter": 150,
    "learning_rate": 0.06,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 60,
    "l2_regularization": 5.0,
    "max_features": 0.5,
    "random_state": 0,
    "early_stopping": False,
}
_SHARE_OF_LINES = (2 / 3, 1 / 2)  # of the first day, and of those after it
_EVERY = 2
_EVERY_OF_QUANTILES = 4
_HELD_BACK_DAYS = 56


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What there is to learn from, one row a sample, and what is known of the hours ahead, one row an hour.

    `target` is demand less its seasonal mean (samples), `hour` how many hours ahead and `day` how many days before the
    forecast's origin a sample lies; `seasonal` is that of the hours ahead (hours), NaN where no week tells.
    """

    features: Floats
    target: Floats
    hour: Integers
    day: Integers
    ahead: Floats
    seasonal: Floats

    @classmethod
    def of(cls, past: Past, around: Surroundings, origin: int) -> Lesson:
        """Take every past day at the origin's hour as an origin; nothing at or after `origin` is learned from.

        Args:
            past: The district's series up to the origin.
            around: Calendar and weather, at least to the last hour ahead.
            origin: Position of the first hour ahead.
        """
        origins = np.arange(origin, LEAST_PAST_H - 1, -_DAY_H)[::-1]
        features, seasonal = samples(past, around, origins)
        at = (origins[:-1, None] + np.arange(HORIZON_H)).ravel()
        demand = np.full(len(at), np.nan)
        demand[at < origin] = past.demand[at[at < origin]]
        target = demand - seasonal[: len(at)]
        known = np.isfinite(target)
        hour = np.tile(np.arange(HORIZON_H), len(origins) - 1)
        day = (origin - np.repeat(origins[:-1], HORIZON_H)) // _DAY_H
        return cls(
            features[: len(at)][known], target[known], hour[known], day[known], features[len(at) :], seasonal[len(at) :]
        )

    @property
    def is_enough(self) -> bool:
        """Whether there is enough to learn from."""
        return len(self.target) >= LEAST_DAYS * HORIZON_H


def learn_mean(lesson: Lesson) -> Floats:
    """Return the expected demand less its seasonal mean (hours).

    Raises:
        ConfigError: If scikit-learn is not installed.
    """
    some = lesson.day % _EVERY == 0
    with _one_thread():
        trees = _grown(lesson, some, loss="squared_error").predict(lesson.ahead)
        lines = predict_by_hour(lesson.features, lesson.target, lesson.hour, lesson.ahead)
    share = np.where(np.arange(len(lines)) < _DAY_H, _SHARE_OF_LINES[0], _SHARE_OF_LINES[1])
    mean: Floats = share * lines + (1 - share) * trees
    return mean


def learn_quantiles(lesson: Lesson, levels: Sequence[float]) -> Mapping[float, Floats]:
    """Return quantiles of demand less its seasonal mean (hours each), in order at every hour.

    What was learned from the older days is held against the latest eight weeks and moved by what it was off there [4].

    Raises:
        ConfigError: If scikit-learn is not installed.
    """
    latest = lesson.day <= min(_HELD_BACK_DAYS, int(lesson.day.max()) // 2)
    older = ~latest & (lesson.day % _EVERY_OF_QUANTILES == 0)
    learned = []
    with _one_thread():
        for level in sorted(levels):
            trees = _grown(lesson, older, loss="quantile", quantile=level)
            off = float(np.quantile(lesson.target[latest] - trees.predict(lesson.features[latest]), level))
            learned.append(trees.predict(lesson.ahead) + off)
    return dict(zip(sorted(levels), np.sort(learned, axis=0), strict=True)) if learned else {}


def _grown(lesson: Lesson, some: Booleans, **loss: Any) -> Any:
    """Return trees that learned from some samples."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(**_TREES, **loss).fit(lesson.features[some], lesson.target[some])


def _one_thread() -> AbstractContextManager[object]:
    """Keep the libraries to the calling thread: districts are many, and learned from side by side."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ConfigError("learning demand needs scikit-learn: pip install scikit-learn (extra: forecast)") from error
    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits
