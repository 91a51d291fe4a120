"""One supply cycle on C-Town against EPANET's bare loop of the same 48 hours, in one run of this file.

The bare loop opens the same text with the same library, sets the same horizon and demand model, and reads nothing.
Run from the project's root: python -m tests.benchmarks.bench_supply
"""

from __future__ import annotations

import csv
import gzip
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from models.networks.ctown import SCADA_CSV, SENSORS_CSV, SUPPLY_INP
from models.pool import EnginePool
from models.supply.epanet import DemandModel, Project, TimeValue
from models.supply.inp import vet_inp
from models.supply.model import EpanetSupply
from twin.ports import SupplyRequest
from twin.readings import ElementType, Reading, Sensor, reading_from_raw
from twin.units import Quantity

HOURS = 48
HISTORY_H = 14 * 24
REPEATS = 15


def demo_sensors() -> dict[str, Sensor]:
    with SENSORS_CSV.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["sensor_id"]: Sensor(
            row["sensor_id"],
            Quantity(row["quantity"]),
            unit=row["unit"],
            element_type=ElementType(row["element_type"]),
            element_id=row["element_id"],
            district=row["district"],
            expected_every_s=float(row["expected_every_s"] or 300),
        )
        for row in rows
        if row["element_type"] in ("node", "link")
    }


def demo_request(sensors: dict[str, Sensor]) -> SupplyRequest:
    with gzip.open(SCADA_CSV, "rt", newline="") as file:
        rows = list(csv.DictReader(file))[:HISTORY_H]
    time_column = next(iter(rows[0]))
    start = datetime(2016, 7, 4, tzinfo=UTC)
    history: dict[str, list[Reading]] = {}
    for hour, row in enumerate(rows):
        at = start + timedelta(hours=hour)
        for name, text in row.items():
            if name != time_column and name in sensors and text:
                reading = reading_from_raw(sensors[name], observed_at=at, available_at=at, raw_value=float(text))
                history.setdefault(name, []).append(reading)
    latest = {name: readings[-1] for name, readings in history.items()}
    return SupplyRequest("bench", at, sensors, latest, history, horizon_s=HOURS * 3600)


def median_s(work: Callable[[], object]) -> float:
    work()
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def bare_loop(text: str, *, pressure_driven: bool) -> None:
    with Project(text) as project:
        if pressure_driven:
            project.set_demand_model(DemandModel(True, 0.0, project.units.engine_pressure(10.0), 0.5))
        project.set_time(TimeValue.DURATION, HOURS * 3600)
        for _ in project.steps():
            pass


def main() -> None:
    inp = SUPPLY_INP.read_bytes()
    sensors = demo_sensors()
    request = demo_request(sensors)
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, EnginePool(1) as pool:
        supply = EpanetSupply(inp, pool, model_id="C-Town", sensors=sensors.values())
        begin = time.perf_counter()
        supply.run(request)
        first_s = time.perf_counter() - begin
        cycle_s = median_s(lambda: supply.run(request))
        os.chdir(folder)
        text = vet_inp(inp)
        driven_s = median_s(lambda: bare_loop(text, pressure_driven=True))
        plain_s = median_s(lambda: bare_loop(text, pressure_driven=False))
        os.chdir(here)
    readings = sum(len(found) for found in request.history.values())
    print(f"C-Town, {HOURS} h, {readings} readings of history, median of {REPEATS}")
    print(f"first run, engines cold      {first_s * 1e3:8.1f} ms")
    print(f"supply cycle                 {cycle_s * 1e3:8.1f} ms")
    print(f"bare loop, pressure-driven   {driven_s * 1e3:8.1f} ms   cycle / loop = {cycle_s / driven_s:.1f}")
    print(f"bare loop, as the INP says   {plain_s * 1e3:8.1f} ms   cycle / loop = {cycle_s / plain_s:.1f}")


if __name__ == "__main__":
    main()
