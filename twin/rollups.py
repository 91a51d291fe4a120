"""Readings summed up over windows of a quarter of an hour, an hour and a day.

Windows begin at whole multiples of their length in UTC and hold `start` <= observed_at < `start` + length. Lowest,
mean, highest, first and last are of the trusted values alone (good and estimated); a window without one has none of
them.
A window in which nothing was observed does not exist.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class Every(StrEnum):
    """How long the windows are."""

    QUARTER_HOUR = "15m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def length(self) -> timedelta:
        """The length of a window."""
        return _LENGTHS[self]


_LENGTHS = {
    Every.QUARTER_HOUR: timedelta(minutes=15),
    Every.HOUR: timedelta(hours=1),
    Every.DAY: timedelta(days=1),
}


class Rollup(NamedTuple):
    """One window of one sensor, in the SI unit of its quantity. A tuple, because there are so many of them."""

    start: datetime
    readings: int
    trusted: int
    mean: float | None
    low: float | None
    high: float | None
    first: float | None
    last: float | None

    @property
    def trusted_share(self) -> float:
        """The share of the window's readings that models and KPIs may use, 0 to 1."""
        return self.trusted / self.readings
