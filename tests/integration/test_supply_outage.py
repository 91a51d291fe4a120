"""Closures against WNTRSimulator, which solves other equations in Python, and line by line against the contract."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from supply_networks import ONE_TANK

from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.outage import Closure, answers_in_turn, outages
from twin.errors import InputError

NET3 = Path(str(files("wntr"))) / "library" / "networks" / "Net3.inp"


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


def one(
    inp: bytes, pool: EnginePool, *links: str, start_h: float = 0, hours: float = 24, required: float = 10.0
) -> Any:
    closure = Closure(links, round(start_h * 3600), round(hours * 3600), required)
    (answer,) = answers_in_turn(outages, inp, [closure], pool)
    return answer


def shares_by_wntr(pipe: str, required_m: float) -> dict[str, float]:
    """Return delivered over wanted volume of 24 h; WNTR gives values of whole hours only, we those of every step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import wntr

        model = wntr.network.WaterNetworkModel(str(NET3))
        model.options.time.duration = 24 * 3600
        model.options.time.report_timestep = 3600
        model.options.hydraulic.demand_model = "PDD"
        model.options.hydraulic.required_pressure = required_m
        link = model.get_link(pipe)
        link.initial_status = "CLOSED"
        for name, control in list(model.controls()):
            if any(action.target()[0] is link for action in control.actions()):
                model.remove_control(name)
        got = wntr.sim.WNTRSimulator(model).run_sim().node["demand"].iloc[:-1].clip(lower=0).sum()
        wanted = wntr.metrics.hydraulic.expected_demand(model).iloc[:-1].clip(lower=0).sum()
    return {node: got[node] / wanted[node] for node in model.junction_name_list if wanted[node] * 3600 > 1e-6}


def test_closures_on_net3_hurt_whom_wntrsimulator_says(pool: EnginePool) -> None:
    pipes, required_m = ["173", "151", "321", "60"], 20.0
    closures = [Closure((pipe,), required_pressure_m=required_m) for pipe in pipes]
    ours = list(answers_in_turn(outages, NET3.read_bytes(), closures, pool))
    assert [answer["close"] for answer in ours] == [[pipe] for pipe in pipes]
    hurt = 0
    for pipe, answer in zip(pipes, ours, strict=True):
        theirs = shares_by_wntr(pipe, required_m)
        clear = {node for node, share in theirs.items() if abs(share - 0.8) > 0.01}
        assert set(answer["junctions_short"]) & clear == {node for node in clear if theirs[node] < 0.8}
        for node, share in theirs.items():
            found = answer["junctions"][node]
            assert found["delivered_m3"] / found["demand_m3"] == pytest.approx(share, abs=0.02)
        hurt += len(answer["junctions_short"])
    assert hurt > 20, "the cases must hurt somebody"


def test_a_cut_off_junction_by_hand(pool: EnginePool) -> None:
    # R -> T -> J -> K, constant patterns: K wants 5 L/s and hangs on P3 alone.
    whole, late = (one(ONE_TANK.encode(), pool, "P3", start_h=start, hours=6) for start in (0, 2.5))
    for answer, start in ((whole, 0.0), (late, 2.5)):
        assert answer["junctions_short"] == ["K"]
        k = answer["junctions"]["K"]
        assert (k["delivered_m3"], k["min_pressure_m"], k["first_short_at_h"]) == (0.0, 0.0, start)
        assert answer["junctions"]["J"]["first_short_at_h"] is None
        assert answer["junctions"]["J"]["delivered_m3"] == pytest.approx(answer["junctions"]["J"]["demand_m3"])
        assert k["demand_m3"] == pytest.approx(5e-3 * 6 * 3600)


def test_tanks_and_reservoirs_are_no_junctions(pool: EnginePool) -> None:
    assert set(one(ONE_TANK.encode(), pool, "P3", hours=1)["junctions"]) == {"A", "J", "K"}


@pytest.mark.parametrize("link", ["P446", "PU1", "v1", "V2", "P100"], ids=["check valve", "pump", "PRV", "FCV", "pipe"])
def test_every_kind_of_link_stays_closed_from_then_on(link: str, pool: EnginePool) -> None:
    for start_h in (0, 5):
        answer = one(SUPPLY_INP.read_bytes(), pool, link, start_h=start_h, hours=12)
        assert "error" not in answer, "the run itself makes sure that nothing flows"
        assert answer["start_h"] == start_h


def test_before_the_closure_nothing_is_closed(pool: EnginePool) -> None:
    late = one(SUPPLY_INP.read_bytes(), pool, "v1", start_h=7, hours=3)
    assert len(late["junctions_short"]) > 5
    assert min(late["junctions"][name]["first_short_at_h"] for name in late["junctions_short"]) == 7.0
    assert all((junction["first_short_at_h"] or 7.0) >= 7.0 for junction in late["junctions"].values())


def test_the_pressure_that_is_required_decides(pool: EnginePool) -> None:
    little, much = (one(NET3.read_bytes(), pool, "151", required=metres) for metres in (5.0, 60.0))
    assert set(little["junctions_short"]) < set(much["junctions_short"])


def test_an_unknown_link_is_named(pool: EnginePool) -> None:
    with pytest.raises(InputError, match="no link NOWHERE"):
        one(ONE_TANK.encode(), pool, "P3", "NOWHERE")


def test_a_run_that_needs_more_trials_gets_them(pool: EnginePool) -> None:
    text = NET3.read_text()
    impatient = re.sub(r"(?m)^(\s*Trials\s+)40", r"\g<1>1", text)
    assert impatient != text
    for pipe in ("177", "183", "315"):  # with one trial, each loses more than 1 % of the water
        hurried, full = one(impatient.encode(), pool, pipe), one(text.encode(), pool, pipe)
        assert "error" not in hurried
        assert hurried["junctions_short"] == full["junctions_short"]
        for name, junction in full["junctions"].items():
            assert hurried["junctions"][name]["delivered_m3"] == pytest.approx(junction["delivered_m3"], rel=0.01)


def test_links_that_the_inp_has_closed_can_be_opened_for_a_run(pool: EnginePool) -> None:
    shut = ONE_TANK.replace("[STATUS]\n", "[STATUS]\nP3 Closed\n").encode()
    closures = [Closure((), duration_s=6 * 3600, opened=opened) for opened in ((), ("P3",), ())]
    dry, wet, again = answers_in_turn(outages, shut, closures, pool)
    assert (dry["junctions_short"], wet["junctions_short"]) == (["K"], [])
    assert again == dry
