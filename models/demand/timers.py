"""What timers draw (flushing, disinfection, watering) in hours of their own, apart from what people draw.

People change to summer time overnight; timers do not, until somebody resets them. Seen in the inflows of a hospital's
district, where weekly bursts stayed at their hour of standard time at three changes of the clock.
"""

from __future__ import annotations

import numpy as np

from models.demand.surroundings import Floats, Integers, WallClock

_BURST_SCALES = 8.0
_WINDOW_H = 5
_DAY_H = 24


def put_on_clock(clock: WallClock, values: Floats, origin: int) -> Floats:
    """Return a series on the wall clock: what people draw as the clock showed it, bursts as if it had always been set
    as it is at the origin.

    Args:
        clock: The wall clock in the hours of the series.
        values: Demand (hours), NaN where unknown.
        origin: Position in the series of the hour whose setting of the clock counts.
    """
    people, timers = without_timers(values, clock.clock_h)
    on_clock = clock.put(people)
    at = np.arange(len(values)) + clock.clock_h[origin] - origin
    burst = np.flatnonzero((timers > 0) & (at >= 0) & (at < len(on_clock)))
    np.add.at(on_clock, at[burst], timers[burst])
    return on_clock


def without_timers(values: Floats, clock_h: Integers) -> tuple[Floats, Floats]:
    """Return what people draw and what stands out above it for an hour or two, on few days (hours each).

    A burst is more than 8 times the median deviation above the median of the five hours around it, and above the median
    of its hour of the day, which knows the daily peaks.
    """
    import pandas as pd

    series = pd.Series(values)
    around = series.rolling(_WINDOW_H, center=True, min_periods=3).median().to_numpy()
    daily = series.groupby(clock_h % _DAY_H).transform("median").to_numpy()
    above = np.minimum(values - around, values - daily)
    known = np.isfinite(above)
    scale = float(np.median(np.abs(above[known]))) if known.any() else 0.0
    timers = np.where(known & (above > _BURST_SCALES * scale), above, 0.0)
    return values - timers, timers
