"""A model held open answers each question as if it were the first."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from models.networks.ctown import SUPPLY_INP
from models.supply.epanet import LinkType, Option
from models.supply.inp import vet_inp
from models.supply.open_supply import OpenSupply, Setup
from models.supply.results import Results
from models.supply.simulation import prepare_times, run
from twin.errors import ModelError

WNTR_NETWORKS = Path(str(files("wntr"))) / "library" / "networks"
HOURS = 12


def answer(supply: OpenSupply, change: Callable[[Setup], object] | None = None) -> Results:
    clock = supply.facts.clock
    with supply.setup() as setup:
        setup.set_option(Option.UNBALANCED_TRIALS, 10)
        prepare_times(
            setup,
            duration_s=HOURS * 3600,
            pattern_start_s=clock.pattern_start_s,
            start_clock_s=clock.start_clock_s,
        )
        if change is not None:
            change(setup)
        return run(setup, wall_limit_s=60)


def assert_identical(one: Results, other: Results) -> None:
    for name in ("times_s", "head_m", "demand_m3s", "full_m3s", "delivered_m3s", "flow_m3s", "is_open"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(WNTR_NETWORKS / "Net3.inp", id="Net3: rules, pumps"),
        pytest.param(WNTR_NETWORKS / "Net1.inp", id="Net1: controls"),
        pytest.param(SUPPLY_INP, id="C-Town: valves with settings, check valves"),
    ],
)
def test_no_answer_depends_on_what_was_asked_before(path: Path, tmp_path: Path) -> None:
    supply = OpenSupply(vet_inp(path.read_bytes()), tmp_path)
    first = answer(supply)
    odd = [n for n, kind in enumerate(supply.facts.link_types, start=1) if kind is not LinkType.PIPE][:6]
    pipes = [n for n, kind in enumerate(supply.facts.link_types, start=1) if kind is LinkType.PIPE][3::60]

    def closed(link: int) -> Callable[[Setup], object]:
        def change(setup: Setup) -> None:
            setup.set_pressure_driven(20.0)
            setup.hold_closed(link)

        return change

    for link in (*odd, *pipes):
        answer(supply, closed(link))
        assert_identical(answer(supply), first)


def test_levels_and_demands_of_one_question_do_not_reach_the_next(tmp_path: Path) -> None:
    supply = OpenSupply(vet_inp((WNTR_NETWORKS / "Net3.inp").read_bytes()), tmp_path)
    first = answer(supply)
    tank = supply.facts.node_ids.index("1") + 1

    def change(setup: Setup) -> None:
        setup.set_level(tank, 17.0)
        setup.set_base_demand(3, 1, 500.0)
        setup.set_demand_pattern(5, 1, setup.add_pattern("mine", [0.5, 1.5]))

    assert not np.array_equal(answer(supply, change).head_m, first.head_m)
    assert_identical(answer(supply), first)


def test_a_failed_question_leaves_nothing_behind(tmp_path: Path) -> None:
    supply = OpenSupply(vet_inp((WNTR_NETWORKS / "Net1.inp").read_bytes()), tmp_path)
    first = answer(supply)

    def change(setup: Setup) -> None:
        setup.set_base_demand(2, 1, 1e9)

    with pytest.raises(ModelError):
        answer(supply, change)
    assert_identical(answer(supply), first)
