"""Junctions short after pipe closures: `h2twin supply outage` against WNTRSimulator, over the networks both can run.

WNTRSimulator solves other equations in Python, some thousand times slower: each network has a budget of time, and as
many closures, spread evenly over its pipes, as fit in there. Both run 24 h pressure-driven (from 0 to 10 m unless
given, exponent 0.5), cold, at the INP's hydraulic step. Run from the project's root, alone or for some networks only:
`nice -n 19 .venv/bin/python tests/benchmarks/bench_supply_closures.py [--closures 40] [--budget-s 20]
[--required-pressure-m 10] [INP ...]`
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.outage import Closure, answers_in_turn, outages

HOURS, ENOUGH = 24, 0.8
ON_THE_EDGE = 0.02
WNTR_NETWORKS = Path(str(files("wntr"))) / "library" / "networks"
SHARED = Path(__file__).parents[3] / "shared" / "data"
NETWORKS = [
    *(WNTR_NETWORKS / f"{name}.inp" for name in ("Net3", "Net1", "Net2")),
    *(SHARED / "networks" / f"{name}.inp" for name in ("Anytown", "modena", "d-town", "Balerma")),
    SUPPLY_INP,
    *(SHARED / "networks" / f"{name}.inp" for name in ("Richmond_standard", "L-TOWN", "ky4", "EXN", "BWSN_Network_2")),
]


@dataclass
class Row:
    """What a network's closures gave; `told_apart` are junctions only one of the two calls short."""

    ran: int = 0
    not_by_ours: int = 0
    not_by_wntr: int = 0
    ours: int = 0
    theirs: int = 0
    both: int = 0
    edge: int = 0
    ours_s: float = 0.0
    theirs_s: float = 0.0
    told_apart: list[str] = field(default_factory=list)


def shares_by_wntr(path: Path, pipe: str, required_m: float) -> dict[str, float]:
    """Return delivered over wanted volume of 24 h for every consumer."""
    import wntr

    model = wntr.network.WaterNetworkModel(str(path))
    step_s = min(int(model.options.time.hydraulic_timestep), 3600)
    model.options.time.duration = HOURS * 3600
    model.options.time.hydraulic_timestep = model.options.time.report_timestep = step_s
    model.options.time.report_start = 0
    model.options.hydraulic.demand_model = "PDD"
    model.options.hydraulic.minimum_pressure = 0.0
    model.options.hydraulic.required_pressure = required_m
    model.options.hydraulic.pressure_exponent = 0.5
    link = model.get_link(pipe)
    link.check_valve = False
    link.initial_status = "CLOSED"
    leave_alone(model, link)
    demand = wntr.sim.WNTRSimulator(model).run_sim().node["demand"]
    if demand.index[-1] != HOURS * 3600:
        raise ValueError(f"it ended after {demand.index[-1]} s")
    wanted = wntr.metrics.hydraulic.expected_demand(model).iloc[: len(demand) - 1].clip(lower=0).sum()
    got = demand.iloc[:-1].clip(lower=0).sum()
    return {node: got[node] / wanted[node] for node in model.junction_name_list if wanted[node] * step_s > 1e-6}


def leave_alone(model: Any, link: Any) -> None:
    """Take a link away from all controls and rules."""
    for name, control in list(model.controls()):
        for actions in (control._then_actions, control._else_actions):
            actions[:] = [action for action in actions if action.target()[0] is not link]
        if not control._then_actions and not control._else_actions:
            model.remove_control(name)


def pipes_of(path: Path, most: int) -> list[str]:
    import wntr

    pipes = wntr.network.WaterNetworkModel(str(path)).pipe_name_list
    return list(pipes[:: max(1, len(pipes) // most)][:most])


def compare(path: Path, most: int, budget_s: float, required_m: float, pool: EnginePool) -> Row:
    row, pipes = Row(), pipes_of(path, most)
    closures = [Closure((pipe,), required_pressure_m=required_m) for pipe in pipes]
    begin = time.perf_counter()
    answers = list(answers_in_turn(outages, path.read_bytes(), closures, pool))
    row.ours_s = (time.perf_counter() - begin) / len(pipes)
    row.not_by_ours = sum("error" in answer for answer in answers)
    begin = time.perf_counter()
    for pipe, answer in spread(list(zip(pipes, answers, strict=True))):
        if "error" in answer:
            continue
        if time.perf_counter() - begin > budget_s:
            break
        try:
            shares = shares_by_wntr(path, pipe, required_m)
        except NotImplementedError:
            raise
        except Exception as error:
            print(f"  {path.stem} {pipe}: WNTRSimulator: {type(error).__name__}: {str(error)[:150]}", flush=True)
            row.not_by_wntr += 1
            continue
        judge(row, pipe, shares, answer)
    tried = row.ran + row.not_by_wntr
    row.theirs_s = (time.perf_counter() - begin) / tried if tried else 0.0
    return row


def spread(items: list[Any]) -> list[Any]:
    """Return items so that the first few are spread over all of them."""
    order = sorted(range(len(items)), key=lambda n: int(f"{n:016b}"[::-1], 2))
    return [items[n] for n in order]


def judge(row: Row, pipe: str, shares: dict[str, float], answer: dict[str, Any]) -> None:
    row.ran += 1
    theirs = {node for node, share in shares.items() if share < ENOUGH}
    ours = set(answer["junctions_short"])
    row.ours, row.theirs, row.both = row.ours + len(ours), row.theirs + len(theirs), row.both + len(ours & theirs)
    for node in sorted(ours ^ theirs):
        found = answer["junctions"][node]
        mine, other = found["delivered_m3"] / found["demand_m3"], shares.get(node, float("nan"))
        if abs(mine - ENOUGH) < ON_THE_EDGE or abs(other - ENOUGH) < ON_THE_EDGE:
            row.edge += 1
        else:
            row.told_apart.append(f"{pipe}: {node} {mine:.3f} / {other:.3f}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--closures", type=int, default=40)
    parser.add_argument("--budget-s", type=float, default=20.0)
    parser.add_argument("--required-pressure-m", type=float, default=10.0)
    parser.add_argument("networks", nargs="*", type=Path)
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    print("| network | closures | no answer (ours, WNTR) | short: ours | WNTR | both | edge | clear | s: ours | WNTR |")
    with EnginePool(2) as pool:
        for path in given.networks or NETWORKS:
            try:
                row = compare(path, given.closures, given.budget_s, given.required_pressure_m, pool)
            except Exception as error:
                print(f"| {path.stem} | does not run: {type(error).__name__}: {str(error)[:150]} |", flush=True)
                continue
            print(
                f"| {path.stem} | {row.ran} | {row.not_by_ours}, {row.not_by_wntr} | {row.ours} | {row.theirs} | "
                f"{row.both} | {row.edge} | {len(row.told_apart)} | {row.ours_s:.3f} | {row.theirs_s:.1f} |",
                flush=True,
            )
            for told in row.told_apart[:8]:
                print(f"  apart, share by ours / WNTR: {told}", flush=True)


if __name__ == "__main__":
    main()
