"""A supply cycle of C-Town with 50 members, and how often demand came to lie between the members' percentiles.

The second part needs the hourly inflows of the ten districts of the Battle of the Water Demand Forecasting in
../shared/data/bwdf and is left out without them. There each district's model is its mean day of the first 90 days; a
forecast has the 14 days before it, as in the cycle, and its members are held against what came, week after week.
Run from the project's root: python -m tests.benchmarks.bench_members
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ingest.files.hourly import read_hourly
from models.demand.ladder import Floats, forecast_demand
from models.demand.spread import member_multipliers, spread_of
from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.model import EpanetSupply
from tests.benchmarks.bench_supply import demo_request, demo_sensors
from twin.ports import SupplyRequest

MEMBERS = 50
REPEATS = 5
LIMIT_S = 10.0
INFLOWS = Path("../shared/data/bwdf/dma-inflows_to_2023-01-15.parquet")
DAY_H, HISTORY_H, MODEL_H, AHEAD_H = 24, 14 * 24, 90 * 24, 48


def cycle() -> None:
    """Print how long a cycle takes with members and without."""
    sensors = demo_sensors()
    request = demo_request(sensors)
    with EnginePool(2) as pool:
        supply = EpanetSupply(SUPPLY_INP.read_bytes(), pool, model_id="C-Town", sensors=sensors.values())
        supply.run(replace(request, members=MEMBERS))
        alone_s, together_s = (median_s(supply, replace(request, members=count)) for count in (0, MEMBERS))
    print(f"C-Town, 48 h, two workers, median of {REPEATS}, load {os.getloadavg()[0]:.1f}")
    print(f"the median course alone   {alone_s:6.2f} s")
    print(f"with {MEMBERS} members           {together_s:6.2f} s   of {LIMIT_S:g} s = {together_s / LIMIT_S:.2f}")


def median_s(supply: EpanetSupply, request: SupplyRequest) -> float:
    """Return the median wall time of a run."""
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        supply.run(request)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def coverage() -> None:
    """Print the share of hours, and of days, that came to lie between the 10th and 90th percentile of the members."""
    table = read_hourly(INFLOWS)
    print("\nShare of what came between the 10th and 90th percentile (0.80 would be right), and how wide that is")
    print("| district | hours inside | days inside | days' width / volume |")
    print("|---|---|---|---|")
    rows = []
    for name, values in table.columns.items():
        found = list(_weeks(name, values))
        hours, days, width = (np.mean([week[position] for week in found]) for position in range(3))
        rows.append((hours, days))
        print(f"| {name} | {hours:.2f} | {days:.2f} | {width:.2f} |")
    print(f"| all | {np.mean([row[0] for row in rows]):.2f} | {np.mean([row[1] for row in rows]):.2f} | |")


def _weeks(name: str, values: Floats) -> Iterator[tuple[float, float, float]]:
    model = np.nanmean(values[:MODEL_H].reshape(-1, DAY_H), axis=0)
    for origin in range(MODEL_H + HISTORY_H, len(values) - AHEAD_H, 7 * DAY_H):
        observed, came = values[origin - HISTORY_H : origin], values[origin : origin + AHEAD_H]
        if np.isnan(came).any() or np.isnan(observed).mean() > 0.2:
            continue
        past, ahead = np.resize(model, HISTORY_H), np.resize(model, AHEAD_H)
        forecast = forecast_demand(name, observed, past, ahead)
        spread = spread_of(forecast, observed, past)
        members = member_multipliers([forecast], [spread], MEMBERS)[:, 0] * ahead
        low, high = np.quantile(members, (0.1, 0.9), axis=0)
        of_days, days = members.reshape(MEMBERS, -1, DAY_H).sum(axis=2), came.reshape(-1, DAY_H).sum(axis=1)
        day_low, day_high = np.quantile(of_days, (0.1, 0.9), axis=0)
        inside = (day_low <= days) & (days <= day_high)
        yield (
            float(((low <= came) & (came <= high)).mean()),
            float(inside.mean()),
            float(((day_high - day_low) / days).mean()),
        )


if __name__ == "__main__":
    cycle()
    if INFLOWS.exists():
        coverage()
