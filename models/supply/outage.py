"""Who runs short when links are closed: pressure-driven, cold from the model's time 0, closed from a given hour on.

A junction is short if it gets less than 80 % of what its consumers want in the hours looked at. Demand is consumers'
demand alone: what leaks is none, and what is put in is none either.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import gcd
from typing import Any, Protocol

import numpy as np

from models.pool import EnginePool
from models.supply.connectivity import Booleans, source_graph
from models.supply.epanet import NodeType, Option, TimeValue
from models.supply.facts import Floats, ModelFacts
from models.supply.open_supply import OpenSupply, Setup, open_supply
from models.supply.outages import ENOUGH_DELIVERED
from models.supply.results import HOUR_S, Results
from models.supply.simulation import check_held, prepare_times, run
from twin.errors import InputError, ModelError

REQUIRED_PRESSURE_M = 10.0
EXTRA_TRIALS = 10
_PATIENT_TRIALS = 200
_MOST_AT_ONCE = 50
_MOST_NODES_AT_ONCE = 50_000
_LEAST_DEMAND_M3 = 1e-6
_LEAST_RATE_M3S = 1e-12


class ClosureTask(Protocol):
    """Answers closures of an INP one by one in an engine worker, within a wall time."""

    def __call__(self, inp: bytes, closures: Sequence[Closure], wall_limit_s: float, /) -> list[dict[str, Any]]:
        """Return one answer for each closure, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class Closure:
    """Links closed from `start_s` of the model's time on, looked at for `duration_s`.

    `opened` are pipes and valves that the INP has closed and nothing else opens: they are open for the whole run.
    """

    links: tuple[str, ...]
    start_s: int = 0
    duration_s: int = 24 * HOUR_S
    required_pressure_m: float = REQUIRED_PRESSURE_M
    opened: tuple[str, ...] = ()


def answers_in_turn(
    task: ClosureTask, inp: bytes, closures: Sequence[Closure], pool: EnginePool, *, time_limit_s: float | None = None
) -> Iterator[dict[str, Any]]:
    """Yield a task's answer for each closure in order, worked out by all of the pool's workers; see `outages`.

    Raises:
        InputError: If the INP is refused, or a link is not in it; the message names the link.
        ModelError: If a batch crashed its worker or took too long.
    """
    limit_s = pool.time_limit_s if time_limit_s is None else time_limit_s
    links = [link_id for closure in closures for link_id in closure.links]
    nodes = pool.run(require_links, inp, links, time_limit_s=limit_s)
    portion = max(1, min(_MOST_AT_ONCE, _MOST_NODES_AT_ONCE // nodes, -(-len(closures) // (2 * pool.workers))))
    batches = [closures[first : first + portion] for first in range(0, len(closures), portion)]
    with ThreadPoolExecutor(max_workers=pool.workers) as callers:
        answers = [callers.submit(pool.run, task, inp, batch, 0.9 * limit_s, time_limit_s=limit_s) for batch in batches]
        try:
            for answer in answers:
                yield from answer.result()
        finally:
            for answer in answers:
                answer.cancel()


def require_links(inp: bytes, links: Sequence[str]) -> int:
    """Make sure, in an engine worker, that a model has these links, and return how many nodes it has.

    Raises:
        InputError: If one is missing, or the INP is refused.
    """
    facts = open_supply(inp).facts
    known = set(facts.link_ids)
    if unknown := [link_id for link_id in links if link_id not in known]:
        raise InputError(f"the network has no link {', '.join(unknown)}")
    return len(facts.node_ids)


def outages(inp: bytes, closures: Sequence[Closure], wall_limit_s: float) -> list[dict[str, Any]]:
    """Answer for each closure, in an engine worker: `{close, junctions, junctions_short, ...}`, or `{close, error}`.

    Raises:
        InputError: If the INP is refused.
    """
    supply = open_supply(inp)
    return [_answer(supply, closure, wall_limit_s / len(closures)) for closure in closures]


def run_closure(supply: OpenSupply, closure: Closure, *, wall_limit_s: float) -> Results:
    """Run a closure; the results begin at the model's time 0.

    Where the INP's number of trials leaves a step too far from a solution, the run is made again with more of them.

    Raises:
        ModelError: If the run gives no believable answer.
    """
    begin = time.monotonic()
    try:
        return _run(supply, closure, wall_limit_s=wall_limit_s)
    except ModelError:
        left_s = wall_limit_s - (time.monotonic() - begin)
        if left_s <= 0:
            raise
    return _run(supply, closure, wall_limit_s=left_s, trials=_PATIENT_TRIALS)


def _run(supply: OpenSupply, closure: Closure, *, wall_limit_s: float, trials: int | None = None) -> Results:
    with supply.setup() as setup:
        links = [supply.facts.link_ids.index(link_id) + 1 for link_id in closure.links]
        setup.set_pressure_driven(closure.required_pressure_m)
        setup.set_option(Option.UNBALANCED_TRIALS, EXTRA_TRIALS)
        if trials is not None:
            setup.set_option(Option.TRIALS, trials)
        clock = supply.facts.clock
        prepare_times(
            setup,
            duration_s=closure.start_s + closure.duration_s,
            pattern_start_s=clock.pattern_start_s,
            start_clock_s=clock.start_clock_s,
        )
        setup.set_time(TimeValue.REPORT_STEP, gcd(HOUR_S, closure.start_s, closure.duration_s))
        for link_id in closure.opened:
            setup.set_status(supply.facts.link_ids.index(link_id) + 1, is_open=True)
        if closure.start_s == 0:
            for link in links:
                setup.hold_closed(link)
        shutter = _Shutter(setup, links, closure.start_s) if closure.start_s else None
        results = run(setup, wall_limit_s=wall_limit_s, before_step=shutter)
    check_held(results, supply.facts, closure.links, from_s=closure.start_s)
    return results


class _Shutter:
    """Closes links when the run gets to a moment, and never again."""

    def __init__(self, setup: Setup, links: Sequence[int], at_s: int) -> None:
        self._setup, self._links, self._at_s = setup, links, at_s
        self._is_done = False

    def __call__(self, now_s: int) -> None:
        if self._is_done or now_s < self._at_s:
            return
        self._is_done = True
        for link in self._links:
            self._setup.shut(link)


def _answer(supply: OpenSupply, closure: Closure, wall_limit_s: float) -> dict[str, Any]:
    close = list(closure.links)
    try:
        results = run_closure(supply, closure, wall_limit_s=wall_limit_s)
    except ModelError as error:
        return {"close": close, "error": str(error)}
    return {"close": close, **_words(results, supply.facts, closure)}


def _words(results: Results, facts: ModelFacts, closure: Closure) -> dict[str, Any]:
    found = shortfall(results, facts, closure)
    lowest_m = pressures_m(results, facts, _rows(results, closure)).min(axis=0)
    return {
        "start_h": closure.start_s / HOUR_S,
        "hours": closure.duration_s / HOUR_S,
        "required_pressure_m": closure.required_pressure_m,
        "engine": facts.engine,
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
        "warnings": list(results.warnings),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Shortfall:
    """What each node (by position; only junctions can be short) wants and gets in the hours looked at.

    `first_short_at_h` is the model's time of the first solution in which less than 80 % is delivered, NaN for none.
    """

    demand_m3: Floats
    delivered_m3: Floats
    is_short: Booleans
    first_short_at_h: Floats


def shortfall(results: Results, facts: ModelFacts, closure: Closure) -> Shortfall:
    """Judge a closure's run: volumes are the sums of rate x step."""
    rows = _rows(results, closure)
    times_s = results.times_s[rows]
    steps_s = np.diff(times_s)[:, None]
    full, delivered = results.full_m3s[rows], results.delivered_m3s[rows]
    demand_m3, delivered_m3 = ((rates[:-1] * steps_s).sum(axis=0) for rates in (full, delivered))
    is_junction = np.array([kind is NodeType.JUNCTION for kind in facts.node_types])
    is_short = is_junction & (demand_m3 > _LEAST_DEMAND_M3) & (delivered_m3 < ENOUGH_DELIVERED * demand_m3)
    below = (full > _LEAST_RATE_M3S) & (delivered < ENOUGH_DELIVERED * full)
    first = np.where(below.any(axis=0), times_s[below.argmax(axis=0)] / HOUR_S, np.nan)
    return Shortfall(demand_m3, delivered_m3, is_short, first)


def _rows(results: Results, closure: Closure) -> slice:
    return slice(int(np.searchsorted(results.times_s, closure.start_s)), len(results.times_s))


def pressures_m(results: Results, facts: ModelFacts, rows: slice) -> Floats:
    """Return pressures where there is a source, else 0: EPANET keeps pipes full behind a closed valve."""
    graph = source_graph(facts)
    wet = np.array(
        [
            graph.with_source(*values)
            for values in zip(results.is_open[rows], results.head_m[rows], results.is_inflow[rows], strict=True)
        ]
    )
    return np.where(wet, results.head_m[rows] - facts.elevation_m, 0.0)
