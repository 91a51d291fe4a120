"""A supply run as a long table: one row for each hour, element and quantity, in SI with the unit in its name.

The columns are `time_h` (from the model's own time 0), `element_type` (node or link, as in sensors.csv), `element_id`,
`quantity` (head_m, pressure_m, demand_m3s, flow_m3s, open) and `value` (open: 1, closed: 0).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from twin.errors import ConfigError, InputError

COLUMNS = ("time_h", "element_type", "element_id", "quantity", "value")
_SERIES_AT_ONCE = 2000

_Series = tuple[tuple[str, str, str], Sequence[float]]
"""Element type, id and quantity, and one value per hour."""


def writable(path: Path | None) -> Path | None:
    """Insist that a table can be written to `path`, before a run takes its time (for Typer's `callback`).

    Raises:
        InputError: If its ending is neither .parquet nor .csv, or it cannot be written there.
        ConfigError: If it is Parquet and pyarrow is not installed.
    """
    if path is None:
        return None
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise InputError(f"{path.name}: the table's file must end in .parquet or .csv")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: make its folder, or choose another")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ConfigError("Parquet files need pyarrow: pip install pyarrow; .csv needs nothing") from error
    return path


def write_run(path: Path, answer: Mapping[str, Any]) -> int:
    """Write what `run_network` answered to a file that is `writable`; return the number of rows.

    Raises:
        InputError: If it cannot be written after all.
    """
    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_csv
    try:
        return write(path, answer["times_h"], _series(answer))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


def _series(answer: Mapping[str, Any]) -> Iterator[_Series]:
    for element_type in ("node", "link"):
        for element_id, element in answer[f"{element_type}s"].items():
            for quantity, values in element.items():
                if quantity != "type":
                    yield (element_type, element_id, quantity), [float(value) for value in values]


def _write_csv(path: Path, times_h: Sequence[float], series: Iterator[_Series]) -> int:
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for what, values in series:
            writer.writerows((time_h, *what, value) for time_h, value in zip(times_h, values, strict=True))
            rows += len(values)
    return rows


def _write_parquet(path: Path, times_h: Sequence[float], series: Iterator[_Series]) -> int:
    import numpy as np
    import pyarrow
    from pyarrow import parquet

    words, numbers = pyarrow.string(), pyarrow.float64()
    schema = pyarrow.schema(zip(COLUMNS, (numbers, words, words, words, numbers), strict=True))
    rows = 0
    with parquet.ParquetWriter(path, schema) as writer:
        while some := list(islice(series, _SERIES_AT_ONCE)):
            owner = pyarrow.array(np.repeat(np.arange(len(some)), len(times_h)))
            named = [
                pyarrow.array(column, words).take(owner) for column in zip(*(what for what, _ in some), strict=True)
            ]
            values = np.concatenate([values for _, values in some])
            columns = [pyarrow.array(np.tile(times_h, len(some)), numbers), *named, pyarrow.array(values, numbers)]
            writer.write_table(pyarrow.table(columns, schema=schema))
            rows += len(values)
    return rows
