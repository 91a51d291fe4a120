"""A small town of pipes for tests: a grid of streets between two reservoirs, and what another engine says of it.

R1 --M1-- J00 - J01 - J02 - J03          hNM joins JNM to its neighbour on the right, vNM to the one below
           |     |     |     |
          J10 - J11 - J12 - J13
           |     |     |     |
          J20 - J21 - J22 - J23
           |     |     |     |
          J30 - J31 - J32 - J33 --M2-- R2       M1 and M2 are metered
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import wntr

from models.supply.tracks import Track
from twin.readings import ElementType, Sensor
from twin.units import Quantity

SIZE = 4
START = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
SENSORS = ("J01", "J03", "J11", "J13", "J20", "J22", "J31", "J33")
_PATTERN = "0.5 0.5 0.5 0.5 0.6 0.9 1.4 1.6 1.4 1.2 1.1 1.1\nDAY 1.2 1.1 1.0 1.0 1.1 1.3 1.5 1.6 1.3 1.0 0.7 0.5"


def grid_inp(*, closed: Iterable[str] = ()) -> str:
    """Return the INP of the town; `closed` pipes are closed in it."""
    shut = set(closed)
    nodes = [f"J{row}{column}" for row in range(SIZE) for column in range(SIZE)]
    across = [(f"h{r}{c}", f"J{r}{c}", f"J{r}{c + 1}") for r in range(SIZE) for c in range(SIZE - 1)]
    down = [(f"v{r}{c}", f"J{r}{c}", f"J{r + 1}{c}") for r in range(SIZE - 1) for c in range(SIZE)]
    streets = [(name, a, b, 400, 150) for name, a, b in (*across, *down)]
    mains = [("M1", "R1", "J00", 300, 250), ("M2", "R2", "J33", 300, 250)]
    pipes = (
        f"{name} {a} {b} {length} {mm} 110 0 {'Closed' if name in shut else 'Open'}"
        for name, a, b, length, mm in (*mains, *streets)
    )
    return "\n".join(
        [
            "[JUNCTIONS]",
            *(f"{name} {10 + number % 3} {1.0 + number % 4} DAY" for number, name in enumerate(nodes)),
            "[RESERVOIRS]\nR1 70\nR2 68",
            "[PIPES]",
            *pipes,
            f"[PATTERNS]\nDAY {_PATTERN}",
            "[TIMES]\nDuration 72:00\nHydraulic Timestep 0:20\nReport Timestep 0:20\nPattern Timestep 1:00",
            "[OPTIONS]\nUnits LPS\nHeadloss H-W\nAccuracy 0.0001",
            "[END]",
        ]
    )


def real_town(
    folder: Path, change: Callable[[Any], None] | None = None, *, seed: int = 1, closed: Iterable[str] = ()
) -> list[Track]:
    """Return what the sensors of the "real" town read in 72 h, as WNTR's EPANET 2.2 has it.

    Its pipes are up to 5 % rougher or smoother than the model's, its consumers draw up to 10 % more or less; `change`
    does to it (a WNTR model) what else is different.
    """
    path = folder / "real.inp"
    path.write_text(grid_inp(closed=closed), encoding="utf-8")
    town = wntr.network.WaterNetworkModel(str(path))
    random = np.random.default_rng(seed)
    for _, pipe in town.pipes():
        pipe.roughness *= random.uniform(0.95, 1.05)
    for _, junction in town.junctions():
        junction.demand_timeseries_list[0].base_value *= random.uniform(0.9, 1.1)
    if change is not None:
        change(town)
    before = Path.cwd()
    os.chdir(folder)
    try:
        results = wntr.sim.EpanetSimulator(town).run_sim()
    finally:
        os.chdir(before)
    times_s = results.node["pressure"].index.to_numpy(dtype=np.float64) + START.timestamp()
    pressures = [
        Track(_sensor(Quantity.PRESSURE, ElementType.NODE, node), times_s, values.to_numpy(dtype=np.float64))
        for node, values in results.node["pressure"][list(SENSORS)].items()
    ]
    flows = [
        Track(_sensor(Quantity.FLOW, ElementType.LINK, link), times_s, values.to_numpy(dtype=np.float64))
        for link, values in results.link["flowrate"][["M1", "M2"]].items()
    ]
    return [*pressures, *flows]


def close_at(link: str, hour: float) -> Callable[[Any], None]:
    """Return what closes a link of a WNTR model at an hour."""

    def change(town: Any) -> None:
        control = wntr.network.controls
        town.add_control(
            "closing",
            control.Control(
                control.SimTimeCondition(town, ">=", hour * 3600),
                control.ControlAction(town.get_link(link), "status", wntr.network.LinkStatus.Closed),
            ),
        )

    return change


def close_between(link: str, hour: float, until_hour: float) -> Callable[[Any], None]:
    """Return what closes a link of a WNTR model at an hour and opens it at a later one."""

    def change(town: Any) -> None:
        close_at(link, hour)(town)
        control = wntr.network.controls
        town.add_control(
            "opening",
            control.Control(
                control.SimTimeCondition(town, ">=", until_hour * 3600),
                control.ControlAction(town.get_link(link), "status", wntr.network.LinkStatus.Opened),
            ),
        )

    return change


def leak_at(node: str, hour: float, diameter_m: float) -> Callable[[Any], None]:
    """Return what breaks a hole open at a node of a WNTR model at an hour: its flow, drawn as demand."""

    def change(town: Any) -> None:
        m3s = 0.75 * np.pi * diameter_m**2 / 4 * np.sqrt(2 * 9.81 * 50)
        step = int(hour)
        town.add_pattern("burst", [0.0] * step + [1.0] * (72 - step))
        town.get_node(node).add_demand(m3s, "burst")

    return change


def write_tables(folder: Path, tracks: Iterable[Track]) -> None:
    """Write tracks as the SCADA tables of a folder: pressures in m, flows in m3/h."""
    folder.mkdir(exist_ok=True)
    known = list(tracks)
    for quantity, factor in ((Quantity.PRESSURE, 1.0), (Quantity.FLOW, 3600.0)):
        columns = {
            track.sensor.element_id: pd.Series(track.values * factor, pd.to_datetime(track.times_s, unit="s"))
            for track in known
            if track.sensor.quantity is quantity
        }
        pd.DataFrame(columns).rename_axis("Timestamp").to_parquet(folder / f"x_{quantity}s.parquet")


def _sensor(quantity: Quantity, kind: ElementType, element: str) -> Sensor:
    return Sensor(f"{quantity}:{element}", quantity, element_type=kind, element_id=element, expected_every_s=1200)
