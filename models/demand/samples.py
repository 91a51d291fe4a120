"""What a district's past says of each hour ahead: one sample per origin and hour, for a learning model.

All series are on the wall clock's hours, so that a lag of 24 h is the same hour of the day before. With `y` the demand
and `i` the origin, nothing of `y` from `i` on enters a feature of that origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.demand.seasonal import WEEK_WEIGHTS, WEEKS, weighted_mean
from models.demand.surroundings import Booleans, Floats, Integers, Surroundings

HORIZON_H = 168
LEAST_PAST_H = WEEKS * HORIZON_H + 24

_DAY_H = 24
_OUTLIER_SCALES = 8.0
_STEADY = 0.01  # no demand is steadier than to a hundredth
_LEVELS_H = (1, 2, 3, 6, 12, 24, 48, 72, 168)
_NETWORK_LEVELS_H = (3, 6, 12, 24, 48, 72, 168)
_DAYS_BACK = 7


def without_outliers(demand: Floats) -> Floats:
    """Return hourly demand without what cannot be demand: NaN where it is far from the same hour of past weeks.

    Far is more than 8 times the median deviation of the last four weeks from the median of the last six same hours of
    the week. Each value is judged by what came before it alone, but for those of the first weeks: with nothing before
    them, they are judged by the hours of the day of the whole series.
    """
    usual = np.full(len(demand), np.nan)
    stacked = np.stack([_shifted(demand, k * HORIZON_H) for k in range(1, WEEKS + 1)])
    some = np.isfinite(stacked).any(axis=0)
    usual[some] = np.nanmedian(stacked[:, some], axis=0)
    deviation = np.abs(demand - usual)
    scale = _rolling_median(deviation, 28 * _DAY_H, least=100)
    far = deviation > _OUTLIER_SCALES * np.maximum(scale, _STEADY * np.abs(usual))
    first = ~(np.isfinite(usual) & np.isfinite(scale))
    return np.where(far | (first & _far_from_all(demand)), np.nan, demand)


def _far_from_all(demand: Floats) -> Booleans:
    """Return which values are far from the median of their hour of the day."""
    days = -(-len(demand) // _DAY_H)
    padded = np.concatenate([demand, np.full(days * _DAY_H - len(demand), np.nan)]).reshape(days, _DAY_H)
    middle = _nanmedian(padded, axis=0)
    deviation = np.abs(padded - middle)
    scale = np.maximum(_nanmedian(deviation, axis=0), _STEADY * np.abs(middle))
    return (deviation > _OUTLIER_SCALES * scale).ravel()[: len(demand)]


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """Series of one district that all origins share: its demand, the seasonal mean of it, and the network's."""

    demand: Floats
    seasonal: Floats
    network: Floats

    @classmethod
    def of(cls, demand: Floats, network: Floats) -> Past:
        """Take a district's demand without outliers and the mean of all districts' in units of this one's."""
        lagged = np.stack([_shifted(demand, k * HORIZON_H) for k in range(1, WEEKS + 1)])
        return cls(demand, weighted_mean(lagged, WEEK_WEIGHTS[:, None]), network)


def network_mean(demands: Floats) -> tuple[Floats, Floats]:
    """Return the mean of all districts' demand (hours), each in units of its scale, and the scales (districts).

    Args:
        demands: Demand without outliers (hours, districts), up to the origin.
    """
    scales = _nanstd(demands, axis=0)
    scales = np.where(np.isfinite(scales) & (scales > 0), scales, 1.0)
    return _nanmean(demands / scales, axis=1), scales


def samples(past: Past, around: Surroundings, origins: Integers) -> tuple[Floats, Floats]:
    """Return the features (origins x hours, features) and the seasonal means (origins x hours) of the hours ahead.

    Args:
        past: The district's series; they may end at the last origin.
        around: Calendar and weather up to the last origin's last hour ahead.
        origins: Positions of the first hours ahead, each at least LEAST_PAST_H.
    """
    hours = np.arange(HORIZON_H)
    at = origins[:, None] + hours
    weeks = np.stack([past.demand[at - k * HORIZON_H] for k in range(1, WEEKS + 1)])
    seasonal = weighted_mean(weeks, WEEK_WEIGHTS[:, None, None])
    days = past.demand[origins[:, None] - 14 * _DAY_H + np.arange(14 * _DAY_H)].reshape(len(origins), 14, _DAY_H)
    strangeness = _days_before(past.demand - past.seasonal, origins, 2)
    columns = [np.broadcast_to(hours.astype(float), at.shape), seasonal, _nanmedian(weeks, axis=0), *weeks[:4]]
    columns += [days[:, -k][:, hours % _DAY_H] for k in range(1, _DAYS_BACK)]
    columns += [_nanmean(days[:, -n:], axis=1)[:, hours % _DAY_H] for n in (7, 14)]
    columns += [strangeness[:, -k][:, hours % _DAY_H] for k in (1, 2)]
    per_origin = [_change(past.demand, origins, n) for n in _LEVELS_H]
    per_origin += [_change(past.network, origins, n) for n in _NETWORK_LEVELS_H]
    per_origin += [_nanmean(days[:, -7:].reshape(len(origins), -1), axis=1)]
    per_origin += [_nanmean(_before(past.demand, origins, 28 * _DAY_H), axis=1)]
    per_origin += [_nanmedian(_nanmin(days[:, -3:], axis=2), axis=1)]
    per_origin += [_nanstd(_before(past.demand - past.seasonal, origins, HORIZON_H), axis=1)]
    columns += [np.broadcast_to(values[:, None], at.shape) for values in per_origin]
    columns += [values[at] for values in around.features.values()]
    columns += [around.features["holiday"][at - k * HORIZON_H] for k in (1, 2, 3)]
    for name in ("temperature", "temperature_mean_24h", "rain_24h"):
        if name in around.features:
            values = around.features[name]
            columns.append(values[at] - _nanmean(np.stack([values[at - k * HORIZON_H] for k in (1, 2, 3)]), axis=0))
    features = np.stack([column.ravel() for column in columns], axis=1)
    return features, seasonal.ravel()


def _change(values: Floats, origins: Integers, n: int) -> Floats:
    """Return by how much the last `n` hours are above the same hours of the three weeks before (origins)."""
    now = _before(values, origins, n)
    before = _nanmean(np.stack([_before(values, origins - k * HORIZON_H, n) for k in (1, 2, 3)]), axis=0)
    return _nanmean(now - before, axis=1)


def _before(values: Floats, origins: Integers, n: int) -> Floats:
    """Return the last `n` values before each origin (origins, n)."""
    last: Floats = values[origins[:, None] - n + np.arange(n)]
    return last


def _days_before(values: Floats, origins: Integers, days: int) -> Floats:
    return _before(values, origins, days * _DAY_H).reshape(len(origins), days, _DAY_H)


def _shifted(values: Floats, hours: int) -> Floats:
    return np.concatenate([np.full(hours, np.nan), values[:-hours]])[: len(values)]


def _nanmean(values: Floats, axis: int) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    mean: Floats = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def _nanstd(values: Floats, axis: int) -> Floats:
    mean = np.expand_dims(_nanmean(values, axis), axis)
    return np.sqrt(_nanmean((values - mean) ** 2, axis))


def _nanmin(values: Floats, axis: int) -> Floats:
    lowest = np.where(np.isfinite(values), values, np.inf).min(axis=axis)
    return np.where(np.isfinite(lowest), lowest, np.nan)


def _nanmedian(values: Floats, axis: int) -> Floats:
    """Return medians without the warning of numpy's own where nothing is known."""
    some = np.isfinite(values).any(axis=axis)
    filled = np.where(np.expand_dims(some, axis), values, 0.0)
    median: Floats = np.where(some, np.nanmedian(filled, axis=axis), np.nan)
    return median


def _rolling_median(values: Floats, n: int, *, least: int) -> Floats:
    import pandas as pd

    return pd.Series(values).rolling(n, min_periods=least).median().to_numpy()
