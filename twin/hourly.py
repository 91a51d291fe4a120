"""Series of whole hours in a row: what analysts hand over as one table, and what a demand forecast comes out as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from twin.clock import as_utc, format_time
from twin.errors import InputError

_HOUR_S = 3600


@dataclass(frozen=True, slots=True, eq=False)
class HourlySeries:
    """Columns of equal length, one value an hour from `first` on without a gap; NaN where a value is not known.

    `offset_h` is by how much the local time of each hour, as its source wrote it, is ahead of UTC.
    """

    first: datetime
    offset_h: NDArray[np.float64]
    columns: Mapping[str, NDArray[np.float64]]

    @property
    def hours(self) -> int:
        """How many hours there are."""
        return len(self.offset_h)

    @property
    def end(self) -> datetime:
        """The first hour after the last."""
        return self.first + timedelta(hours=self.hours)

    @property
    def times(self) -> Sequence[datetime]:
        """The beginning of each hour (UTC)."""
        return [self.first + timedelta(hours=i) for i in range(self.hours)]

    def between(self, first: datetime, end: datetime) -> HourlySeries:
        """Return the hours from `first` up to and without `end`: cut, or longer by hours of which nothing is known."""
        hours, shift = hours_between(first, end), hours_between(self.first, first)
        return HourlySeries(
            as_utc(first),
            _moved(self.offset_h, shift, hours),
            {name: _moved(values, shift, hours) for name, values in self.columns.items()},
        )


def hours_between(first: datetime, end: datetime) -> int:
    """Return how many whole hours lie between two beginnings of hours (negative: `end` comes first)."""
    return epoch_hour(end) - epoch_hour(first)


def epoch_hour(when: datetime) -> int:
    """Return the hours since 1970-01-01T00:00Z.

    Raises:
        NaiveDatetimeError: If `when` has no zone.
        InputError: If it is not the beginning of an hour.
    """
    seconds = (as_utc(when) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    if seconds % _HOUR_S:
        raise InputError(f"{format_time(when)} is not the beginning of an hour")
    return int(seconds // _HOUR_S)


def _moved(values: NDArray[np.float64], shift: int, hours: int) -> NDArray[np.float64]:
    out = np.full(max(hours, 0), np.nan)
    first, last = max(shift, 0), min(shift + hours, len(values))
    if first < last:
        out[first - shift : last - shift] = values[first:last]
    return out
