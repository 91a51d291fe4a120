"""Scenarios against hand calculations, against `supply outage`, and against EPANET's own figures."""

import json
import math
import os
import signal
import threading
from collections.abc import Iterator
from ctypes import c_int
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running_service import children_of
from servers.process import wait_until
from supply_networks import ONE_TANK

from models.pool import EnginePool
from models.supply.epanet import DemandModel, Project, TimeValue
from models.supply.outage import Closure, outages
from models.supply.outage import answers_in_turn as closures_in_turn
from models.supply.scenarios.compare import compared
from models.supply.scenarios.run import answers_in_turn
from twin.errors import InputError
from twin.scenarios import parse_scenario

NET3 = (Path(str(files("wntr"))) / "library" / "networks" / "Net3.inp").read_bytes()
NO_PUMP = ONE_TANK.replace("LINK PU OPEN IF NODE T BELOW 2\nLINK PU CLOSED IF NODE T ABOVE 4\n", "")
GPM = NO_PUMP.replace("Units LPS", "Units GPM")
# A tank 50 m across: it neither fills nor empties in a few hours.
AREA_M2 = math.pi / 4 * 50**2
LARGE_TANK = ONE_TANK.replace("5.0462650441", "50").replace("LINK PU CLOSED IF NODE T ABOVE 4\n", "")
TWO_PUMPS = LARGE_TANK.replace("PU R A POWER 8", "PU R A POWER 8\nPV R A POWER 4")


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


def asked(pool: EnginePool, inp: str | bytes, *scenarios: dict[str, Any]) -> list[dict[str, Any]]:
    inp = inp.encode() if isinstance(inp, str) else inp
    return list(answers_in_turn(inp, [parse_scenario(one) for one in scenarios], pool))


def scenario(*actions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "s", "actions": list(actions), **more}


def test_a_closure_is_what_supply_outage_says_of_it(pool: EnginePool) -> None:
    for link, start_h in (("20", 0), ("123", 5)):
        (ours,) = asked(pool, NET3, scenario({"kind": "close", "links": [link], "from_h": start_h}, hours=24 + start_h))
        (theirs,) = closures_in_turn(outages, NET3, [Closure((link,), 0, (24 + start_h) * 3600)], pool)
        if start_h == 0:
            assert ours["junctions"] == theirs["junctions"]
            assert ours["junctions_short"] == theirs["junctions_short"]
        else:
            (late,) = closures_in_turn(outages, NET3, [Closure((link,), start_h * 3600)], pool)
            first = {n: j["first_short_at_h"] for n, j in late["junctions"].items() if j["first_short_at_h"]}
            assert first
            assert first.items() <= {n: j["first_short_at_h"] for n, j in ours["junctions"].items()}.items()


def test_what_is_closed_for_a_while_is_open_again_and_its_controls_act(pool: EnginePool) -> None:
    (closed, free) = asked(
        pool,
        ONE_TANK,
        scenario({"kind": "close", "links": ["P2"], "from_h": 2, "until_h": 5}),
        {"name": "free", "actions": []},
    )
    # J wants 10 L/s and gets it except in three hours; K hangs behind it
    assert closed["junctions"]["J"]["delivered_m3"] == pytest.approx(0.010 * 3600 * 21, rel=1e-3)
    assert closed["junctions"]["K"]["delivered_m3"] == pytest.approx(0.005 * 3600 * 21, rel=1e-3)
    assert free["junctions"]["J"]["delivered_m3"] == pytest.approx(0.010 * 3600 * 24, rel=1e-3)
    assert closed["junctions"]["J"]["first_short_at_h"] == 2.0
    # the pump is held off for eight hours while its tank falls below the level that calls it, and comes back then
    curved = ONE_TANK.replace("POWER 8", "HEAD C").replace("[STATUS]", "[CURVES]\nC 50 20\n[STATUS]")
    (tripped,) = asked(pool, curved, scenario({"kind": "pump_trip", "pumps": ["PU"], "until_h": 8}))
    assert 0 < tripped["pumps"]["PU"]["running_h"] <= 16.0
    assert tripped["tanks"]["T"]["lowest_level_m"] < free["tanks"]["T"]["lowest_level_m"]


@pytest.mark.parametrize("inp", [NO_PUMP, GPM], ids=["metric", "US customary"])
def test_a_burst_lets_out_what_its_orifice_lets_through(pool: EnginePool, inp: str) -> None:
    (burst,) = asked(pool, inp, scenario({"kind": "burst", "node": "K", "diameter_mm": 5}, hours=1 / 60))
    area_m2 = math.pi / 4 * 0.005**2
    pressure_m = burst["junctions"]["K"]["min_pressure_m"]
    by_hand_m3 = 0.6 * area_m2 * math.sqrt(2 * 9.80665 * pressure_m) * 60
    assert pressure_m > 5
    assert burst["bursts"]["K"]["lost_m3"] == pytest.approx(by_hand_m3, rel=2e-3)


def test_a_burst_begins_and_ends_and_takes_from_the_tank(pool: EnginePool) -> None:
    whole, some, none = asked(
        pool,
        LARGE_TANK,
        {"name": "whole", "actions": [{"kind": "burst", "node": "J", "diameter_mm": 30}], "hours": 4},
        {
            "name": "some",
            "actions": [{"kind": "burst", "node": "J", "diameter_mm": 30, "from_h": 1, "until_h": 2}],
            "hours": 4,
        },
        {"name": "none", "actions": [], "hours": 4},
    )
    assert some["bursts"]["J"]["lost_m3"] == pytest.approx(whole["bursts"]["J"]["lost_m3"] / 4, rel=0.05)
    missing_m3 = (none["tanks"]["T"]["end_level_m"] - some["tanks"]["T"]["end_level_m"]) * AREA_M2
    given_less_m3 = none["totals"]["delivered_m3"] - some["totals"]["delivered_m3"]
    assert missing_m3 == pytest.approx(some["bursts"]["J"]["lost_m3"] - given_less_m3, rel=1e-3)


def test_fire_flow_is_a_demand_for_its_time(pool: EnginePool) -> None:
    fire, none = asked(
        pool,
        LARGE_TANK,
        scenario({"kind": "fire_flow", "node": "J", "flow_m3s": 0.02, "from_h": 1, "until_h": 2.5}, hours=3),
        {"name": "none", "actions": [], "hours": 3},
    )
    assert fire["junctions"]["J"]["demand_m3"] == pytest.approx(0.010 * 3600 * 3 + 0.02 * 3600 * 1.5)
    assert fire["junctions"]["J"]["delivered_m3"] == pytest.approx(0.010 * 3600 * 3 + 0.02 * 3600 * 1.5, rel=1e-3)
    drawn_m3 = (none["tanks"]["T"]["end_level_m"] - fire["tanks"]["T"]["end_level_m"]) * AREA_M2
    assert drawn_m3 == pytest.approx(0.02 * 3600 * 1.5, rel=1e-3)


def test_surges_multiply_the_demand_of_those_named_and_add_up(pool: EnginePool) -> None:
    (surge,) = asked(
        pool,
        NO_PUMP,
        scenario(
            {"kind": "demand_surge", "factor": 1.5, "until_h": 2},
            {"kind": "demand_surge", "factor": 2, "nodes": ["K"], "from_h": 1, "until_h": 2},
            {"kind": "demand_surge", "factor": 0, "nodes": ["K"], "from_h": 3},
            hours=4,
        ),
    )
    assert surge["junctions"]["J"]["demand_m3"] == pytest.approx(0.010 * 3600 * (1.5 + 1.5 + 1 + 1))
    assert surge["junctions"]["K"]["demand_m3"] == pytest.approx(0.005 * 3600 * (1.5 + 3 + 1 + 0))


def test_a_power_cut_stops_the_whole_station(pool: EnginePool) -> None:
    below = TWO_PUMPS.replace("PU Closed", "PU Open\nPV Open")
    cut, trip = asked(
        pool,
        below,
        {"name": "cut", "actions": [{"kind": "power_cut", "station": "PV"}], "hours": 2},
        {"name": "trip", "actions": [{"kind": "pump_trip", "pumps": ["PV"]}], "hours": 2},
    )
    assert [cut["pumps"][pump]["running_h"] for pump in ("PU", "PV")] == [0, 0]
    assert [trip["pumps"][pump]["running_h"] for pump in ("PU", "PV")] == [2, 0]


def test_a_tank_out_of_service_neither_gives_nor_takes(pool: EnginePool) -> None:
    (out,) = asked(pool, ONE_TANK, scenario({"kind": "tank_out", "tanks": ["T"]}, hours=3))
    assert [out["tanks"]["T"][what] for what in ("lowest_level_m", "highest_level_m")] == pytest.approx([3, 3])
    assert out["junctions_short"] == ["J", "K"]
    assert out["totals"]["delivered_m3"] == 0


def test_pump_energy_is_what_epanet_reports(pool: EnginePool, tmp_path: Path) -> None:
    running = LARGE_TANK.replace("PU Closed", "PU Open")
    (ours,) = asked(pool, running, scenario(hours=6))
    with Project(running, tmp_path) as project:
        project.set_demand_model(DemandModel(True, 0.0, 10.0, 0.5))
        project.set_time(TimeValue.DURATION, 6 * 3600)
        pump, times_s, kilowatts = project.link_ids().index("PU") + 1, [], []
        for now_s in project.steps():
            times_s.append(now_s)
            kilowatts.append(project._number("EN_getlinkvalue", c_int(pump), c_int(13)))  # EN_ENERGY
    by_epanet_kwh = float((np.array(kilowatts[:-1]) * np.diff(times_s)).sum()) / 3600
    assert ours["pumps"]["PU"]["running_h"] == 6
    assert ours["pumps"]["PU"]["energy_kwh"] == pytest.approx(by_epanet_kwh, rel=1e-3)
    assert ours["energy_kwh"] == ours["pumps"]["PU"]["energy_kwh"]
    # 1 m3 lifted by 100 m takes rho g 100 / eta, and a model that says nothing has an efficiency of 75 %
    assert ours["pumps"]["PU"]["standardised_kwh_m3_100m"] == pytest.approx(9806.65 * 100 / 0.75 / 3.6e6, rel=1e-6)


def test_who_loses_and_who_gains(pool: EnginePool) -> None:
    closed, base = asked(
        pool,
        ONE_TANK,
        {"name": "closed", "actions": [{"kind": "close", "links": ["P3"]}], "hours": 4},
        {"name": "base", "actions": [], "hours": 4},
    )
    found = compared(closed, base)
    assert [loser["id"] for loser in found["losers"]] == ["K"]
    assert found["losers"][0]["change_m3"] == pytest.approx(-0.005 * 3600 * 4, rel=1e-3)
    assert found["gainers"] == []
    assert found["newly_short"] == ["K"]
    assert [gainer["id"] for gainer in compared(base, closed)["gainers"]] == ["K"]
    assert compared(base, base)["losers"] == compared(base, base)["gainers"] == []


def test_answers_do_not_depend_on_what_was_asked_before(pool: EnginePool) -> None:
    many = [
        {"name": "burst", "actions": [{"kind": "burst", "node": "105", "diameter_mm": 80, "from_h": 3}]},
        {
            "name": "fire",
            "actions": [{"kind": "fire_flow", "node": "117", "flow_m3s": 0.05, "from_h": 2, "until_h": 6}],
        },
        {"name": "pump", "actions": [{"kind": "pump_trip", "pumps": ["335"], "until_h": 9}]},
        {"name": "tank", "actions": [{"kind": "tank_out", "tanks": ["2"]}, {"kind": "demand_surge", "factor": 1.2}]},
        {"name": "nothing", "actions": []},
    ]
    one_way = {answer["name"]: answer for answer in asked(pool, NET3, *many)}
    other_way = {answer["name"]: answer for answer in asked(pool, NET3, *reversed(many))}
    assert not [answer for answer in one_way.values() if "error" in answer]
    for name, answer in one_way.items():
        assert json.dumps(answer) == json.dumps(other_way[name])


@pytest.mark.parametrize(
    ("action", "cause"),
    [
        ({"kind": "close", "links": ["nowhere"]}, "scenario s: the network has no link nowhere"),
        ({"kind": "pump_trip", "pumps": ["P1"]}, "link P1 is no pump"),
        ({"kind": "burst", "node": "T", "diameter_mm": 5}, "node T is no junction"),
        ({"kind": "tank_out", "tanks": ["J"]}, "node J is no tank"),
    ],
)
def test_what_the_network_does_not_have_is_said(pool: EnginePool, action: dict[str, Any], cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        asked(pool, ONE_TANK, scenario(action))


def test_a_worker_killed_in_a_batch_loses_no_scenario_and_doubles_none() -> None:
    many = [
        parse_scenario({"name": f"s{k}", "actions": [{"kind": "demand_surge", "factor": 1 + k / 50}], "hours": 240})
        for k in range(40)
    ]
    before = children_of(os.getpid())
    with EnginePool(2) as pool:
        expected = [json.dumps(answer) for answer in answers_in_turn(NET3, many, pool)]
        answers: list[str] = []

        def collect() -> None:
            answers.extend(json.dumps(answer) for answer in answers_in_turn(NET3, many, pool))

        collecting = threading.Thread(target=collect)
        collecting.start()
        wait_until(lambda: bool(answers) or not collecting.is_alive())
        workers = sorted(children_of(os.getpid()) - before)
        os.kill(workers[0], signal.SIGKILL)
        collecting.join()
    assert answers == expected
