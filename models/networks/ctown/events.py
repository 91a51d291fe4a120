"""Events injected into the published SCADA of C-Town. What comes out is labelled injected wherever it is shown.

A pump trip changes the rows of one pumping station and of the one tank that it fills, consistently:

- status and flow of its pumps are 0 from the trip on;
- the tank's level follows the mass balance  dL/dt = (Q_in - Q_out) / A.  The customers' draw Q_out is what the
  published rows imply (published inflow minus published change of level); an apparent inflow without pumps, which
  hourly rows show when a pump ran between two stamps, is carried forward against the next draw;
- the level stops at the tank's minimum: customers draw no more than there is;
- the discharge pressure is the tank's static head over the sensor, less the loss in the main: the loss of the
  published row where its pumps stood still, else the median loss of all rows with the pumps at rest. Once the tank is
  empty it is 0: the district's lowest tap lies below the sensor, so the main drains past it;
- after the repair one pump runs at the station's usual flow until the level meets the published one; from there on
  the rows are the published ones.

The upstream side stays as published (the water the station no longer takes would raise T1 by at most 0.16 m/h).
Flow between two hourly rows is their mean (trapezoid).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from models.networks.ctown.scada import ScadaRow
from twin.clock import as_utc
from twin.errors import InputError
from twin.units import Quantity, from_si, to_si


@dataclass(frozen=True, slots=True)
class Station:
    """A pumping station that alone fills one tank; lengths in m, from the network file.

    `loss_at_rest_m` and `gain_running_m` are the medians over the published rows of (tank head - discharge head)
    with the pumps at rest and of (discharge head - tank head) with a pump running; `usual_flow_m3s` is the median flow
    while a pump runs.
    """

    pumps: tuple[str, ...]
    tank: str
    tank_bottom_m: float
    tank_diameter_m: float
    discharge_sensor: str
    discharge_elevation_m: float
    usual_flow_m3s: float
    loss_at_rest_m: float
    gain_running_m: float
    tank_min_level_m: float = 0.0

    @property
    def tank_area_m2(self) -> float:
        """The tank's horizontal area."""
        return math.pi * self.tank_diameter_m**2 / 4


STATIONS = {
    "S2": Station(("PU4", "PU5"), "T3", 112.9, 13.73, "P_J256", 40.0, 0.03436, 4.855, 11.85),
    "S3": Station(("PU6", "PU7"), "T4", 132.5, 11.64, "P_J415", 65.0, 0.04955, 4.53, 14.46),
    "S4": Station(("PU8", "PU9"), "T5", 105.8, 11.89, "P_J306", 44.0, 0.03537, 2.095, 17.85),
}
"""The stations that can be tripped. S1 feeds everything; S5 fills T6 and T7 together, whose shares nobody measures."""


def pump_trip(
    rows: Iterable[ScadaRow], station: str, at: datetime, *, repaired_at: datetime | None = None
) -> Iterator[ScadaRow]:
    """Yield the rows as they would have been had all pumps of `station` stopped at `at` (until `repaired_at`).

    Rows before the trip pass unchanged; the rows must be in order of time and reach back before `at`.

    Raises:
        InputError: If the station is unknown, or the repair comes before the trip, or no row comes before the trip.
    """
    if station not in STATIONS:
        raise InputError(f"no station {station!r} can be tripped; choose one of {', '.join(STATIONS)}")
    trip = _Trip(STATIONS[station], as_utc(at), as_utc(repaired_at) if repaired_at else None)
    return trip.apply(rows)


class _Trip:
    def __init__(self, station: Station, at: datetime, repaired_at: datetime | None) -> None:
        if repaired_at is not None and repaired_at < at:
            raise InputError(f"the repair at {repaired_at} comes before the trip at {at}")
        self._station = station
        self._at = at
        self._repaired_at = repaired_at
        self._level_m: float | None = None
        self._carried_m = 0.0
        self._recovered = False

    def apply(self, rows: Iterable[ScadaRow]) -> Iterator[ScadaRow]:
        ordered = iter(rows)
        first = next(ordered, None)
        if first is None:
            return
        if first.observed_at > self._at:
            raise InputError(f"the rows begin at {first.observed_at}, after the trip at {self._at}")
        yield self._changed(first, self._level(first)) if first.observed_at == self._at else first
        for before, row in pairwise((first, *ordered)):
            if row.observed_at < self._at or self._recovered:
                yield row
                continue
            level_m = self._next_level(before, row)
            self._recovered = self._is_running(row.observed_at) and level_m >= self._level(row)
            yield row if self._recovered else self._changed(row, level_m)

    def _next_level(self, before: ScadaRow, row: ScadaRow) -> float:
        area_m2 = self._station.tank_area_m2
        seconds = (row.observed_at - before.observed_at).total_seconds()
        published_m3s = (self._flow(before) + self._flow(row)) / 2
        stopped_s, running_s = self._seconds_stopped_and_repaired(before.observed_at, row.observed_at)
        change_m = self._level(row) - self._level(before) - published_m3s * seconds / area_m2 + self._carried_m
        self._carried_m = max(0.0, change_m)
        inflow_m3 = published_m3s * (seconds - stopped_s - running_s) + self._station.usual_flow_m3s * running_s
        level_m = self._level(before) if self._level_m is None else self._level_m
        self._level_m = max(self._station.tank_min_level_m, level_m + min(0.0, change_m) + inflow_m3 / area_m2)
        return self._level_m

    def _seconds_stopped_and_repaired(self, start: datetime, end: datetime) -> tuple[float, float]:
        repaired_at = self._repaired_at or end
        stopped = (min(end, repaired_at) - max(start, self._at)).total_seconds()
        running = (end - max(start, repaired_at)).total_seconds()
        return max(0.0, stopped), max(0.0, running)

    def _is_running(self, moment: datetime) -> bool:
        return self._repaired_at is not None and moment >= self._repaired_at

    def _changed(self, row: ScadaRow, level_m: float) -> ScadaRow:
        station = self._station
        values = dict(row.values)
        running = self._is_running(row.observed_at)
        for place, pump in enumerate(station.pumps):
            works = running and place == 0
            flow_m3s = station.usual_flow_m3s if works else 0.0
            values[f"S_{pump}"] = (1.0 if works else 0.0, "1")
            values[f"F_{pump}"] = (round(from_si(flow_m3s, "L/s", Quantity.FLOW), 2), "L/s")
        values[f"L_{station.tank}"] = (round(level_m, 2), "m")
        values[station.discharge_sensor] = (round(self._pressure(row, level_m, running=running), 2), "m")
        return ScadaRow(row.observed_at, values)

    def _pressure(self, row: ScadaRow, level_m: float, *, running: bool) -> float:
        station = self._station
        static_m = station.tank_bottom_m + level_m - station.discharge_elevation_m
        if running:
            return static_m + station.gain_running_m
        if level_m <= station.tank_min_level_m:
            return 0.0
        if self._flow(row) > 0:
            return static_m - station.loss_at_rest_m
        return row.values[station.discharge_sensor][0] - (self._level(row) - level_m)

    def _level(self, row: ScadaRow) -> float:
        return row.values[f"L_{self._station.tank}"][0]

    def _flow(self, row: ScadaRow) -> float:
        flows = (row.values[f"F_{pump}"] for pump in self._station.pumps)
        return sum(to_si(value, unit, Quantity.FLOW) for value, unit in flows)
