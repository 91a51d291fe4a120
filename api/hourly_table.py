"""Hourly forecasts as tables, in the form that hourly tables are read in: the beginning of the hour, then numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from twin.errors import InputError

TIME = "time"


def write_hourly(path: Path, times: Sequence[datetime], columns: Mapping[str, Sequence[float]]) -> None:
    """Write one row an hour to a file that is `writable` (`api.run_table`); what is not known stays empty.

    CSV has the times with the offset they come with, Parquet as an index in UTC.

    Raises:
        InputError: If it cannot be written after all.
    """
    try:
        if path.suffix.lower() == ".parquet":
            _write_parquet(path, times, columns)
        else:
            _write_csv(path, times, columns)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error


def _write_csv(path: Path, times: Sequence[datetime], columns: Mapping[str, Sequence[float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((TIME, *columns))
        for time, *values in zip(times, *columns.values(), strict=True):
            writer.writerow((time.isoformat(), *("" if math.isnan(v) else f"{v:.6g}" for v in values)))


def _write_parquet(path: Path, times: Sequence[datetime], columns: Mapping[str, Sequence[float]]) -> None:
    import pandas as pd

    pd.DataFrame(dict(columns), index=pd.to_datetime(list(times), utc=True).rename(TIME)).to_parquet(path)
