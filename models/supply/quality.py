"""Water age or a chemical (chlorine) over the look-ahead, where the model follows one.

Nobody measures the quality of the water in every pipe at T0. So a run of its own begins a week before T0 with the model
as it is, from its own first levels; at T0 tanks, pumps, valves and demand become those of the state. A network's water
is mostly younger than a week; older water (dead ends, large tanks) is as old as the model says it was at first, and a
week.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from models.supply.epanet import LinkType, LinkValue
from models.supply.facts import DAY_S, WEEK_S, ModelFacts, WaterQuality
from models.supply.lookahead import LookaheadTask, align_timers, prepare, set_demand, set_levels, with_water
from models.supply.open_supply import Setup, open_supply
from models.supply.results import HOUR_S, Results
from models.supply.simulation import check_mass_balance, prepare_times, record
from models.supply.state import SupplyState
from twin.errors import ModelError
from twin.forecasts import NodeQuality, QualityOutlook

LEAD_S = WEEK_S


def quality_ahead(task: LookaheadTask) -> QualityOutlook:
    """Return what consumers get at worst: the oldest water, or the least of the chemical, in hours with a source.

    Runs in this process, which must be an engine worker.

    Raises:
        ModelError: If the model follows neither, or the run gives no believable answer.
    """
    supply = open_supply(task.inp)
    facts, state = supply.facts, task.state
    if facts.water is None:
        raise ModelError("the model follows neither the age of water nor a chemical")
    duration_s = LEAD_S + -(-task.horizon_s // HOUR_S) * HOUR_S
    with supply.setup() as setup:
        prepare(setup, task.required_pressure_m)
        prepare_times(
            setup,
            duration_s=duration_s,
            pattern_start_s=facts.clock.pattern_start_s + _week_before_s(facts, state.model_time_s),
            start_clock_s=(facts.clock.start_clock_s + state.model_time_s) % DAY_S,
        )
        align_timers(setup, facts, state.model_time_s, lead_s=LEAD_S)
        set_demand(setup, facts, state, duration_s, lead_s=LEAD_S)
        present = _Present(setup, state)
        results = record(setup, wall_limit_s=task.wall_limit_s, before_step=present, with_quality=True)
        check_mass_balance(results, setup, from_s=LEAD_S)
    return QualityOutlook(
        facts.water.parameter, facts.water.unit, tuple(_worst(results, facts, facts.water, task.issued_at))
    )


def _week_before_s(facts: ModelFacts, model_time_s: int) -> int:
    """Return a time, not below 0, at which demand patterns stand as they did a week before a model time."""
    lengths = [len(values) for values in facts.demands.patterns.values()]
    cycle_s = int(np.lcm.reduce(lengths or [1])) * facts.clock.pattern_step_s
    return model_time_s + -LEAD_S % cycle_s


class _Present:
    """Makes the network that of T0 when the run gets there."""

    def __init__(self, setup: Setup, state: SupplyState) -> None:
        self._setup, self._state = setup, state
        self._is_there = False

    def __call__(self, now_s: int) -> None:
        if now_s < LEAD_S or self._is_there:
            return
        self._is_there = True
        setup, facts, held = self._setup, self._setup.facts, {link.link_id for link in self._state.held_closed}
        set_levels(setup, facts, self._state)
        for link_id, is_open in self._state.initially_open.items():
            position = facts.link_ids.index(link_id)
            if link_id not in held and facts.link_types[position] is not LinkType.CVPIPE:
                setup.set_link(position + 1, LinkValue.STATUS, float(is_open))
        for link_id in held:
            setup.shut(facts.link_ids.index(link_id) + 1)


def _worst(results: Results, facts: ModelFacts, water: WaterQuality, issued_at: datetime) -> Iterator[NodeQuality]:
    assert results.quality is not None
    ahead = slice(LEAD_S // HOUR_S, None)
    wet = with_water(results, facts)[ahead]
    values = np.where(wet, results.quality[results.hours][ahead], -np.inf if water.is_age else np.inf)
    rows = values.argmax(axis=0) if water.is_age else values.argmin(axis=0)
    for node in np.unique(facts.demands.node[facts.demands.consumes]):
        hour = int(rows[node])
        if wet[hour, node]:
            yield NodeQuality(facts.node_ids[node], float(values[hour, node]), issued_at + timedelta(hours=hour))
