"""Readings out of the store into CSV or Parquet, sensor by sensor, in bounded memory."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.bootstrap import Offline
from api.progress import rows_shown
from twin.clock import format_time
from twin.errors import ConfigError, InputError, NotFoundError, UnavailableError
from twin.ports import ReadingStore
from twin.readings import Reading

FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Every store can hold these years, and no reading of a water network lies outside them."""
ARRIVED = ("sensor_id", "observed_at", "value", "unit", "available_at", "seq")
JUDGED = ("value_si", "unit_si", "quality", "reasons")
_AT_ONCE = 20_000

Row = tuple[Any, ...]
Write = Callable[[Sequence[Row]], None]


def export_readings(
    here: Offline,
    file: Path,
    start: datetime | None,
    end: datetime | None,
    *,
    only: Sequence[str] | None,
    judged: bool,
    progress: bool,
) -> dict[str, int]:
    """Write the readings with start <= observed_at < end of all registered sensors (or `only` some) to a new file.

    It is complete when it has its name.

    Raises:
        ConfigError: If the file exists, or Parquet is asked for and pyarrow is not installed.
        InputError: If the ending is neither .csv nor .parquet.
        NotFoundError: If a sensor is not registered.
        UnavailableError: If the file cannot be written or the store is away; no file is left then.
    """
    sensors = _sensors(here, only)
    if file.exists():
        raise ConfigError(f"{file} exists already; choose another name")
    writers = {".csv": _csv_file, ".parquet": _parquet_file}
    if file.suffix.lower() not in writers:
        raise InputError(f"{file.name}: the ending says neither .csv nor .parquet")
    columns = (*ARRIVED, *JUDGED) if judged else ARRIVED
    half = file.with_name(f"{file.name}.part")
    store, written = here.open_readings(), 0
    try:
        with (
            writers[file.suffix.lower()](half, columns) as write,
            rows_shown(file.name, 0, len(sensors), shown=progress, unit="sensors") as show,
        ):
            for sensor_id in sensors:
                for readings in _portions(store, sensor_id, start or FIRST, end or LAST):
                    write([_row(reading, judged=judged) for reading in readings])
                    written += len(readings)
                show(1)
        half.rename(file)
    except OSError as error:
        raise UnavailableError(f"{file} cannot be written: {error.strerror}") from error
    finally:
        half.unlink(missing_ok=True)
    return {"sensors": len(sensors), "readings": written}


def _sensors(here: Offline, only: Sequence[str] | None) -> list[str]:
    known = here.registry.sensors()
    unknown = [sensor_id for sensor_id in only or () if sensor_id not in known]
    if unknown:
        raise NotFoundError(f"there is no sensor {unknown[0]!r}")
    return list(dict.fromkeys(only)) if only else list(known)


def _portions(store: ReadingStore, sensor_id: str, start: datetime, end: datetime) -> Iterator[list[Reading]]:
    while True:
        readings = store.between(sensor_id, start, end, limit=_AT_ONCE + 1)
        if readings:
            yield readings[:_AT_ONCE]
        if len(readings) <= _AT_ONCE:
            return
        start = readings[_AT_ONCE].observed_at


def _row(reading: Reading, *, judged: bool) -> Row:
    arrived = (reading.sensor_id, reading.observed_at, reading.raw_value, reading.raw_unit, reading.available_at)
    if not judged:
        return (*arrived, reading.seq)
    reasons = json.dumps(list(reading.reasons))
    return (*arrived, reading.seq, reading.value, reading.unit, str(reading.quality), reasons)


@contextmanager
def _csv_file(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)

        def write(rows: Sequence[Row]) -> None:
            for row in rows:
                writer.writerow([format_time(x) if isinstance(x, datetime) else _cell(x) for x in row])

        yield write
        file.flush()
        os.fsync(file.fileno())


def _cell(value: object) -> object:
    return repr(value) if isinstance(value, float) else value


@contextmanager
def _parquet_file(path: Path, columns: Sequence[str]) -> Iterator[Write]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError("Parquet files need pyarrow: pip install pyarrow") from error
    moment, text, number = pyarrow.timestamp("us", tz="UTC"), pyarrow.string(), pyarrow.float64()
    types = dict(zip(ARRIVED, (text, moment, number, text, moment, pyarrow.int64()), strict=True))
    types |= dict(zip(JUDGED, (number, text, text, text), strict=True))
    schema = pyarrow.schema([(name, types[name]) for name in columns])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:

        def write(rows: Sequence[Row]) -> None:
            arrays = [
                pyarrow.array(cells, field.type) for cells, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.table(arrays, schema=schema))

        yield write
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
