"""Runs of scenarios: cold from the model's time 0 or from the present, pressure-driven, each in an engine worker.

The answer of a scenario is the same, byte for byte, whatever ran before it and wherever it runs.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import reduce
from math import gcd
from typing import Any

import numpy as np

from models.pool import Engines
from models.supply.energy import pump_rates, pump_use
from models.supply.epanet import NodeType, Option, TimeValue
from models.supply.facts import ModelFacts
from models.supply.lookahead import begin_at
from models.supply.open_supply import OpenSupply, open_supply
from models.supply.outage import EXTRA_TRIALS, Closure, pressures_m, shortfall
from models.supply.results import HOUR_S, Results
from models.supply.scenarios.present import Present, together
from models.supply.scenarios.script import Script
from models.supply.simulation import prepare_times, run
from models.supply.state import SupplyState
from twin.errors import InputError, ModelError
from twin.scenarios import ActionKind, Scenario

_AT_ONCE = 20
_NEAR_M = 0.005

Answer = dict[str, Any]


def answers_in_turn(
    inp: bytes,
    scenarios: Sequence[Scenario],
    pool: Engines,
    *,
    time_limit_s: float | None = None,
    present: Present | None = None,
) -> Generator[Answer, None, None]:
    """Yield the answer of each scenario in order, worked out by all of the pool's workers.

    They begin with the network as it is at `present`, else with the model's own time 0.

    What a scenario's run could not say is `{name, error}`. A batch whose worker died is run again, one by one: no
    scenario is lost with another, and none is answered twice.

    Raises:
        InputError: If the INP is refused, or a scenario names what the network does not have.
    """
    limit_s = pool.time_limit_s if time_limit_s is None else time_limit_s
    courses = 1 + (0 if present is None else len(present.multipliers))
    portion = max(1, min(_AT_ONCE // courses, -(-len(scenarios) // (2 * pool.workers))))
    batches = [scenarios[first : first + portion] for first in range(0, len(scenarios), portion)]

    def ask(some: Sequence[Scenario]) -> list[Answer]:
        return pool.run(answers, inp, some, 0.9 * limit_s, present, time_limit_s=limit_s)

    def ask_again(some: Sequence[Scenario]) -> list[Answer]:
        try:
            return ask(some)
        except ModelError as error:
            if len(some) == 1:
                return [{"name": some[0].name, "error": str(error)}]
            return [answer for scenario in some for answer in ask_again([scenario])]

    with ThreadPoolExecutor(max_workers=pool.workers) as callers:
        waiting: list[Future[list[Answer]]] = [callers.submit(ask_again, batch) for batch in batches]
        try:
            for done in waiting:
                yield from done.result()
        finally:
            for done in waiting:
                done.cancel()


def answers(
    inp: bytes, scenarios: Sequence[Scenario], wall_limit_s: float, present: Present | None = None
) -> list[Answer]:
    """Answer scenarios of one model, in an engine worker.

    Raises:
        InputError: If the INP is refused, or a scenario names what the network does not have.
    """
    supply = open_supply(inp)
    return [_answer(supply, scenario, wall_limit_s / len(scenarios), present) for scenario in scenarios]


def _answer(supply: OpenSupply, scenario: Scenario, wall_limit_s: float, present: Present | None) -> Answer:
    try:
        if present is None:
            return _run(supply, scenario, wall_limit_s, None)
        answer = _run(supply, scenario, wall_limit_s, present.state)
        if len(present.multipliers):
            answer["ensemble"] = together(
                list(_members(supply, scenario, wall_limit_s, present)), len(present.multipliers)
            )
        return answer
    except ModelError as error:
        return {"name": scenario.name, "error": str(error)}
    except InputError as error:
        raise InputError(f"scenario {scenario.name}: {error}") from None


def _members(
    supply: OpenSupply, scenario: Scenario, wall_limit_s: float, present: Present
) -> Generator[Answer, None, None]:
    """Yield the answers of the members that have one, as long as there is time."""
    for state in present.courses:
        with suppress(ModelError):
            yield _run(supply, scenario, wall_limit_s, state)


def _run(supply: OpenSupply, scenario: Scenario, wall_limit_s: float, state: SupplyState | None) -> Answer:
    facts, clock = supply.facts, supply.facts.clock
    with supply.setup() as setup:
        rates = pump_rates(setup.project)
        setup.set_pressure_driven(scenario.required_pressure_m)
        setup.set_option(Option.UNBALANCED_TRIALS, EXTRA_TRIALS)
        if state is None:
            pattern_start_s = clock.pattern_start_s
            prepare_times(
                setup,
                duration_s=scenario.duration_s,
                pattern_start_s=pattern_start_s,
                start_clock_s=clock.start_clock_s,
            )
        else:
            pattern_start_s = begin_at(setup, state, scenario.duration_s)
        setup.set_time(TimeValue.REPORT_STEP, _common_step_s(scenario))
        results = run(setup, wall_limit_s=wall_limit_s, before_step=Script(setup, scenario))
    use = pump_use(results, facts, rates, pattern_start_s=pattern_start_s)
    return {
        "name": scenario.name,
        "hours": scenario.duration_s / HOUR_S,
        "required_pressure_m": scenario.required_pressure_m,
        "engine": facts.engine,
        **_junctions(results, facts, scenario),
        "tanks": _tanks(results, facts),
        "pumps": {
            pump: {
                "running_h": used.running_h,
                "volume_m3": used.volume_m3,
                "energy_kwh": used.energy_kwh,
                "standardised_kwh_m3_100m": used.standardised_kwh_m3_100m,
                "cost": used.cost,
            }
            for pump, used in use.items()
        },
        "energy_kwh": sum(used.energy_kwh for used in use.values()),
        "bursts": _bursts(results, facts, scenario),
        "warnings": list(results.warnings),
    }


def _common_step_s(scenario: Scenario) -> int:
    """Return a step that falls on every moment at which something begins or ends."""
    moments = [moment for action in scenario.actions for moment in (action.from_s, action.until_s or 0)]
    return reduce(gcd, moments, gcd(HOUR_S, scenario.duration_s))


def _junctions(results: Results, facts: ModelFacts, scenario: Scenario) -> Answer:
    whole = Closure((), 0, scenario.duration_s, scenario.required_pressure_m)
    found = shortfall(results, facts, whole)
    lowest_m = pressures_m(results, facts, slice(None)).min(axis=0)
    return {
        "junctions": {
            facts.node_ids[n]: {
                "demand_m3": float(found.demand_m3[n]),
                "delivered_m3": float(found.delivered_m3[n]),
                "min_pressure_m": float(lowest_m[n]),
                "first_short_at_h": None if np.isnan(found.first_short_at_h[n]) else float(found.first_short_at_h[n]),
            }
            for n, kind in enumerate(facts.node_types)
            if kind is NodeType.JUNCTION
        },
        "junctions_short": [facts.node_ids[n] for n in np.flatnonzero(found.is_short)],
        "totals": {"demand_m3": float(found.demand_m3.sum()), "delivered_m3": float(found.delivered_m3.sum())},
    }


def _tanks(results: Results, facts: ModelFacts) -> Answer:
    said = {}
    for tank_id, tank in facts.tanks.items():
        level_m = results.head_m[:, facts.node_ids.index(tank_id)] - tank.elevation_m
        said[tank_id] = {
            "start_level_m": float(level_m[0]),
            "end_level_m": float(level_m[-1]),
            "lowest_level_m": float(level_m.min()),
            "highest_level_m": float(level_m.max()),
            "empty_at_h": _first_h(results, level_m <= tank.min_level_m + _NEAR_M),
            "full_at_h": _first_h(results, level_m >= tank.max_level_m - _NEAR_M),
        }
    return said


def _first_h(results: Results, when: np.ndarray[Any, np.dtype[np.bool_]]) -> float | None:
    return float(results.times_s[int(when.argmax())]) / HOUR_S if when.any() else None


def _bursts(results: Results, facts: ModelFacts, scenario: Scenario) -> Answer:
    """Return what each burst let out: all that leaves its node less what consumers there get (m3)."""
    said = {}
    for action in scenario.actions:
        if action.kind is ActionKind.BURST:
            node = facts.node_ids.index(action.elements[0])
            out = np.where(results.is_inflow, 0.0, results.demand_m3s - results.delivered_m3s)[:, [node]]
            said[action.elements[0]] = {"lost_m3": float(results.volumes_m3(out)[0])}
    return said
