"""A pump of constant power does the work that its file says, in all units: P = rho g Q H, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from supply_networks import ONE_TANK

from models.supply.epanet import LinkValue, NodeValue, Project
from models.supply.units import FlowUnits

KILOWATT, HORSEPOWER_W = 1000.0, 745.7


@pytest.mark.parametrize("units", list(FlowUnits))
def test_what_the_pump_gives_the_water_is_its_power(units: FlowUnits, tmp_path: Path) -> None:
    inp = ONE_TANK.replace("PU Closed", "PU Open").replace("Units LPS", f"Units {units.name}")
    for label, demand in (("J 20 10", "J 20 0.1"), ("K 20 5", "K 20 0.1")):
        inp = inp.replace(label, demand)
    with Project(inp, tmp_path) as project:
        pump, nodes = project.link_ids().index("PU") + 1, project.node_ids()
        next(iter(project.steps()))
        head_m = project.node_values(NodeValue.HEAD) * project.units.length_m
        flow_m3s = project.link_value(pump, LinkValue.FLOW) * project.units.flow_m3s
        given_w = 9806.65 * flow_m3s * (head_m[nodes.index("A")] - head_m[nodes.index("R")])
        assert given_w == pytest.approx(8 * (KILOWATT if project.units.is_metric else HORSEPOWER_W), rel=2e-3)
