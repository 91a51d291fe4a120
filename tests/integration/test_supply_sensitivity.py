"""What is differentiated is what EPANET answers when a little more and a little less is taken."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from models.supply.epanet import NodeValue, Option
from models.supply.inp import vet_inp
from models.supply.open_supply import OpenSupply
from models.supply.sensitivity import read_snapshot, sensitivities

WNTR_NETWORKS = Path(str(files("wntr"))) / "library" / "networks"
DEMAND_CHANGE = 0.02

#   R --P1-- A --V-- B --P2-- C --P3-- D     and a second way from A to C through P4
VALVE = """
[JUNCTIONS]
A 10 5
B 10 4
C 8 6
D 5 3
[RESERVOIRS]
R 80
[PIPES]
P1 R A 800 300 120 0 Open
P2 B C 500 200 120 4 Open
P3 C D 400 150 120 0 Open
{second}
[VALVES]
V A B 200 {valve} 0
[EMITTERS]
D 0.3
[TIMES]
Duration 0
[OPTIONS]
Units LPS
Headloss {formula}
Accuracy 0.00001
Trials 500
[END]
"""
SECOND = "P4 A C 900 150 120 0 Open"


@pytest.mark.parametrize("name", ["Net1", "Net2", "Net3"])
def test_published_networks(name: str, tmp_path: Path) -> None:
    compare((WNTR_NETWORKS / f"{name}.inp").read_text(encoding="utf-8", errors="replace"), tmp_path, every=5)


@pytest.mark.parametrize("formula", ["H-W", "D-W", "C-M"])
@pytest.mark.parametrize(
    ("valve", "second"),
    [
        pytest.param("PRV 40", "", id="PRV at work"),
        pytest.param("PRV 200", "", id="PRV wide open"),
        pytest.param("PSV 60", SECOND, id="PSV"),
        pytest.param("FCV 5", SECOND, id="FCV at work"),
        pytest.param("FCV 500", SECOND, id="FCV wide open"),
        pytest.param("PBV 5", SECOND, id="PBV"),
        pytest.param("TCV 12", SECOND, id="TCV"),
    ],
)
def test_valves(valve: str, second: str, formula: str, tmp_path: Path) -> None:
    text = VALVE.format(valve=valve, second=second, formula=formula)
    if formula != "H-W":  # roughness in mm, or Manning's n
        text = text.replace(" 120 ", " 0.2 " if formula == "D-W" else " 0.012 ")
    compare(text, tmp_path, every=1)


def compare(text: str, folder: Path, *, every: int) -> None:
    supply = OpenSupply(vet_inp(text.encode()), folder)
    with supply.setup() as setup:
        project = setup.project
        setup.set_option(Option.ACCURACY, 1e-5)
        setup.set_option(Option.TRIALS, 500)
        first, found = sensitivities(setup)
        asked = [
            node
            for node in range(project.node_count)
            if abs(first.demand_m3s[node]) > 1e-6 and len(project.demands(node + 1)) == 1 and found[node, node]
        ][::every]
        assert len(asked) >= 2
        for node in asked:
            base = project.base_demand(node + 1, 1)
            heads, taken = [], []
            for share in (1 + DEMAND_CHANGE, 1 - DEMAND_CHANGE):
                setup.set_base_demand(node + 1, 1, base * share)
                with project.solver():
                    project.solve_first()
                    heads.append(read_snapshot(project).head_m)
                    taken.append(project.node_value(node + 1, NodeValue.FULL_DEMAND) * project.units.flow_m3s)
            setup.set_base_demand(node + 1, 1, base)
            truth = (heads[0] - heads[1]) / (taken[0] - taken[1])
            assert found[:, node] == pytest.approx(truth, rel=5e-3, abs=5e-3 * np.abs(truth).max() + 1e-3)
    supply.close()
