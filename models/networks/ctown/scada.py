"""The published hourly SCADA of C-Town as rows of named values with units.

The record's times name no zone; they are declared to be UTC. Its attack labels are no sensor and are not read.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from models.networks.ctown import SCADA_CSV

_UNITS = {"L": "m", "F": "L/s", "S": "1", "P": "m"}  # by the first letter of the column: level, flow, status, pressure
_NOT_SENSORS = {"DATETIME", "ATT_FLAG"}


@dataclass(frozen=True, slots=True)
class ScadaRow:
    """What every sensor said at one moment: `values[sensor_id]` is (value, unit)."""

    observed_at: datetime
    values: Mapping[str, tuple[float, str]]


def scada_rows(start: datetime | None = None, end: datetime | None = None) -> Iterator[ScadaRow]:
    """Yield the hourly rows with start <= observed_at < end in order of time."""
    with gzip.open(SCADA_CSV, "rt", encoding="ascii", newline="") as file:
        for record in csv.DictReader(file):
            observed_at = datetime.strptime(record["DATETIME"], "%d/%m/%y %H").replace(tzinfo=UTC)
            if (start is None or observed_at >= start) and (end is None or observed_at < end):
                yield ScadaRow(observed_at, _values(record))


def _values(record: Mapping[str, str]) -> dict[str, tuple[float, str]]:
    return {name: (float(text), _UNITS[name[0]]) for name, text in record.items() if name not in _NOT_SENSORS}
