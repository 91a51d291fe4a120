"""The real series that the trust benchmark disturbs, each with a sensor as a utility would register it.

- District inflows: ten real districts, hourly, two years (Battle of the Water Demand Forecasting, CC BY 4.0).
- C-Town: levels, flows, pressures and statuses, hourly, one year without attacks (BATADAL dataset 03, CC BY 4.0). Where
  only this repository is at hand: its six months of dataset 04, which holds attacks, so that flags there may be true.
- Household meters: one flat's fixtures and their sum, metered by the second (WEUSEDTO, CC BY 4.0), added up to
  registers that begin at 300 m3, show a tenth of a litre and are read every hour. A value is taken as the millilitres
  of its second.

Every flow, level and pressure also has a made twin ("redundant sensor"): the same water with a scale error of 0.5 %
and noise of 1 % of the usual spread. Drift and steps cannot be told from real changes without such a witness.

Limits in the registry are those of instruments, not of the data: high at 4 times the largest value of the calibration
half, low 0 for levels and pressures. Flows have no low limit but are `one_way`; levels have the overflow of their tank.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.networks.ctown import SENSORS_CSV
from models.networks.ctown.scada import scada_rows
from twin.readings import ElementType, Kind, Sensor
from twin.units import Quantity, to_si

DATA = Path(__file__).parents[2].parent / "shared" / "data"
Values = npt.NDArray[np.float64]
HOUR_S = 3600.0
DAY_S = 86400.0
FIRST_REGISTER_L = 300_000.0
FIXTURES = ("Bidet", "Kitchenfaucet", "Shower", "Washbasin", "Washingmachine")


@dataclass(frozen=True)
class RealSeries:
    """What a sensor really said, in SI: `values[i]` at `times[i]` (seconds of the epoch); and who sent it."""

    sensor: Sensor
    gateway: str
    times: Values
    values: Values
    witness: bool = False
    is_mobile: bool = False

    def within(self, start: float, end: float) -> RealSeries:
        """Return the part with start <= time < end."""
        inside = (self.times >= start) & (self.times < end)
        return replace(self, times=self.times[inside], values=self.values[inside])

    @property
    def spread(self) -> float:
        """How far the values usually range: the 0.5th to the 99.5th percentile, but at least 5 % of their size."""
        low, high = np.quantile(self.values, [0.005, 0.995])
        return float(max(high - low, 0.05 * np.median(np.abs(self.values))))

    @property
    def is_lively(self) -> bool:
        """Whether the sensor measures something that changes, and not only now and then."""
        return len(np.unique(self.values)) > 20 and float(np.mean(self.values != 0)) > 0.2


def halves(series: RealSeries) -> tuple[RealSeries, RealSeries]:
    """Return the calibration half and the test half, split in the middle of the time covered."""
    middle = (series.times[0] + series.times[-1]) / 2
    return series.within(-np.inf, middle), series.within(middle, np.inf)


def real_series(data: Path = DATA) -> list[RealSeries]:
    """Return all series at hand with limits learned from their calibration halves, and their made twins."""
    found = [*_inflows(data / "bwdf"), *_ctown(data / "batadal"), *household_meters(data / "weusedto", HOUR_S)]
    return as_registered(found)


def as_registered(found: Iterable[RealSeries]) -> list[RealSeries]:
    """Return the series with limits learned from their calibration halves, and their made twins."""
    with_limits = [_with_limits(series) for series in found]
    return [part for series in with_limits for part in _with_witness(series)]


def _with_limits(series: RealSeries) -> RealSeries:
    sensor, (calibration, _) = series.sensor, halves(series)
    if sensor.quantity in (Quantity.STATUS, Quantity.VOLUME):
        return series
    high = 4 * float(np.max(np.abs(calibration.values))) or 1.0
    low = None if sensor.quantity is Quantity.FLOW else 0.0
    return replace(series, sensor=replace(sensor, low=low, high=high))


def _with_witness(series: RealSeries) -> Iterator[RealSeries]:
    sensor = series.sensor
    if sensor.quantity not in (Quantity.FLOW, Quantity.LEVEL, Quantity.PRESSURE) or not series.is_lively:
        yield series
        return
    twin_id = f"{sensor.sensor_id}_twin"
    yield replace(series, sensor=replace(sensor, redundant_with=twin_id))
    random = np.random.default_rng(crc32(sensor.sensor_id.encode()))
    noise = random.normal(0, 0.01 * series.spread, len(series.values))
    values = np.where(series.values == 0, 0.0, np.maximum(series.values * 1.005 + noise, 0))
    twin = replace(sensor, sensor_id=twin_id, redundant_with=sensor.sensor_id)
    yield replace(series, sensor=twin, gateway=f"{series.gateway}_twin", values=values, witness=True)


def a_sensor(sensor_id: str, quantity: Quantity, every_s: float = HOUR_S, **more: object) -> Sensor:
    """Return a sensor as a utility would register it."""
    return Sensor(
        sensor_id,
        quantity,
        element_type=ElementType.NONE,
        expected_every_s=every_s,
        one_way=quantity is Quantity.FLOW,
        **more,  # type: ignore[arg-type]
    )


def _inflows(folder: Path) -> Iterator[RealSeries]:
    path = folder / "dma-inflows_to_2023-01-15.parquet"
    if not path.is_file():
        return
    table = pd.read_parquet(path).tz_convert("UTC")
    for name in table.columns:
        column = table[name].dropna()
        sensor = a_sensor(f"inflow_{name.split()[-1]}", Quantity.FLOW)
        times = np.array([moment.timestamp() for moment in column.index])
        yield RealSeries(sensor, f"gw_{sensor.sensor_id}", times, column.to_numpy(float) * 1e-3)


def _ctown(folder: Path) -> Iterator[RealSeries]:
    times, columns = _clean_year(folder / "BATADAL_dataset03.csv.gz")
    with Path(str(SENSORS_CSV)).open(encoding="utf-8", newline="") as file:
        rows = {row["sensor_id"]: row for row in csv.DictReader(file)}
    for name, raw in columns.items():
        row = rows[name]
        quantity = Quantity(row["quantity"])
        overflow = float(row["high"]) if quantity is Quantity.LEVEL else None
        values = np.array([to_si(value, row["unit"], quantity) for value in raw])
        sensor = a_sensor(name, quantity, district=row["district"], overflow_m=overflow)
        yield RealSeries(sensor, f"gw_{row['district']}", times, values)


def _clean_year(path: Path) -> tuple[Values, dict[str, list[float]]]:
    if path.is_file():
        with gzip.open(path, "rt", encoding="ascii", newline="") as file:
            records = list(csv.DictReader(file))
        moments = [datetime.strptime(r["DATETIME"], "%d/%m/%y %H").replace(tzinfo=UTC) for r in records]
        names = [name for name in records[0] if name not in ("DATETIME", "ATT_FLAG")]
        return np.array([m.timestamp() for m in moments]), {n: [float(r[n]) for r in records] for n in names}
    scada = list(scada_rows())
    names = list(scada[0].values)
    return (
        np.array([row.observed_at.timestamp() for row in scada]),
        {name: [row.values[name][0] for row in scada] for name in names},
    )


def household_meters(folder: Path, every_s: float) -> Iterator[RealSeries]:
    """Yield the registers of one flat's fixtures and of the whole flat, read every so many seconds."""
    if not folder.is_dir():
        return
    seconds = {name: _millilitres(folder / f"feed_{name}.MYD.csv.gz") for name in FIXTURES}
    whole = np.concatenate(list(seconds.values()))
    seconds["household"] = whole[np.argsort(whole[:, 0], kind="stable")]
    for name, rows in seconds.items():
        times, register_l = _register(rows, every_s)
        meter = {"kind": Kind.TOTAL_INCREASING, "rollover_at": 1000.0}
        sensor = a_sensor(f"meter_{name.lower()}", Quantity.VOLUME, every_s, **meter)
        yield RealSeries(sensor, f"gw_{sensor.sensor_id}", times, register_l * 1e-3)


def _millilitres(path: Path) -> Values:
    rows = []
    with gzip.open(path, "rt", encoding="ascii") as file:
        for line in file:
            parts = re.split(r"[ ,]", line.strip())
            try:
                moment, amount = float(parts[0]), float(parts[1])
            except ValueError:
                continue
            if moment > 1.5e9 and amount >= 0:  # a few rows hold no time
                rows.append((moment, amount))
    return np.array(sorted(rows))


def _register(rows: Values, every_s: float) -> tuple[Values, Values]:
    """Return readings of a register (L, to 0.1) over the time in which the fixtures were watched."""
    total_l = FIRST_REGISTER_L + np.cumsum(rows[:, 1]) * 1e-3
    times = np.arange(np.ceil(rows[0, 0] / every_s), np.floor(rows[-1, 0] / every_s)) * every_s
    before = np.searchsorted(rows[:, 0], times, side="right") - 1
    watched = times - rows[before, 0] < DAY_S
    return times[watched], np.round(total_l[before][watched], 1)


def moment_of(seconds: float) -> datetime:
    """Return seconds of the epoch as a time."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(seconds))
