"""Sums readings up over windows, as columns: the one place that says what a rollup's figures are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from twin.rollups import Every, Rollup
from twin.storage.readings_rows import to_microseconds

DAY_US = 86_400_000_000
LENGTHS_US = {every: int(every.length.total_seconds()) * 1_000_000 for every in Every}

Sums = tuple[int, int, int, float | None, float | None, float | None, float | None, float | None]
"""Start (microseconds), readings, trusted, mean, low, high, first, last."""


def windows_within(start: datetime, end: datetime, every: Every) -> tuple[int, int]:
    """Return from where until where the windows reach that begin from `start` on and before `end`."""
    length = LENGTHS_US[every]
    first, last = (-(-to_microseconds(moment) // length) * length for moment in (start, end))
    return first, max(first, last)


def as_rollups(sums: Iterable[Sums], moment_of: Callable[[int], datetime]) -> list[Rollup]:
    """Return sums as what the store's callers know; `moment_of` makes a moment of microseconds."""
    return [Rollup(moment_of(one[0]), *one[1:]) for one in sums]


def summed_up(rows: Sequence[tuple[int, float, int]], length_us: int) -> Iterator[Sums]:
    """Yield the windows of rows (time in microseconds, value, whether it is trusted) that are in order of time."""
    if not rows:
        return
    times = np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))
    values = np.fromiter((row[1] for row in rows), dtype=np.float64, count=len(rows))
    trusted = np.fromiter((row[2] for row in rows), dtype=bool, count=len(rows))
    starts = times - times % length_us
    begins = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    readings = np.diff(begins, append=len(rows))
    counted = np.add.reduceat(trusted.astype(np.int64), begins)
    figures = _figures(values[trusted], counted[counted > 0])
    for start, count, good in zip(starts[begins].tolist(), readings.tolist(), counted.tolist(), strict=True):
        yield (start, count, good, *(next(figures) if good else _NONE))


_NONE = (None, None, None, None, None)


def _figures(values: Any, counts: Any) -> Iterator[tuple[float, float, float, float, float]]:
    """Yield mean, low, high, first and last of runs of values, `counts[i]` of them in run i."""
    if not len(counts):
        return iter(())
    ends = np.cumsum(counts)
    begins = ends - counts
    with np.errstate(over="ignore"):
        means = np.add.reduceat(values, begins) / counts
    if not np.isfinite(means).all():  # the sum of huge values is too large for a number, their mean is not
        means = np.add.reduceat(values / np.repeat(counts, counts), begins)
    lows, highs = np.minimum.reduceat(values, begins), np.maximum.reduceat(values, begins)
    means = np.clip(means, lows, highs)  # rounding must not carry a mean out of its own values
    columns = (means, lows, highs, values[begins], values[ends - 1])
    return zip(*(column.tolist() for column in columns), strict=True)
