"""The look-ahead: the network from its state at T0 through the coming hours, in an engine worker.

Pressure-driven (no delivery at 0, all from the required pressure on, exponent 0.5), a cold start from the state at
T0, with the model's clock and patterns aligned to T0, so that daily controls act when they should.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache

import numpy as np

from models.supply.connectivity import Booleans, hours_with_source
from models.supply.controls import timer_cycle_s
from models.supply.energy import PumpUse, pump_rates, pump_use
from models.supply.epanet import ControlType, LinkType, NodeType, NodeValue, Option, TimeValue
from models.supply.facts import DAY_S, ControlKind, Floats, ModelFacts
from models.supply.open_supply import OpenSupply, Setup, open_supply
from models.supply.outages import Causes, Ordinary, ordinary, predict_outages
from models.supply.results import HOUR_S, Results
from models.supply.simulation import check_held, prepare_times, run
from models.supply.state import SupplyState
from models.supply.tanks import tank_outlooks
from twin.forecasts import ForecastSeries, PredictedOutage, TankOutlook
from twin.units import Quantity

_EXTRA_TRIALS = 10
_LEAST_TRIALS = 200
_LOOSEST_ACCURACY = 1e-3  # at 1e-2, which many files say, a short run loses more than 1 % of its water
_SHORTEST_ORDINARY_S = DAY_S
_LONGEST_ORDINARY_S = 7 * DAY_S
_KNOWN_RUNS = 16


@dataclass(frozen=True, slots=True)
class SensorPlace:
    """Where and what a sensor measures."""

    element_type: str
    element_id: str
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class LookaheadTask:
    """All that a worker needs for one look-ahead."""

    inp: bytes
    issued_at: datetime
    zone: tzinfo
    horizon_s: int
    required_pressure_m: float
    state: SupplyState
    places: tuple[SensorPlace, ...]
    wall_limit_s: float


@dataclass(frozen=True, slots=True)
class Lookahead:
    """What a look-ahead says, per whole hour from T0 on."""

    hours: int
    outages: tuple[PredictedOutage, ...]
    tanks: tuple[TankOutlook, ...]
    pumps: Mapping[str, PumpUse]
    series: tuple[ForecastSeries, ...]
    demand_m3: float
    delivered_m3: float
    warnings: tuple[str, ...]


def look_ahead(task: LookaheadTask) -> Lookahead:
    """Run one look-ahead in this process, which must be an engine worker.

    Raises:
        ModelError: If the run gives no believable answer.
    """
    supply = open_supply(task.inp)
    usual = _ordinary(supply, task.required_pressure_m, task.wall_limit_s)
    facts, state = supply.facts, task.state
    duration_s = -(-task.horizon_s // HOUR_S) * HOUR_S
    pattern_start_s = facts.clock.pattern_start_s + state.model_time_s
    with supply.setup() as setup:
        rates = pump_rates(setup.project)
        prepare(setup, task.required_pressure_m)
        prepare_times(
            setup,
            duration_s=duration_s,
            pattern_start_s=pattern_start_s,
            start_clock_s=(facts.clock.start_clock_s + state.model_time_s) % DAY_S,
        )
        align_timers(setup, facts, state.model_time_s)
        set_levels(setup, facts, state)
        _set_statuses(setup, facts, state)
        set_demand(setup, facts, state, duration_s)
        results = run(setup, wall_limit_s=task.wall_limit_s)
    check_held(results, facts, [held.link_id for held in state.held_closed])
    tanks = tank_outlooks(results, facts, task.issued_at, measured=state.measured)
    district_of_node = [state.districts[group] for group in state.group_of_node]
    causes = Causes(
        results, facts, tanks, state.held_closed, district_of_node, issued_at=task.issued_at, zone=task.zone
    )
    series, unknown = _series(results, facts, task.places)
    return Lookahead(
        hours=len(results.hours),
        outages=predict_outages(
            results, facts, usual, causes, issued_at=task.issued_at, required_pressure_m=task.required_pressure_m
        ),
        tanks=tanks,
        pumps=pump_use(results, facts, rates, pattern_start_s=pattern_start_s),
        series=series,
        demand_m3=float(results.volumes_m3(results.full_m3s).sum()),
        delivered_m3=float(results.volumes_m3(results.delivered_m3s).sum()),
        warnings=(*results.warnings, *unknown, *_words_on_ordinary(usual, facts, task.required_pressure_m)),
    )


def valid_at(issued_at: datetime, hours: int) -> tuple[datetime, ...]:
    """Return the moments of a look-ahead: T0 and every whole hour after it."""
    return tuple(issued_at + timedelta(hours=hour) for hour in range(hours))


@lru_cache(maxsize=_KNOWN_RUNS)
def _ordinary(supply: OpenSupply, required_pressure_m: float, wall_limit_s: float) -> Ordinary:
    """Return the model's ordinary run at a required pressure: the INP's own state, times and controls."""
    clock = supply.facts.clock
    duration_s = int(np.clip(clock.duration_s, _SHORTEST_ORDINARY_S, _LONGEST_ORDINARY_S)) // HOUR_S * HOUR_S
    with supply.setup() as setup:
        prepare(setup, required_pressure_m)
        prepare_times(
            setup,
            duration_s=duration_s,
            pattern_start_s=clock.pattern_start_s,
            start_clock_s=clock.start_clock_s,
        )
        results = run(setup, wall_limit_s=wall_limit_s)
    return ordinary(results, supply.facts)


def prepare(setup: Setup, required_pressure_m: float) -> None:
    """Let a project be pressure-driven, and find a solution in hard moments too."""
    setup.set_pressure_driven(required_pressure_m)
    setup.set_option(Option.UNBALANCED_TRIALS, _EXTRA_TRIALS)
    setup.set_option(Option.TRIALS, max(setup.project.option(Option.TRIALS), _LEAST_TRIALS))
    setup.set_option(Option.ACCURACY, min(setup.project.option(Option.ACCURACY), _LOOSEST_ACCURACY))


def align_timers(setup: Setup, facts: ModelFacts, model_time_s: int, *, lead_s: int = 0) -> None:
    """Let AT TIME controls act at their times of the day (or week), as the model's time 0 is not T0.

    T0 lies `lead_s` after the beginning of the run; what does not come every day then comes from T0 on only.
    """
    cycle_s = timer_cycle_s(facts.controls)
    for control in facts.controls:
        if control.kind is not ControlKind.AT_TIME:
            continue
        link = facts.link_ids.index(control.link_id) + 1
        if cycle_s == DAY_S:
            kind, moment_s = ControlType.TIME_OF_DAY, (control.at_s + facts.clock.start_clock_s) % DAY_S
        else:
            kind, moment_s = ControlType.TIMER, lead_s + (control.at_s - model_time_s) % cycle_s
        setup.set_control(control.number, kind, link, control.setting, 0, moment_s)


def set_levels(setup: Setup, facts: ModelFacts, state: SupplyState) -> None:
    """Set the tanks to their levels at T0."""
    for tank_id, level_m in state.tank_level_m.items():
        node = facts.node_ids.index(tank_id) + 1
        low, high = (setup.project.node_value(node, end) for end in (NodeValue.MINIMUM_LEVEL, NodeValue.MAXIMUM_LEVEL))
        level = min(max(level_m / setup.project.units.length_m, low), high)
        setup.set_level(node, level)


def _set_statuses(setup: Setup, facts: ModelFacts, state: SupplyState) -> None:
    held = {link.link_id for link in state.held_closed}
    for link_id, is_open in state.initially_open.items():
        position = facts.link_ids.index(link_id)
        if link_id in held or bool(facts.initially_open[position]) == is_open:
            continue
        if facts.link_types[position] is not LinkType.CVPIPE:  # a check valve's status is its own
            setup.set_status(position + 1, is_open=is_open)
    for link_id in held:
        setup.hold_closed(facts.link_ids.index(link_id) + 1)


def set_demand(setup: Setup, facts: ModelFacts, state: SupplyState, duration_s: int, *, lead_s: int = 0) -> None:
    """Give each district's consumers their own patterns: the model's, times the forecast's multipliers from T0 on.

    T0 lies `lead_s` (whole hours) after the beginning of the run.
    """
    if np.all(state.multipliers == 1.0):
        return
    demands, made = facts.demands, dict[tuple[int, int], int]()
    offset_s = setup.project.time(TimeValue.PATTERN_START)
    for row in np.flatnonzero(demands.consumes):
        node, number = int(demands.node[row]), int(demands.pattern[row])
        pair = (int(state.group_of_node[node]), number)
        if pair not in made:
            multiplier = np.concatenate([np.ones(lead_s // HOUR_S), state.multipliers[pair[0]]])
            values = _scaled_pattern(facts, number, multiplier, offset_s, duration_s)
            made[pair] = setup.add_pattern(f"h2twin-{len(made)}", values)
        setup.set_demand_pattern(node + 1, int(demands.category[row]), made[pair])


def _scaled_pattern(facts: ModelFacts, number: int, multiplier: Floats, offset_s: int, duration_s: int) -> Floats:
    """Return a pattern that yields the scaled values, in the place where EPANET will look for them.

    EPANET uses value number (time + pattern start) // pattern step, modulo the pattern's length. A pattern step
    longer than an hour takes the mean multiplier of its hours.
    """
    step_s, values = facts.clock.pattern_step_s, facts.demands.patterns.get(number, np.ones(1))
    periods = np.arange(offset_s // step_s, (offset_s + duration_s) // step_s + 1)
    begin_s = np.maximum(periods * step_s - offset_s, 0)
    first = np.minimum(begin_s // HOUR_S, len(multiplier) - 1)
    last = np.clip(((periods + 1) * step_s - offset_s - 1) // HOUR_S, first, len(multiplier) - 1)
    sums = np.concatenate([[0.0], np.cumsum(multiplier)])
    scaled = values[periods % len(values)] * (sums[last + 1] - sums[first]) / (last + 1 - first)
    placed = np.empty(len(periods))
    placed[periods % len(periods)] = scaled
    return placed


def _series(
    results: Results, facts: ModelFacts, places: Sequence[SensorPlace]
) -> tuple[tuple[ForecastSeries, ...], tuple[str, ...]]:
    series, unknown = [], []
    wet = with_water(results, facts)
    nodes = {node_id: column for column, node_id in enumerate(facts.node_ids)}
    links = {link_id: column for column, link_id in enumerate(facts.link_ids)}
    for place in places:
        column = (nodes if place.element_type == "node" else links).get(place.element_id)
        if column is None:
            unknown.append(f"{place.element_type} {place.element_id} of a sensor is not in the model")
            continue
        values = _values_at(results, facts, place, column, wet)
        if values is not None:
            series.append(ForecastSeries(place.element_type, place.element_id, place.quantity, tuple(values.tolist())))
    return tuple(series), tuple(unknown)


def with_water(results: Results, facts: ModelFacts) -> Booleans:
    """Return which nodes hold water, per whole hour: tanks and reservoirs always, junctions while a source reaches
    them. EPANET keeps pipes full and shows a pressure where nobody gets a drop.
    """
    stores = np.array([kind is not NodeType.JUNCTION for kind in facts.node_types])
    wet: Booleans = hours_with_source(results, facts) | stores
    return wet


def _values_at(results: Results, facts: ModelFacts, place: SensorPlace, column: int, wet: Booleans) -> Floats | None:
    rows = results.hours
    if place.element_type == "link":
        return {
            Quantity.FLOW: results.flow_m3s[rows, column],
            Quantity.STATUS: results.is_open[rows, column].astype(np.float64),
        }.get(place.quantity)
    has_water, elevation_m = wet[:, column], facts.elevation_m[column]
    above_m = np.where(has_water, results.head_m[rows, column] - elevation_m, 0.0)
    return {
        Quantity.PRESSURE: above_m,
        Quantity.LEVEL: above_m,
        Quantity.HEAD: above_m + elevation_m,
        Quantity.DEMAND: np.where(has_water, results.delivered_m3s[rows, column], 0.0),
        Quantity.VOLUME: results.tank_volume_m3[rows, column],
    }.get(place.quantity)


def _words_on_ordinary(usual: Ordinary, facts: ModelFacts, required_pressure_m: float) -> tuple[str, ...]:
    consumers = np.unique(facts.demands.node[facts.demands.consumes])
    low = [facts.node_ids[node] for node in consumers if usual.min_pressure_m[node] < required_pressure_m]
    if not low:
        return ()
    shown = ", ".join(low[:5]) + (", ..." if len(low) > 5 else "")
    return (
        f"{len(low)} junctions are below {required_pressure_m:g} m in the model's ordinary run and are not reported "
        f"for low pressure: {shown}",
    )
