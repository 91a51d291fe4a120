"""Who keeps too little pressure around an isolation, against WNTRSimulator, which solves other equations in Python."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import pandas
import pytest

from models.pool import EnginePool
from models.supply.isolation.answer import Target, Terms, isolations

NET3 = Path(str(files("wntr"))) / "library" / "networks" / "Net3.inp"
REQUIRED_M = 30.0
CLEAR_M = 0.1


def lowest_by_wntr(closed: Collection[str]) -> pandas.Series:
    """Return each junction's lowest pressure of 24 h, pressure-driven, with links closed and left alone by controls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wntr

        model = wntr.network.WaterNetworkModel(str(NET3))
        model.options.time.duration = 24 * 3600
        model.options.time.report_timestep = model.options.time.hydraulic_timestep
        model.options.hydraulic.demand_model = "PDD"
        model.options.hydraulic.required_pressure = REQUIRED_M
        links = [model.get_link(link_id) for link_id in closed]
        for link in links:
            link.initial_status = "CLOSED"
        for name, control in list(model.controls()):
            if any(action.target()[0] in links for action in control.actions()):
                model.remove_control(name)
        pressure = wntr.sim.WNTRSimulator(model).run_sim().node["pressure"]
    return pressure[model.junction_name_list].min()


@pytest.mark.parametrize(("link", "hurt"), [("273", 8), ("60", 86), ("329", 83)])
def test_pressures_of_net3_are_those_of_wntrsimulator(link: str, hurt: int) -> None:
    with EnginePool(1) as pool:
        terms = Terms(required_pressure_m=REQUIRED_M)
        [answer] = pool.run(isolations, NET3.read_bytes(), [Target(link, is_link=True)], terms, 60.0)
    assert (answer["segment"], answer["dry_nodes"]) == ({"nodes": [], "links": [link]}, [])
    usual, lowest_m = lowest_by_wntr([]), lowest_by_wntr([link])
    clear = set(lowest_m.index[(lowest_m - REQUIRED_M).abs() > CLEAR_M])
    low = set(lowest_m.index[(lowest_m < REQUIRED_M) & (usual >= REQUIRED_M)])
    assert set(answer["low_pressure_nodes"]) & clear == low & clear
    assert len(answer["low_pressure_nodes"]) == pytest.approx(hurt, abs=1)
