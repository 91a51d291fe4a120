"""Water age and chlorine in the look-ahead, against plug flow by hand and against WNTR's own run of EPANET."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.resources import files
from math import exp, pi
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wntr
from supply_networks import MONDAY, ONE_TANK, a_request, a_sensor

from models.pool import EnginePool
from models.supply.inp import vet_inp
from models.supply.model import EpanetSupply
from models.supply.open_supply import OpenSupply
from models.supply.quality import quality_ahead
from models.supply.simulation import record, run
from twin.units import Quantity

# R --P1-- J --P2-- K: 10 L/s through 1000 m of 300 mm, then 5 L/s through 500 m of 200 mm
LINE = """
[JUNCTIONS]
J 10 5
K 10 5
[RESERVOIRS]
R 60
[PIPES]
P1 R J 1000 300 130 0 Open
P2 J K 500 200 130 0 Open
[TIMES]
Duration 24:00
Hydraulic Timestep 1:00
Quality Timestep 0:01
Pattern Timestep 1:00
[OPTIONS]
Units LPS
Headloss H-W
Quality {quality}
Tolerance 0.0001
[QUALITY]
R {at_source}
[REACTIONS]
Global Bulk -1.0
"""
TO_J_H = 1000 * pi * 0.3**2 / 4 / 0.010 / 3600
TO_K_H = TO_J_H + 500 * pi * 0.2**2 / 4 / 0.005 / 3600


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


def test_water_is_as_old_as_its_way_is_long(pool: EnginePool) -> None:
    inp = LINE.format(quality="Age", at_source=0)
    forecast = EpanetSupply(inp.encode(), pool, model_id="line").run(a_request({}, hours=6))
    assert forecast.quality is not None
    assert (forecast.quality.parameter, forecast.quality.unit) == ("age", "h")
    # also in the first hours: the water at T0 is not new
    assert {node.node_id: node.worst for node in forecast.quality.nodes} == {
        "J": pytest.approx(TO_J_H, abs=0.03),
        "K": pytest.approx(TO_K_H, abs=0.06),
    }


def test_chlorine_decays_on_its_way(pool: EnginePool) -> None:
    inp = LINE.format(quality="Chlorine mg/L", at_source=0.8)
    forecast = EpanetSupply(inp.encode(), pool, model_id="line").run(a_request({}, hours=6))
    assert forecast.quality is not None
    assert (forecast.quality.parameter, forecast.quality.unit) == ("Chlorine", "mg/L")
    for node, hours in zip(forecast.quality.nodes, (TO_J_H, TO_K_H), strict=True):
        assert node.worst == pytest.approx(0.8 * exp(-1.0 * hours / 24), rel=2e-3)
        assert MONDAY <= node.worst_at <= MONDAY + timedelta(hours=6)


@pytest.mark.parametrize("quality", ["None", "Trace R"])
def test_a_model_that_follows_neither_says_nothing(pool: EnginePool, quality: str) -> None:
    inp = LINE.format(quality=quality, at_source=0)
    assert EpanetSupply(inp.encode(), pool, model_id="line").run(a_request({}, hours=6)).quality is None


def test_net1s_chlorine_is_what_wntr_gets_from_epanet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(str(files("wntr"))) / "library" / "networks" / "Net1.inp"
    supply = OpenSupply(vet_inp(path.read_bytes()))
    with supply.setup() as setup:
        ours = record(setup, wall_limit_s=60.0, with_quality=True)
    with supply.setup() as setup:
        without = run(setup, wall_limit_s=60.0)
    theirs = wntr.sim.EpanetSimulator(wntr.network.WaterNetworkModel(str(path))).run_sim().node["quality"] * 1000
    assert ours.quality is not None
    for row, moment in zip(ours.hours, range(0, 24 * 3600 + 1, 3600), strict=True):
        expected = theirs.loc[moment, list(supply.facts.node_ids)].to_numpy()
        assert ours.quality[row] == pytest.approx(expected, abs=1e-3)
    assert np.array_equal(ours.head_m, without.head_m)
    supply.close()


LEVEL, PUMP = a_sensor("LT", Quantity.LEVEL, "T"), a_sensor("SP", Quantity.STATUS, "PU")
SLOW = (
    ONE_TANK.replace("J 20 10", "J 20 0.4").replace("K 20 5", "K 20 0.2").replace("Units LPS", "Units LPS\nQuality Age")
)


def test_without_the_pump_the_water_in_the_tank_ages_by_an_hour_an_hour(pool: EnginePool) -> None:
    # what J gets left the tank 5.8 h before (12.6 m3 at 2.16 m3/h): from then on it is water that stood still since T0
    supply = EpanetSupply(SLOW.encode(), pool, model_id="one tank")

    def oldest_at_j(hours: int, pump: float) -> float:
        quality = supply.run(a_request({LEVEL: 1.9, PUMP: pump}, hours=hours)).quality
        assert quality is not None
        return next(node.worst for node in quality.nodes if node.node_id == "J")

    seven, eight = oldest_at_j(7, 0.0), oldest_at_j(8, 0.0)
    assert eight - seven == pytest.approx(1.0, abs=0.02)
    assert oldest_at_j(8, 1.0) < eight - 1
    # 18 m3 above the lowest level last for 8 h 20 min: what is in the pipes later on reaches nobody
    assert oldest_at_j(12, 0.0) == pytest.approx(eight, abs=0.02)


def test_a_run_that_fails_costs_no_forecast() -> None:
    class Hurried(EnginePool):
        def run(self, function: Callable[..., Any], *args: object, time_limit_s: float | None = None) -> Any:
            return super().run(function, *args, time_limit_s=1e-4 if function is quality_ahead else time_limit_s)

    with Hurried(1) as hurried:
        forecast = EpanetSupply(SLOW.encode(), hurried, model_id="one tank").run(a_request({LEVEL: 3.0}))
    assert forecast.quality is None
    (warning,) = forecast.provenance.warnings
    assert warning.startswith("the quality of the water is not known: quality_ahead took longer than")
