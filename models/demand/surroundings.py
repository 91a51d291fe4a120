"""What is known of every hour beside the demand itself: the wall clock, holidays, the weather.

People live by the wall clock, so everything here is on its hours. The hour that summer time skips is not known, the
two that the end of summer time gives one name are taken together (their mean).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from twin.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_DAY_H = 24


@dataclass(frozen=True, slots=True, eq=False)
class WallClock:
    """Hours in a row: `clock_h` is what the wall clock shows in each, counted in hours from midnight of `first_day`."""

    clock_h: Integers
    first_day: date

    @property
    def size(self) -> int:
        """How many hours the wall clock counts from the first midnight to the end of the last day."""
        return -(-int(self.clock_h[-1] + 1) // _DAY_H) * _DAY_H

    def put(self, values: Floats) -> Floats:
        """Return a series of the same hours on the wall clock's own; NaN where it says nothing.

        Args:
            values: One value per hour.
        """
        known = np.isfinite(values)
        sums, counts = np.zeros(self.size), np.zeros(self.size)
        np.add.at(sums, self.clock_h[known], values[known])
        np.add.at(counts, self.clock_h[known], 1.0)
        mean: Floats = np.divide(sums, counts, out=np.full(self.size, np.nan), where=counts > 0)
        return mean


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """Calendar and weather on the wall clock's hours, named as the model knows them (hours, one value each)."""

    features: Mapping[str, Floats]

    @property
    def hours(self) -> int:
        """How many hours they reach."""
        return len(next(iter(self.features.values())))


def surroundings(
    clock: WallClock,
    is_holiday: Booleans,
    *,
    temperature: Floats | None = None,
    rain: Floats | None = None,
    others: Mapping[str, Floats] | None = None,
) -> Surroundings:
    """Make the features of every hour from what is known of it.

    Args:
        clock: The wall clock in the hours of the series that follow.
        is_holiday: Whether the hour lies in a public holiday.
        temperature: In any unit that is linear in degrees Celsius; NaN where unknown.
        rain: Depth that fell in the hour.
        others: Further weather, by name.

    Raises:
        InputError: If a series has another length than the clock.
    """
    series = {"temperature": temperature, "rain": rain, **(others or {})}
    for name, values in {"holiday": is_holiday, **series}.items():
        if values is not None and len(values) != len(clock.clock_h):
            raise InputError(f"{name} has {len(values)} hours, the calendar {len(clock.clock_h)}")
    features = _calendar(clock, is_holiday)
    if temperature is not None:
        on_clock = clock.put(temperature)
        features["temperature"] = on_clock
        features |= {f"temperature_mean_{n}h": _rolling_mean(on_clock, n) for n in (24, 72, 168)}
        features["temperature_max_24h"] = _rolling_max(on_clock, _DAY_H)
    if rain is not None:
        on_clock = clock.put(rain)
        features |= {f"rain_{n}h": n * _rolling_mean(on_clock, n) for n in (6, 24, 72)}
    features |= {name: clock.put(values) for name, values in (others or {}).items()}
    return Surroundings(features)


def _calendar(clock: WallClock, is_holiday: Booleans) -> dict[str, Floats]:
    hours = np.arange(clock.size)
    days = clock.size // _DAY_H
    holiday = np.zeros(days, dtype=np.bool_)
    holiday[clock.clock_h[is_holiday] // _DAY_H] = True
    dates = np.datetime64(clock.first_day) + np.arange(days)
    weekday = (clock.first_day.weekday() + np.arange(days)) % 7
    day_type = np.where(holiday, 6, weekday)  # a holiday is taken for a Sunday
    per_day = {
        "holiday": holiday,
        "day_type": day_type,
        **{f"day_type_{k}": day_type == k for k in range(7)},
        "holiday_tomorrow": np.append(holiday[1:], False),
        "holiday_yesterday": np.append(False, holiday[:-1]),
        "day_of_year": (dates - dates.astype("datetime64[Y]")).astype(int),
    }
    return {
        "hour": (hours % _DAY_H).astype(float),
        **{name: np.repeat(values.astype(float), _DAY_H) for name, values in per_day.items()},
    }


def _rolling_mean(values: Floats, n: int) -> Floats:
    """Return the mean of the known ones among the last `n` values, NaN where fewer than half are known."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    first = np.maximum(np.arange(len(values)) + 1 - n, 0)
    total, count = sums[1:] - sums[first], counts[1:] - counts[first]
    mean: Floats = np.divide(total, count, out=np.full(len(values), np.nan), where=2 * count >= n)
    return mean


def _rolling_max(values: Floats, n: int) -> Floats:
    padded = np.concatenate([np.full(n - 1, -np.inf), np.where(np.isfinite(values), values, -np.inf)])
    highest = np.lib.stride_tricks.sliding_window_view(padded, n).max(axis=1)
    return np.where(np.isfinite(highest), highest, np.nan)
