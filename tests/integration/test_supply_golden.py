"""Our runs against other engines' answers for the same networks.

Plain runs against EPANET 2.2 (through WNTR's EpanetSimulator); tolerances 1 mm of head (1 cm on C-Town, whose own
accuracy is a loose 0.01) and 0.01 L/s of flow cover the engines' convergence limits. A pressure-driven run with a
closed pipe against WNTRSimulator, which solves other equations in Python.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from supply_networks import MONDAY, a_request, a_sensor

from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.model import EpanetSupply
from models.supply.run import run_network
from twin.forecasts import ShortageKind
from twin.units import Quantity

WNTR_NETWORKS = Path(str(files("wntr"))) / "library" / "networks"


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


def wntr_model(path: Path, hours: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wntr

        model = wntr.network.WaterNetworkModel(str(path))
    model.options.time.duration = hours * 3600
    model.options.time.report_timestep = 3600
    return model


def simulated(model: Any, simulator: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wntr

        return getattr(wntr.sim, simulator)(model).run_sim()


@pytest.mark.parametrize(
    ("path", "hours", "head_m"),
    [
        pytest.param(WNTR_NETWORKS / "Net1.inp", 24, 1e-3, id="Net1 (gpm)"),
        pytest.param(WNTR_NETWORKS / "Net3.inp", 24, 1e-3, id="Net3 (gpm)"),
        pytest.param(SUPPLY_INP, 48, 1e-2, id="C-Town (L/s)"),
    ],
)
def test_plain_runs_equal_epanet_2_2(
    path: Path, hours: int, head_m: float, pool: EnginePool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ours = run_network(path.read_bytes(), pool, hours=hours)
    theirs = simulated(wntr_model(path, hours), "EpanetSimulator")
    assert ours["times_h"] == list(range(hours + 1))
    for node_id, node in ours["nodes"].items():
        assert node["head_m"] == pytest.approx(theirs.node["head"][node_id].to_numpy(), abs=head_m)
        assert node["demand_m3s"] == pytest.approx(theirs.node["demand"][node_id].to_numpy(), abs=1e-5)
        if node["type"] == "junction":
            assert node["pressure_m"] == pytest.approx(theirs.node["pressure"][node_id].to_numpy(), abs=2e-2)
    for link_id, link in ours["links"].items():
        assert link["flow_m3s"] == pytest.approx(theirs.link["flowrate"][link_id].to_numpy(), abs=1e-5)


@pytest.mark.parametrize("pipe", ["173", "321"])
def test_a_closed_pipe_on_net3_hurts_whom_wntrsimulator_says(pipe: str, pool: EnginePool) -> None:
    path, hours, required_m = WNTR_NETWORKS / "Net3.inp", 24, 20.0
    supply = EpanetSupply(path.read_bytes(), pool, model_id="Net3")
    status = a_sensor("S", Quantity.STATUS, pipe)
    forecast = supply.run(a_request({status: 0.0}, at=MONDAY, hours=hours, required_pressure_m=required_m))

    model = wntr_model(path, hours)
    model.options.hydraulic.demand_model = "PDD"
    model.options.hydraulic.required_pressure = required_m
    model.get_link(pipe).initial_status = "CLOSED"
    theirs = simulated(model, "WNTRSimulator")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wntr

        wanted = wntr.metrics.hydraulic.expected_demand(model)
    junctions = [name for name in model.junction_name_list if wanted[name].max() > 0]
    share = (theirs.node["demand"][junctions] / wanted[junctions].where(wanted[junctions] > 0)).fillna(1.0)
    expected = {name for name in junctions if (share[name] < 0.8).any()}

    found = {o.node_id for o in forecast.outages if o.shortage is not ShortageKind.LOW_PRESSURE}
    assert found == expected
    assert expected, "the case must hurt somebody"
    hourly = theirs.node["demand"][junctions].iloc[:-1].to_numpy().clip(min=0).sum() * 3600
    assert forecast.delivered_m3 == pytest.approx(hourly, rel=0.01)
    assert np.isclose(forecast.demand_m3, wanted[junctions].iloc[:-1].to_numpy().sum() * 3600, rtol=1e-3)
