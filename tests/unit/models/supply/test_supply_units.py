"""EPANET's units against WNTR's table of them."""

from __future__ import annotations

import warnings

import pytest

from models.supply.units import FLOW_M3S, EngineUnits, FlowUnits

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from wntr.epanet.util import FlowUnits as WntrFlowUnits


@pytest.mark.parametrize("unit", [unit for unit in FlowUnits if unit is not FlowUnits.CMS])  # WNTR has no CMS
def test_flow_units_are_those_of_wntr(unit: FlowUnits) -> None:
    theirs = WntrFlowUnits(int(unit))
    assert FLOW_M3S[unit] == pytest.approx(theirs.factor, rel=1e-6)
    assert EngineUnits(unit, 2).is_metric != theirs.is_traditional


def test_cubic_metres_per_second_are_si() -> None:
    assert FLOW_M3S[FlowUnits.CMS] == 1.0


def test_pressure_in_psi_includes_specific_gravity() -> None:
    assert EngineUnits(FlowUnits.GPM, 0).engine_pressure(0.3048) == pytest.approx(0.4333)
    assert EngineUnits(FlowUnits.GPM, 0, 2.0).engine_pressure(0.3048) == pytest.approx(0.8666)
    assert EngineUnits(FlowUnits.LPS, 2).engine_pressure(10.0) == pytest.approx(10.0)
