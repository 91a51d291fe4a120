"""readings.csv and readings.parquet: history, row by row. A bad row is handed back with its bytes and stops nothing.

In CSV one physical line is one row, whatever quotes it holds: a stray quote spoils its own line only.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from ingest.decoders.base import RawReading, Refusal, UndecodableError
from ingest.decoders.times import require_plausible
from ingest.files.quick_rows import QuickRows
from ingest.files.tables import check_header, parse_number
from twin.clock import as_utc, parse_time
from twin.errors import ConfigError, InputError, NaiveDatetimeError, UnknownUnitError, WrongDimensionError
from twin.readings import Reading, Sensor, reading_from_raw

REQUIRED = ("sensor_id", "observed_at", "value")
OPTIONAL = ("unit", "available_at", "seq")
LONGEST_LINE = 64 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_SEQ = 2**63 - 1
_DIGITS = re.compile(r"\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no reading: `payload` is the line as it stands in the file (Parquet: the row as JSON).

    `reason` is that of a message with the same fault, `detail` says the rest to a person. `line` counts from 1, the
    header included (Parquet: rows). `raw` is what the row says where that is understood and a message could say it: no
    message says `available_at`.
    """

    line: int
    reason: Refusal
    detail: str
    payload: bytes
    raw: RawReading | None = None


def read_readings(
    path: Path, sensors: Mapping[str, Sensor], *, now: datetime, skip: int = 0
) -> Iterator[Reading | BadRow]:
    """Read `path` (Parquet by its suffix, else CSV) row by row, in constant memory, without the first `skip` rows.

    Rows without `available_at` became available at `now`. Values are converted to SI; quality is not judged here.

    Raises:
        InputError: At once, if the file cannot be read or its columns are not those of the contract.
        ConfigError: At once, if it is Parquet and pyarrow is not installed.
    """
    now = as_utc(now)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path, sensors, now, skip)
    return _read_csv(path, sensors, now, skip)


def _read_csv(path: Path, sensors: Mapping[str, Sensor], now: datetime, skip: int) -> Iterator[Reading | BadRow]:
    header_line, columns = _header(path)
    return _csv_rows(islice(_csv_lines(path, header_line), skip, None), columns, sensors, now)


def _header(path: Path) -> tuple[int, list[str]]:
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            cells = _cells(line.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise InputError(f"{path.name}, line {number}: is not UTF-8; save the file as CSV in UTF-8") from error
        except InputError as error:
            raise InputError(f"{path.name}, line {number}: {error}") from error
        return number, check_header(path, cells, required=REQUIRED, optional=OPTIONAL)
    raise InputError(f"{path.name} is empty: it needs a line with the columns {', '.join(REQUIRED)}")


def _csv_lines(path: Path, header_line: int) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in _lines(path) if number > header_line and line.strip(b" \t\r\n,"))


def _csv_rows(
    lines: Iterable[tuple[int, bytes]], columns: Sequence[str], sensors: Mapping[str, Sensor], now: datetime
) -> Iterator[Reading | BadRow]:
    quick = QuickRows(columns, sensors, now)
    for number, line in lines:
        yield quick.reading(line) or _csv_item(number, line, columns, sensors, now)


def _csv_item(
    number: int, line: bytes, columns: Sequence[str], sensors: Mapping[str, Sensor], now: datetime
) -> Reading | BadRow:
    """Read one line by all the rules."""
    row: dict[str, Any] = {}
    try:
        row = _csv_row(line, columns)
        return _reading(row, sensors, now)
    except InputError as error:
        return BadRow(number, _refusal_of(error), str(error), line.rstrip(b"\r\n"), _raw(row))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield numbered lines with their ends; of a line that is too long, the beginning alone (it is a bad row)."""
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                yield number, line
                while not line.endswith(b"\n") and len(line) > LONGEST_LINE:
                    line = file.readline(LONGEST_LINE + 1)
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}") from error


def _csv_row(line: bytes, columns: Sequence[str]) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise UndecodableError(f"the line is longer than {LONGEST_LINE} bytes")
    try:
        cells = _cells(line.decode())
    except UnicodeDecodeError as error:
        raise UndecodableError("the line is not UTF-8") from error
    if any(cells[len(columns) :]) or len(cells) < len(columns):
        raise UndecodableError(f"{len(cells)} cells where the header has {len(columns)} columns")
    return {name: cell for name, cell in zip(columns, cells, strict=False) if cell}


def _cells(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text.rstrip("\r\n")], strict=True))
    except csv.Error as error:
        raise UndecodableError(f"not a line of CSV: {error}") from error
    return [cell.strip() for row in rows for cell in row]


def _read_parquet(path: Path, sensors: Mapping[str, Sensor], now: datetime, skip: int) -> Iterator[Reading | BadRow]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError("Parquet files need pyarrow: pip install pyarrow") from error
    try:
        file = parquet.ParquetFile(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(f"cannot read {path.name} as Parquet: {error}") from error
    check_header(path, file.schema_arrow.names, required=REQUIRED, optional=OPTIONAL)
    return _parquet_rows(path, file, sensors, now, skip)


def _parquet_rows(
    path: Path, file: Any, sensors: Mapping[str, Sensor], now: datetime, skip: int
) -> Iterator[Reading | BadRow]:
    import pyarrow

    number = 0
    with file:
        batches = file.iter_batches(batch_size=10_000)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pyarrow.ArrowException) as error:
                raise InputError(f"{path.name} is damaged after row {number}: {error}") from error
            if batch is None:
                return
            begin = min(max(skip - number, 0), batch.num_rows)
            number += begin
            for row in _python_rows(batch.slice(begin)):
                number += 1
                try:
                    yield _parquet_reading(row, sensors, now)
                except InputError as error:
                    payload = json.dumps(row, default=str).encode() if isinstance(row, dict) else b""
                    raw = _raw(_given(row)) if isinstance(row, dict) else None
                    yield BadRow(number, _refusal_of(error), str(error), payload, raw)


def _parquet_reading(row: dict[str, Any] | Exception, sensors: Mapping[str, Sensor], now: datetime) -> Reading:
    if isinstance(row, Exception):
        raise UndecodableError(f"the row cannot be taken apart: {row}") from row
    return _reading(_given(row), sensors, now)


def _given(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _python_rows(batch: Any) -> Iterator[dict[str, Any] | Exception]:
    """Yield the rows as dicts, or why one cannot be: text that is not UTF-8, a time that no datetime reaches.

    Times are cut to whole microseconds, whatever the file's resolution.
    """
    import pyarrow

    columns = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
            column = column.cast(pyarrow.timestamp("us", tz=column.type.tz), safe=False)
        columns[name] = column
    try:
        whole = [_cells_of(column) for column in columns.values()]
    except (ValueError, OverflowError, pyarrow.ArrowException):
        yield from _rows_one_by_one(columns, batch.num_rows)
        return
    for cells in zip(*whole, strict=True):
        yield dict(zip(columns, cells, strict=True))


def _cells_of(column: Any) -> list[Any]:
    """Return a column's cells; times in UTC are counted from 1970, which is much quicker and says the same.

    Raises:
        ValueError, OverflowError, pyarrow.ArrowException: If one of them cannot be said.
    """
    import pyarrow

    if not pyarrow.types.is_timestamp(column.type) or column.type.tz != "UTC":
        cells: list[Any] = column.to_pylist()
        return cells
    us = column.cast(pyarrow.timestamp("us", tz="UTC")).cast(pyarrow.int64()).to_pylist()
    return [None if value is None else _EPOCH + timedelta(microseconds=value) for value in us]


def _rows_one_by_one(columns: Mapping[str, Any], count: int) -> Iterator[dict[str, Any] | Exception]:
    """Take the rows apart singly, so that a cell that cannot be spoils its own row only."""
    import pyarrow

    for position in range(count):
        try:
            yield {name: column[position].as_py() for name, column in columns.items()}
        except (ValueError, OverflowError, pyarrow.ArrowException) as error:
            yield error


def _reading(row: Mapping[str, Any], sensors: Mapping[str, Sensor], now: datetime) -> Reading:
    sensor_id = str(_present(row, "sensor_id"))
    sensor = sensors.get(sensor_id)
    if sensor is None:
        raise UndecodableError(
            f"sensor {sensor_id!r} is not registered; import sensors.csv first", Refusal.UNKNOWN_SENSOR
        )
    return reading_from_raw(
        sensor,
        observed_at=_time("observed_at", _present(row, "observed_at")),
        available_at=_time("available_at", row["available_at"]) if "available_at" in row else now,
        raw_value=_number("value", _present(row, "value")),
        raw_unit=str(row["unit"]) if "unit" in row else None,
        seq=_seq(row.get("seq")),
    )


def _raw(row: Mapping[str, Any]) -> RawReading | None:
    if "available_at" in row:
        return None
    try:
        return RawReading(
            name=str(_present(row, "sensor_id")),
            observed_at=_time("observed_at", _present(row, "observed_at")),
            value=_number("value", _present(row, "value")),
            unit=str(row["unit"]) if "unit" in row else None,
            seq=_seq(row.get("seq")),
        )
    except InputError:
        return None


def _present(row: Mapping[str, Any], column: str) -> Any:
    if column not in row:
        raise InputError(f"column {column} is empty")
    return row[column]


def _time(column: str, value: Any) -> datetime:
    try:
        return require_plausible(as_utc(value) if isinstance(value, datetime) else parse_time(value))
    except InputError as error:
        raise UndecodableError(f"column {column}: {error}", _refusal_of(error)) from error


def _number(column: str, value: Any) -> float:
    try:
        number = parse_number(value) if isinstance(value, str) else _float(value)
    except InputError as error:
        reason = Refusal.UNDECODABLE if _is_finite_text(value) else Refusal.NOT_FINITE
        raise UndecodableError(f"column {column}: {error}", reason) from error
    if not math.isfinite(number):
        raise UndecodableError(f"column {column}: {value!r} is not finite", Refusal.NOT_FINITE)
    return number


def _is_finite_text(value: Any) -> bool:
    """Whether text spells no NaN, no infinity and no number beyond all floats; what is no number is none of these."""
    try:
        return not isinstance(value, str) or math.isfinite(float(value))
    except ValueError:
        return True


def _refusal_of(error: InputError) -> Refusal:
    """Return the reason that a message with the same fault has."""
    if isinstance(error, UndecodableError):
        return error.reason
    if isinstance(error, UnknownUnitError):
        return Refusal.UNKNOWN_UNIT
    if isinstance(error, WrongDimensionError):
        return Refusal.WRONG_DIMENSION
    return Refusal.NAIVE_TIME if isinstance(error, NaiveDatetimeError) else Refusal.UNDECODABLE


def _float(value: Any) -> float:
    if isinstance(value, bool | bytes | datetime):
        raise InputError(f"{value!r} is not a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{value!r} is not a number") from error


def _seq(value: Any) -> int | None:
    """Read a sequence number; a column of floats (as pandas writes whole numbers with gaps) holds NaN where none is."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        number = float(value) if isinstance(value, float) else int(_whole(value))
        if number != int(number) or not 0 <= number <= _LARGEST_SEQ:
            raise ValueError
    except (ValueError, OverflowError) as error:
        raise InputError(f"column seq: {value!r} is not a whole number from 0 to {_LARGEST_SEQ}") from error
    return int(number)


def _whole(value: Any) -> Any:
    """Return `value` if it is an integer or the decimal digits of one."""
    if isinstance(value, bool) or not (isinstance(value, int) or (isinstance(value, str) and _DIGITS.fullmatch(value))):
        raise ValueError
    return value
