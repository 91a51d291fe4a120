"""A day hour by hour, each begun with the levels and statuses that the hour before ended with, against the day in one.

Links that controls switch are handed on as a twin would measure them: open or closed, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from models.networks.ctown import SUPPLY_INP
from models.supply.facts import Floats, ModelFacts
from models.supply.inp import vet_inp
from models.supply.lookahead import begin_at, prepare
from models.supply.open_supply import OpenSupply
from models.supply.results import HOUR_S, Results
from models.supply.simulation import run
from models.supply.state import SupplyState

LIBRARY = Path(str(files("wntr"))) / "library" / "networks"
HOURS = 24
LEVEL_M = 0.001
HEAD_M = 0.001


@dataclass(frozen=True, slots=True)
class Moment:
    """Heads and levels (by column of the node), and which links are open."""

    head_m: Floats
    is_open: np.ndarray[tuple[int], np.dtype[np.bool_]]

    @classmethod
    def of(cls, results: Results, hour: int) -> Moment:
        row = results.hours[hour]
        return cls(results.head_m[row], results.is_open[row])


def a_state(facts: ModelFacts, hour: int, moment: Moment | None) -> SupplyState:
    levels = {
        tank_id: tank.initial_level_m
        if moment is None
        else float(moment.head_m[facts.node_ids.index(tank_id)]) - tank.elevation_m
        for tank_id, tank in facts.tanks.items()
    }
    is_open = facts.initially_open if moment is None else moment.is_open
    switched = {control.link_id for control in facts.controls} | set(facts.ruled_links)
    return SupplyState(
        model_time_s=hour * HOUR_S,
        tank_level_m=levels,
        initially_open={
            link_id: bool(opened)
            for link_id, opened in zip(facts.link_ids, is_open, strict=True)
            if link_id in switched
        },
        held_closed=(),
        districts=("all",),
        group_of_node=np.zeros(len(facts.node_ids), dtype=np.int64),
        multipliers=np.ones((1, HOURS + 1)),
        demand=(),
        spreads=(),
        basis=(),
    )


def ran(supply: OpenSupply, state: SupplyState, hours: int) -> Results:
    with supply.setup() as setup:
        prepare(setup, 10.0)
        begin_at(setup, state, hours * HOUR_S)
        return run(setup, wall_limit_s=60.0)


@pytest.mark.parametrize(
    "path", [SUPPLY_INP, LIBRARY / "Net3.inp", LIBRARY / "Net1.inp", LIBRARY / "ky4.inp"], ids=lambda p: p.stem
)
def test_a_day_of_single_hours_is_the_day(path: Path, tmp_path: Path) -> None:
    supply = OpenSupply(vet_inp(path.read_bytes()), tmp_path)
    facts = supply.facts
    whole = ran(supply, a_state(facts, 0, None), HOURS)
    tanks = [facts.node_ids.index(tank_id) for tank_id in facts.tanks]
    moment, apart_m, level_apart_m = None, [], []
    for hour in range(HOURS):
        moment = Moment.of(ran(supply, a_state(facts, hour, moment), 1), 1)
        differs = np.abs(moment.head_m - whole.head_m[whole.hours[hour + 1]])
        apart_m.append(float(np.median(differs)))
        level_apart_m.append(float(differs[tanks].max()))
    supply.close()
    assert max(level_apart_m) < LEVEL_M
    assert max(apart_m) < HEAD_M
