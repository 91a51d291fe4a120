"""What sensors said over a stretch of time, as arrays: a year of 5-minute readings fits, and is cut in no time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from models.supply.facts import Floats
from twin.readings import Reading, Sensor
from twin.units import si_unit


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """What one sensor said: `times_s` in seconds since 1970 (UTC, rising), `values` in SI."""

    sensor: Sensor
    times_s: Floats
    values: Floats

    def between(self, since_s: float, until_s: float) -> Track:
        """Return what was observed in [since, until]."""
        first, last = np.searchsorted(self.times_s, since_s), np.searchsorted(self.times_s, until_s, side="right")
        return replace(self, times_s=self.times_s[first:last], values=self.values[first:last])

    def at(self, moments_s: Floats) -> Floats:
        """Return the value observed at each moment, within half of the sensor's interval; NaN where there is none."""
        if not len(self.times_s):
            return np.full(len(moments_s), np.nan)
        after = np.clip(np.searchsorted(self.times_s, moments_s), 1, max(len(self.times_s) - 1, 1))
        after = np.minimum(after, len(self.times_s) - 1)
        before = np.maximum(after - 1, 0)
        nearer = np.abs(self.times_s[before] - moments_s) < np.abs(self.times_s[after] - moments_s)
        nearest = np.where(nearer, before, after)
        near = np.abs(self.times_s[nearest] - moments_s) <= self.sensor.expected_every_s / 2
        return np.where(near, self.values[nearest], np.nan)

    def mean_before(self, moments_s: Floats, over_s: float) -> Floats:
        """Return the mean of what was observed in (t - over, t] for each moment t; NaN where nothing was."""
        sums = np.concatenate([[0.0], np.cumsum(self.values)])
        first = np.searchsorted(self.times_s, moments_s - over_s, side="right")
        last = np.searchsorted(self.times_s, moments_s, side="right")
        count = last - first
        unknown = np.full(len(moments_s), np.nan)
        means: Floats = np.divide(sums[last] - sums[first], count, out=unknown, where=count > 0)
        return means

    def readings(self) -> list[Reading]:
        """Return the values as trusted readings that were known when they were observed."""
        unit = si_unit(self.sensor.quantity)
        return [
            Reading(self.sensor.sensor_id, moment, moment, value, unit, value, unit)
            for moment, value in zip(map(moment_of, self.times_s.tolist()), self.values.tolist(), strict=True)
        ]


def moment_of(second: float) -> datetime:
    """Return the moment so many seconds after 1970."""
    return datetime.fromtimestamp(second, UTC)


def track_of(sensor: Sensor, readings: Sequence[Reading]) -> Track:
    """Return readings in order of time as a track."""
    return Track(
        sensor,
        np.array([reading.observed_at.timestamp() for reading in readings], dtype=np.float64),
        np.array([reading.value for reading in readings], dtype=np.float64),
    )
