"""Running a prepared project and keeping what it computed, in SI, checked for sense.

EPANET may run "without error" and give pressures of -1e36 m, end early, or go on unbalanced: such a run is no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing

import numpy as np

from models.supply.connectivity import source_graph
from models.supply.epanet import NodeValue, TimeValue, warning_text
from models.supply.facts import ModelFacts
from models.supply.open_supply import Setup
from models.supply.recording import Recording
from models.supply.results import HOUR_S, Results
from twin.errors import ModelError

_GREATEST_HEAD_M = 1e5
_GREATEST_RELATIVE_ERROR = 0.05
_GREATEST_IMBALANCE = 0.01
_UNBALANCED = 1
_NO_FLOW_M3S = 1e-5
_NO_VOLUME_M3 = 0.1  # EPANET lets some 1e-8 m3/s pass where nothing flows


def run(setup: Setup, *, wall_limit_s: float, before_step: Callable[[int], None] | None = None) -> Results:
    """Run a project as it is set up; `before_step` is called with the model time in seconds before each solution.

    Raises:
        ModelError: If the run fails, ends early, does not converge, yields impossible heads or loses water.
    """
    results = record(setup, wall_limit_s=wall_limit_s, before_step=before_step)
    check_mass_balance(results, setup)
    return results


def record(
    setup: Setup,
    *,
    wall_limit_s: float,
    before_step: Callable[[int], None] | None = None,
    with_quality: bool = False,
) -> Results:
    """Run a project and leave its water balance to the caller: it does not hold where levels are set in the middle.

    Raises:
        ModelError: If the run fails, ends early, does not converge or yields impossible heads.
    """
    project, facts, unbalanced = setup.project, setup.facts, 0.0
    steps = project.steps(wall_limit_s=wall_limit_s, before_step=before_step, with_quality=with_quality)
    with closing(Recording(setup, with_quality=with_quality)) as recording:
        for now_s in steps:
            recording.note(now_s)
            if project.warning == _UNBALANCED:
                unbalanced = max(unbalanced, project.relative_error)
    results = recording.results(
        tuple(f"{warning_text(code)} ({n} steps)" for code, n in sorted(project.warnings.items()))
    )
    _check_values(results, facts)
    _check_flows(results, facts)
    _check_convergence(unbalanced)
    return results


def _check_values(results: Results, facts: ModelFacts) -> None:
    """Refuse heads that no network has. Nodes without a source are left out: there EPANET's heads mean nothing."""
    if max(results.head_m.max(), -results.head_m.min()) < _GREATEST_HEAD_M:  # not so if one is NaN
        return
    absurd = ~(np.abs(results.head_m) < _GREATEST_HEAD_M)
    graph = source_graph(facts)
    for row in np.flatnonzero(absurd.any(axis=1)):
        sourced = absurd[row] & graph.with_source(results.is_open[row], results.head_m[row], results.is_inflow[row])
        if sourced.any():
            column = int(np.flatnonzero(sourced)[0])
            raise ModelError(
                f"node {facts.node_ids[column]} has a head of {results.head_m[row, column]:.3g} m after "
                f"{results.times_s[row]} s: the model's data are not plausible"
            )


def _check_flows(results: Results, facts: ModelFacts) -> None:
    if not np.isfinite(results.flow_m3s.sum()):
        column = int(np.nonzero(~np.isfinite(results.flow_m3s))[1][0])
        raise ModelError(f"link {facts.link_ids[column]} has no finite flow")


def _check_convergence(relative_error: float) -> None:
    if relative_error > _GREATEST_RELATIVE_ERROR:
        raise ModelError(
            f"{warning_text(_UNBALANCED)} The flows still change by {relative_error:.0%} of their sum, "
            f"{_GREATEST_RELATIVE_ERROR:.0%} are tolerated"
        )


def check_mass_balance(results: Results, setup: Setup, *, from_s: int = 0) -> None:
    """Make sure that from a moment on water is neither made nor lost: what flows out of reservoirs, and in at
    junctions, must arrive at consumers or stay in tanks (within 1 %).

    Raises:
        ModelError: If it does not.
    """
    first = int(np.searchsorted(results.times_s, from_s))
    steps_s = np.diff(results.times_s[first:]).astype(np.float64)
    if not len(steps_s):
        return
    graph = source_graph(setup.facts)
    demand_m3s = results.demand_m3s[first:-1]
    moved = steps_s @ demand_m3s
    stored = results.tank_volume_m3[-1] - results.tank_volume_m3[first]
    spills = graph.tanks & (setup.project.node_values(NodeValue.CAN_OVERFLOW) > 0)
    stored = np.where(spills, moved, stored)[graph.tanks].sum()
    reservoirs, junctions = moved[graph.reservoirs].sum(), moved[graph.junctions].sum()
    through = (steps_s @ np.abs(demand_m3s)).sum() / 2
    missing_m3 = abs(reservoirs + junctions + stored)
    error = missing_m3 / through if through > 0 else 0.0
    if error > _GREATEST_IMBALANCE and missing_m3 > _NO_VOLUME_M3:
        raise ModelError(f"the run's water balance is off by {error:.1%}; {_GREATEST_IMBALANCE:.0%} are tolerated")


def check_held(results: Results, facts: ModelFacts, held: Collection[str], *, from_s: int = 0) -> None:
    """Make sure that links held closed stayed closed from a moment on.

    Raises:
        ModelError: If one opened or let water through.
    """
    rows = results.times_s >= from_s
    for link_id in held:
        column = facts.link_ids.index(link_id)
        if results.is_open[rows, column].any() or (np.abs(results.flow_m3s[rows, column]) > _NO_FLOW_M3S).any():
            raise ModelError(f"link {link_id} should be held closed, but the run opened it")


def prepare_times(setup: Setup, *, duration_s: int, pattern_start_s: int, start_clock_s: int) -> None:
    """Set a run's times: solutions at least hourly and on every whole hour."""
    setup.set_time(TimeValue.DURATION, duration_s)
    step_s = min(setup.project.time(TimeValue.HYDRAULIC_STEP), HOUR_S)
    setup.set_time(TimeValue.REPORT_START, 0)
    setup.set_time(TimeValue.REPORT_STEP, HOUR_S)
    setup.set_time(TimeValue.HYDRAULIC_STEP, step_s)
    setup.set_time(TimeValue.PATTERN_START, pattern_start_s)
    setup.set_time(TimeValue.START_CLOCK, start_clock_s)
