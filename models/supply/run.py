"""A plain run of a model: cold from its time 0, as its INP says, with every node and link in SI."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.pool import EnginePool
from models.supply.epanet import NodeType, Option
from models.supply.facts import Floats
from models.supply.loader import model_hash
from models.supply.open_supply import open_supply
from models.supply.results import HOUR_S
from models.supply.simulation import prepare_times, run
from twin.errors import InputError

_LONGEST_H = 24 * 366
_CONTINUE_TRIALS = 10


def run_network(inp: bytes, pool: EnginePool, *, hours: int, time_limit_s: float | None = None) -> dict[str, Any]:
    """Run a network for `hours` in an engine worker and return one value per whole hour, both ends included.

    The answer is `{model_hash, engine, hours, times_h: [...], nodes: {id: {type, head_m, pressure_m, demand_m3s}},
    links: {id: {type, flow_m3s, open}}, totals: {demand_m3, delivered_m3}, warnings: [...]}`. Flow is positive from
    start to end node; demand is what leaves at a node (at a tank: what flows in, at a reservoir: negative outflow).

    Raises:
        InputError: If the INP is refused or cannot be read, or `hours` is out of range.
        ModelError: If the run gives no believable answer.
    """
    if not 0 <= hours <= _LONGEST_H:
        raise InputError(f"hours must be from 0 to {_LONGEST_H}, not {hours}")
    limit_s = pool.time_limit_s if time_limit_s is None else time_limit_s
    return pool.run(_run_here, inp, hours, 0.9 * limit_s, time_limit_s=limit_s)


def _run_here(inp: bytes, hours: int, wall_limit_s: float) -> dict[str, Any]:
    supply = open_supply(inp)
    facts = supply.facts
    with supply.setup() as setup:
        clock = facts.clock
        if setup.project.option(Option.UNBALANCED_TRIALS) < 0:
            setup.set_option(Option.UNBALANCED_TRIALS, _CONTINUE_TRIALS)
        prepare_times(
            setup,
            duration_s=hours * HOUR_S,
            pattern_start_s=clock.pattern_start_s,
            start_clock_s=clock.start_clock_s,
        )
        results = run(setup, wall_limit_s=wall_limit_s)
    rows = results.hours
    pressure_m = results.head_m - facts.elevation_m
    return {
        "model_hash": model_hash(inp),
        "engine": facts.engine,
        "hours": hours,
        "times_h": (results.times_s[rows] / HOUR_S).tolist(),
        "nodes": {
            node_id: {
                "type": NodeType(kind).name.lower(),
                "head_m": _listed(results.head_m[rows, column]),
                "pressure_m": _listed(pressure_m[rows, column]),
                "demand_m3s": _listed(results.demand_m3s[rows, column]),
            }
            for column, (node_id, kind) in enumerate(zip(facts.node_ids, facts.node_types, strict=True))
        },
        "links": {
            link_id: {
                "type": kind.name.lower(),
                "flow_m3s": _listed(results.flow_m3s[rows, column]),
                "open": results.is_open[rows, column].tolist(),
            }
            for column, (link_id, kind) in enumerate(zip(facts.link_ids, facts.link_types, strict=True))
        },
        "totals": {
            "demand_m3": float(results.volumes_m3(np.asarray(results.full_m3s)).sum()),
            "delivered_m3": float(results.volumes_m3(results.delivered_m3s).sum()),
        },
        "warnings": list(results.warnings),
    }


def _listed(values: Floats) -> list[float]:
    listed: list[float] = values.tolist()
    return listed
