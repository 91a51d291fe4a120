"""The short way for the plain rows of a CSV file, which nearly all rows of a large file are.

A row is plain if it needs no quotes, is complete, and every cell says what it should. Whatever is not, or might not be,
is left to the one place that knows the rules and the reasons (`ingest.files.readings`): the short way never decides
that a row is bad, and what it reads it reads exactly alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime

from ingest.decoders.times import require_plausible
from twin.clock import parse_time
from twin.errors import InputError
from twin.readings import Reading, Sensor
from twin.units import si_unit, to_si, unit_named

_MOST_REMEMBERED = 100_000
_LONGEST_PLAIN = 4096
_SURE_DIGITS = 18
"""So many digits always fit 64 bits."""


class QuickRows:
    """Reads plain rows of one file, whose header named `columns`."""

    def __init__(self, columns: Sequence[str], sensors: Mapping[str, Sensor], now: datetime) -> None:
        self._width = len(columns)
        self._sensor, self._time, self._value = (columns.index(name) for name in ("sensor_id", "observed_at", "value"))
        self._unit, self._available, self._seq = (
            columns.index(name) if name in columns else None for name in ("unit", "available_at", "seq")
        )
        self._sensors = sensors
        self._now = now
        self._moments: dict[str, datetime] = {}
        self._factors: dict[tuple[str, str], tuple[str, float, float, str]] = {}

    def reading(self, line: bytes) -> Reading | None:
        """Return the reading of a plain row; None if the row is not plain."""
        try:
            text = line.decode().rstrip("\r\n")
            if '"' in text or "\r" in text or len(text) > _LONGEST_PLAIN:
                return None
            cells = [cell.strip() for cell in text.split(",")]
            if len(cells) != self._width:
                return None
            return self._plain(cells)
        except (InputError, ValueError):
            return None

    def _plain(self, cells: Sequence[str]) -> Reading | None:
        sensor_id, number = cells[self._sensor], cells[self._value]
        raw_value = float(number)
        if "_" in number or not number.isascii():  # Python's own numerals
            return None
        unit = cells[self._unit] if self._unit is not None else ""
        raw_unit, factor, offset, si = self._factors.get((sensor_id, unit)) or self._factor(sensor_id, unit)
        value = raw_value * factor + offset
        if not (math.isfinite(raw_value) and math.isfinite(value)):
            return None
        observed = cells[self._time]
        available = cells[self._available] if self._available is not None else ""
        return Reading(
            sensor_id=sensor_id,
            observed_at=self._moments.get(observed) or self._moment(observed),
            available_at=(self._moments.get(available) or self._moment(available)) if available else self._now,
            value=value,
            unit=si,
            raw_value=raw_value,
            raw_unit=raw_unit,
            seq=_seq(cells[self._seq]) if self._seq is not None else None,
        )

    def _factor(self, sensor_id: str, unit: str) -> tuple[str, float, float, str]:
        """Return the unit's name, its factor and offset, and the SI unit, for one sensor; remembered.

        Raises:
            InputError: If sensor or unit are not known, or do not go together.
        """
        sensor = self._sensors.get(sensor_id)
        if sensor is None:
            raise InputError(f"sensor {sensor_id!r} is not registered")
        name = unit or sensor.unit_received
        to_si(0.0, name, sensor.quantity)
        known = unit_named(name)
        if len(self._factors) > _MOST_REMEMBERED:
            self._factors.clear()
        found = self._factors[sensor_id, unit] = (name, known.factor, known.offset, si_unit(sensor.quantity))
        return found

    def _moment(self, text: str) -> datetime:
        if len(self._moments) > _MOST_REMEMBERED:
            self._moments.clear()
        moment = self._moments[text] = require_plausible(parse_time(text))
        return moment


def _seq(text: str) -> int | None:
    """Return a sequence number, None of an empty cell; ValueError for what is no short row of digits."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _SURE_DIGITS):
        raise ValueError(text)
    return int(text)
