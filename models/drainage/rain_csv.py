"""Rain of a flood run from a CSV: one row per interval that ENDS at `observed_at` (COLUMNS below).

`rain_mm` fell evenly in the interval. Each gage has one interval; gages may differ. Intervals absent between a
gage's first and last row count as dry and are listed as gaps.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.rainfall import RainSeries
from twin.clock import format_time, parse_time
from twin.errors import InputError

COLUMNS = ("gage_id", "observed_at", "rain_mm", "interval_s")


@dataclass(frozen=True, slots=True)
class RainGap:
    """An interval of a gage, ending at `observed_at`, for which the CSV has no row."""

    gage_id: str
    observed_at: datetime
    interval_s: int


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    gage_id: str
    observed_at: datetime
    rain_mm: float
    interval_s: int


def read_rain_csv(content: bytes) -> tuple[list[RainSeries], list[RainGap]]:
    """Return one series per gage, and the gaps in them.

    Raises:
        InputError: If a row is wrong; the message names its line.
    """
    rows_of: dict[str, list[_Row]] = {}
    for row in _rows(content):
        rows_of.setdefault(row.gage_id, []).append(row)
    if not rows_of:
        raise InputError("the rain CSV has no rows: dry weather is rows with 0 mm")
    read = [_series(rows) for rows in rows_of.values()]
    return [series for series, _ in read], [gap for _, gaps in read for gap in gaps]


def _rows(content: bytes) -> Iterator[_Row]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("the rain CSV is not UTF-8 text") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"the rain CSV has no column {', '.join(missing)}; it needs {','.join(COLUMNS)}")
        for fields in reader:
            yield _row(reader.line_num, fields)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} of the rain CSV cannot be read: {error}") from error


def _row(line: int, fields: dict[str, str]) -> _Row:
    def fail(why: str) -> InputError:
        return InputError(f"line {line} of the rain CSV: {why}")

    if any(fields.get(column) in (None, "") for column in COLUMNS):
        raise fail(f"{', '.join(c for c in COLUMNS if not fields.get(c))} is empty (unknown rain is no row)")
    try:
        observed_at = parse_time(fields["observed_at"])
    except InputError as error:
        raise type(error)(f"line {line} of the rain CSV: {error}") from error
    try:
        rain_mm, interval_s = float(fields["rain_mm"]), float(fields["interval_s"])
    except ValueError as error:
        raise fail(str(error)) from error
    if not (math.isfinite(rain_mm) and rain_mm >= 0):
        raise fail(f"rain_mm {fields['rain_mm']!r} is no amount of rain")
    if not (0 < interval_s <= 86400 and interval_s == int(interval_s)):
        raise fail(f"interval_s {fields['interval_s']!r} is not a whole number of seconds up to a day")
    if observed_at.microsecond:
        raise fail(f"observed_at {fields['observed_at']!r} is not on a whole second")
    return _Row(line, fields["gage_id"].strip(), observed_at, rain_mm, int(interval_s))


def _series(rows: Sequence[_Row]) -> tuple[RainSeries, list[RainGap]]:
    first = min(rows, key=lambda row: row.observed_at)
    step = timedelta(seconds=first.interval_s)
    by_index: dict[int, _Row] = {}
    for row in rows:
        index = _index(row, first, step)
        if index in by_index:
            raise InputError(
                f"line {row.line} of the rain CSV: gage {row.gage_id!r} has {format_time(row.observed_at)} already "
                f"on line {by_index[index].line}"
            )
        by_index[index] = row
    count = max(by_index) + 1
    rain_mm = tuple(by_index[index].rain_mm if index in by_index else 0.0 for index in range(count))
    gaps = [
        RainGap(first.gage_id, first.observed_at + index * step, first.interval_s) for index in _absent(by_index, count)
    ]
    return RainSeries(first.gage_id, first.observed_at - step, first.interval_s, rain_mm), gaps


def _absent(present: Iterable[int], count: int) -> list[int]:
    return sorted(set(range(count)).difference(present))


def _index(row: _Row, first: _Row, step: timedelta) -> int:
    if row.interval_s != first.interval_s:
        raise InputError(
            f"line {row.line} of the rain CSV: gage {row.gage_id!r} has an interval of {row.interval_s} s here and "
            f"{first.interval_s} s on line {first.line}; one per gage"
        )
    index, rest = divmod(row.observed_at - first.observed_at, step)
    if rest:
        raise InputError(
            f"line {row.line} of the rain CSV: {format_time(row.observed_at)} is off the grid of gage "
            f"{row.gage_id!r} (every {row.interval_s} s from {format_time(first.observed_at)})"
        )
    return index
