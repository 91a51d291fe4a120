"""What if, from now on: against tanks that are emptied by hand, with pumps that fail on request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from supply_networks import ONE_TANK, a_request, a_sensor

from models.pool import EnginePool
from models.supply.model import EpanetSupply
from models.supply.scenarios.batch import Batch
from models.supply.scenarios.run import answers_in_turn
from twin.units import Quantity

LEVEL = a_sensor("LT", Quantity.LEVEL, "T")
INP = ONE_TANK.replace("POWER 8", "HEAD C").replace("[STATUS]", "[CURVES]\nC 50 20\n[STATUS]")
"""With a pump that has a curve: one of constant power finds no way out of standing still in EPANET."""
PUMP = a_sensor("SP", Quantity.STATUS, "PU")
POWER_CUT = {"name": "power cut", "hours": 6, "actions": [{"kind": "power_cut", "station": "PU"}]}
MENDED = {"name": "mended", "hours": 6, "actions": [{"kind": "open", "links": ["PU"], "from_h": 1}]}


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


def what_if(
    pool: EnginePool, words: list[dict[str, Any]], *, level_m: float, pump: float, members: int = 0
) -> dict[str, Any]:
    supply = EpanetSupply(INP.encode(), pool, model_id="one tank")
    present = supply.present(replace(a_request({LEVEL: level_m, PUMP: pump}, hours=6), members=members))
    batch = Batch.of(words)
    return batch.outcome(list(answers_in_turn(INP.encode(), batch.runs, pool, present=present)))


def test_a_power_cut_from_now_on_empties_the_tank_when_the_hand_says_so(pool: EnginePool) -> None:
    found = what_if(pool, [POWER_CUT], level_m=2.5, pump=1.0)
    (base,), (cut,) = found["base"], found["scenarios"]
    assert base["junctions_short"] == []
    assert cut["tanks"]["T"]["start_level_m"] == pytest.approx(2.5)
    assert cut["tanks"]["T"]["empty_at_h"] == pytest.approx(30 / 54, abs=0.01)  # 1.5 m of 20 m2, at 15 L/s
    assert cut["against_base"]["newly_short"] == ["J", "K"]


def test_a_pump_that_has_failed_can_be_mended(pool: EnginePool) -> None:
    # the control calls for the pump below 2 m and it stands still: the base run is the failure that goes on
    found = what_if(pool, [MENDED], level_m=1.5, pump=0.0)
    (base,), (mended,) = found["base"], found["scenarios"]
    assert base["tanks"]["T"]["empty_at_h"] == pytest.approx(10 / 54, abs=0.01)
    assert base["totals"]["delivered_m3"] == pytest.approx(10, rel=0.02)
    assert [change["id"] for change in mended["against_base"]["gainers"]] == ["J", "K"]
    assert mended["tanks"]["T"]["end_level_m"] > 1.5


def test_a_mended_pump_follows_its_control_again(pool: EnginePool) -> None:
    for_an_hour = {**MENDED, "hours": 24, "actions": [{"kind": "close", "links": ["PU"], "until_h": 0.25}]}
    found = what_if(pool, [for_an_hour], level_m=2.5, pump=1.0)
    assert found["scenarios"][0]["junctions_short"] == []
    tank = found["scenarios"][0]["tanks"]["T"]
    assert tank["lowest_level_m"] == pytest.approx(
        2.5 - 0.25 * 2.7, abs=0.01
    )  # drawn at 54 m3/h for a quarter of an hour
    assert tank["highest_level_m"] == pytest.approx(4.0, abs=0.05)  # where its control stops the pump


def test_members_tell_how_likely_and_when(pool: EnginePool) -> None:
    ensemble = what_if(pool, [POWER_CUT], level_m=2.5, pump=1.0, members=20)["scenarios"][0]["ensemble"]
    assert (ensemble["members"], ensemble["members_failed"]) == (20, 0)
    at_h = ensemble["tanks_empty"]["T"]
    assert at_h["probability"] == 1.0
    assert at_h["p10_h"] < 30 / 54 < at_h["p90_h"]
    assert ensemble["junctions_short"]["J"]["p50_h"] == pytest.approx(at_h["p50_h"], abs=0.02)


def test_few_members_say_their_number_and_no_more(pool: EnginePool) -> None:
    found = what_if(pool, [POWER_CUT], level_m=2.5, pump=1.0, members=3)
    assert found["scenarios"][0]["ensemble"] == {"members": 3, "members_failed": 0}
    assert found["scenarios"][0]["against_base"]["likelier"] is None


def test_answers_are_the_same_bytes_whatever_the_workers(pool: EnginePool) -> None:
    words = [POWER_CUT, MENDED]
    with EnginePool(1) as alone:
        one, two = (json.dumps(what_if(on, words, level_m=1.8, pump=1.0, members=12)).encode() for on in (alone, pool))
    assert one == two
