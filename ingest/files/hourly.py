"""Tables of hourly series: the first column is the beginning of the hour with its zone, the others are numbers.

CSV or Parquet by the file's ending. Rows may come in any order and hours may be missing: what is not there is not
known. True and False read as 1 and 0, an empty cell as not known.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ingest.files.tables import parse_number
from twin.clock import format_time
from twin.errors import ConfigError, InputError, NaiveDatetimeError
from twin.hourly import HourlySeries, epoch_hour

LONGEST_H = 60 * 366 * 24

_UNKNOWN = ("", "nan", "null", "none", "na")
_TRUTH = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class _Row:
    """Where a row stands in its file, its time and what stands in its other columns."""

    place: str
    time: datetime
    cells: Sequence[Any]


def read_hourly(path: Path, *, only: Collection[str] | None = None) -> HourlySeries:
    """Read a table: every column that is a number, or those of `only` that are there, whatever stands in the others.

    Raises:
        InputError: Naming file, row and column of what is wrong; a time without zone, twice, or within the hour.
        ConfigError: If it is Parquet and pyarrow is not installed.
    """
    names, rows = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    _check_names(path, names)
    wanted = [(k, name) for k, name in enumerate(names) if only is None or name in only]
    read = _in_order(rows)
    if not read:
        raise InputError(f"{path.name}: has no rows")
    first, last = read[0][0], read[-1][0]
    if last - first >= LONGEST_H:
        raise InputError(f"{path.name}: reaches from {read[0][1].place} to {read[-1][1].place}, over 60 years")
    offset = np.full(last - first + 1, np.nan)
    values = np.full((len(offset), len(wanted)), np.nan)
    for hour, row in read:
        offset[hour - first] = _offset_h(row.time)
        values[hour - first] = [_number(row, name, row.cells[k]) for k, name in wanted]
    start = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=first)
    return HourlySeries(start, offset, {name: values[:, k] for k, (_, name) in enumerate(wanted)})


def _in_order(rows: Iterable[_Row]) -> list[tuple[int, _Row]]:
    read = []
    for row in rows:
        try:
            read.append((epoch_hour(row.time), row))
        except NaiveDatetimeError as error:
            raise NaiveDatetimeError(f"{row.place}: {error}") from None
        except InputError as error:
            raise InputError(f"{row.place}: {error}") from None
    read.sort(key=lambda item: item[0])
    for (hour, row), (following, other) in pairwise(read):
        if hour == following:
            raise InputError(f"{other.place}: {format_time(other.time)} is already in {row.place}")
    return read


def _csv(path: Path) -> tuple[list[str], Iterator[_Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name}: is not UTF-8 text (byte {error.start})") from None
    lines = csv.reader(text.splitlines())
    header = next((cells for cells in lines if any(cell.strip() for cell in cells)), None)
    if header is None:
        raise InputError(f"{path.name}: is empty")
    return [cell.strip() for cell in header[1:]], _csv_rows(path.name, lines, len(header))


def _csv_rows(file: str, lines: Any, width: int) -> Iterator[_Row]:
    try:
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            place = f"{file}, line {lines.line_num}"
            if len(cells) != width:
                raise InputError(f"{place}: has {len(cells)} cells, the header {width}")
            yield _Row(place, _time(place, cells[0].strip()), cells[1:])
    except csv.Error as error:
        raise InputError(f"{file}, line {lines.line_num}: {error}") from None


def _parquet(path: Path) -> tuple[list[str], Iterator[_Row]]:
    try:
        import pandas as pd
        import pyarrow
    except ImportError as error:
        raise ConfigError("Parquet files need pyarrow: pip install pyarrow; .csv needs nothing") from error
    try:
        table = pd.read_parquet(path)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, OSError) as error:
        raise InputError(f"{path.name}: is not a Parquet table: {str(error).splitlines()[0]}") from None
    if isinstance(table.index, pd.RangeIndex):
        if not len(table.columns):
            raise InputError(f"{path.name}: has no columns")
        table = table.set_index(table.columns[0])
    return [str(name).strip() for name in table.columns], _parquet_rows(path.name, table)


def _parquet_rows(file: str, table: Any) -> Iterator[_Row]:
    columns = [table.iloc[:, k].tolist() for k in range(len(table.columns))]
    cells: Iterable[Sequence[Any]] = zip(*columns, strict=True) if columns else ([] for _ in table.index)
    for number, (time, row) in enumerate(zip(table.index, cells, strict=True), start=1):
        place = f"{file}, row {number}"
        yield _Row(place, _time(place, time), row)


def _time(place: str, value: Any) -> datetime:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            raise InputError(f"{place}: {value!r} is not an ISO 8601 time") from None
    if isinstance(value, datetime) and value == value:  # NaT is a datetime that is not itself
        return value.to_pydatetime() if hasattr(value, "to_pydatetime") else value
    raise InputError(f"{place}: {value!r} is not a time")


def _offset_h(time: datetime) -> float:
    offset = time.utcoffset()
    return 0.0 if offset is None else offset.total_seconds() / 3600


def _number(row: _Row, column: str, cell: Any) -> float:
    if cell is None:
        return math.nan
    if not isinstance(cell, str):
        return _finite(row, column, cell)
    text = cell.strip()
    if text.lower() in _UNKNOWN:
        return math.nan
    if text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    try:
        return parse_number(text)
    except InputError as error:
        raise InputError(f"{row.place}, column {column}: {error}") from None


def _finite(row: _Row, column: str, cell: Any) -> float:
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise InputError(f"{row.place}, column {column}: {cell!r} is not a number") from None
    if math.isinf(value):
        raise InputError(f"{row.place}, column {column}: is infinite")
    return value


def _check_names(path: Path, names: Sequence[str]) -> None:
    if not names:
        raise InputError(f"{path.name}: has no column beside the time")
    if "" in names:
        raise InputError(f"{path.name}: column {names.index('') + 2} has no name")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{path.name}: has two columns {twice!r}")
