"""The series of the trust benchmark that come every 5 and every 15 minutes.

- Household meters: the registers of trust_series, read every 15 minutes, sent through a mobile network.
- L-TOWN: pressures, flows, the tank's level and some metered demands every 5 minutes, a quarter of a year. There is no
  public SCADA of such a cadence at hand; this is a simulation of a made town with demand noise and the leaks of
  BattLeDIM. Its instruments had no noise, so a valve's outlet stood still for days: each is given 0.1 % of its value.
  Half of its stations send through a mobile network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
from trust_series import DATA, RealSeries, a_sensor, as_registered, household_meters

from twin.units import Quantity

FIVE_MINUTES_S = 300.0
PERIOD = slice("2019-07-01", "2019-09-30")
STATION = 6
"""So many sensors send through one gateway."""

TANK_OVERFLOW_M = 5.0
TABLES = (
    ("pressures", Quantity.PRESSURE, 1.0, 2),
    ("flows", Quantity.FLOW, 1 / 3600, 1),
    ("levels", Quantity.LEVEL, 1.0, 1),
    ("amr", Quantity.DEMAND, 1e-3 / 3600, 10),
)
"""Table, what it holds, the factor to SI, and that every so manieth column is taken."""


def minute_series(data: Path = DATA) -> list[RealSeries]:
    """Return all series at hand, and their made twins."""
    meters = [replace(series, is_mobile=True) for series in household_meters(data / "weusedto", 900.0)]
    return as_registered([*meters, *_ltown(data / "ltown")])


def _ltown(folder: Path) -> Iterator[RealSeries]:
    if not folder.is_dir():
        return
    for table, quantity, factor, every in TABLES:
        frame = pd.read_parquet(folder / f"y2019_{table}.parquet").loc[PERIOD]
        times = np.array([moment.timestamp() for moment in frame.index.tz_localize("UTC")])
        for number, name in enumerate(frame.columns[::every]):
            overflow = TANK_OVERFLOW_M if quantity is Quantity.LEVEL else None
            sensor = a_sensor(f"{table}_{name}", quantity, FIVE_MINUTES_S, overflow_m=overflow)
            station = number // STATION
            noise = 1 + 1e-3 * np.random.default_rng(crc32(name.encode())).normal(size=len(times))
            values = np.round(frame[name].to_numpy(float) * noise, 2) * factor
            yield RealSeries(sensor, f"gw_{table}_{station}", times, values, is_mobile=station % 2 == 1)
