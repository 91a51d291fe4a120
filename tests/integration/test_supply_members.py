"""The look-ahead's members, against tanks that are emptied by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from supply_networks import MONDAY, ONE_TANK, a_request, a_sensor

from models.demand.ladder import DemandBasis, DemandForecast
from models.demand.spread import PRIORS, member_multipliers
from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.model import EpanetSupply
from twin.forecasts import SupplyForecast
from twin.units import Quantity

LEVEL = a_sensor("LT", Quantity.LEVEL, "T")
PUMP = a_sensor("SP", Quantity.STATUS, "PU")
SLOW = ONE_TANK.replace("J 20 10", "J 20 0.4").replace("K 20 5", "K 20 0.2")
"""The tank is drawn at 0.6 L/s (2.16 m3/h): 18 m3 last for 8 h 20 min."""

MOMENT = timedelta(minutes=3)
"""The last 5 mm, 0.1 m3, count as nothing."""


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


def run(pool: EnginePool, inp: str, hours: int, members: int = 50) -> SupplyForecast:
    request = replace(a_request({LEVEL: 1.9, PUMP: 0.0}, hours=hours), members=members)
    return EpanetSupply(inp.encode(), pool, model_id="one tank").run(request)


def emptied_at_h(hours: int, members: int, volume_m3: float = 18.0) -> list[float]:
    """When a volume is used up, for each member: hour by hour, with the members' multipliers of 2.16 m3/h."""
    unknown = np.ones(hours + 1)
    forecast = DemandForecast("T", DemandBasis.MODEL, unknown, unknown, None, 0)
    multipliers = member_multipliers([forecast], [PRIORS[DemandBasis.MODEL]], members)[:, 0, :hours]
    used_m3 = np.concatenate([np.zeros((members, 1)), np.cumsum(2.16 * multipliers, axis=1)], axis=1)
    return [
        float(np.interp(volume_m3, used, np.arange(hours + 1), right=np.inf)) if used[-1] >= volume_m3 else np.inf
        for used in used_m3
    ]


def test_the_tank_is_empty_when_the_hand_says_so_member_by_member(pool: EnginePool) -> None:
    forecast = run(pool, SLOW, hours=9)
    assert forecast.members_done == 50
    by_hand = sorted(emptied_at_h(9, 50))
    within = sum(moment < np.inf for moment in emptied_at_h(9, 50, volume_m3=17.9))
    assert 10 < within < 45  # or the test would say little
    (tank,) = forecast.tanks
    assert tank.empty is not None
    assert tank.empty.probability == within / 50
    for found, rank in ((tank.empty.p10_at, 4), (tank.empty.p50_at, 24), (tank.empty.p90_at, 44)):
        if by_hand[rank] == np.inf:
            assert found is None
        else:
            assert found is not None
            assert found - MONDAY == pytest.approx(timedelta(hours=by_hand[rank]), abs=MOMENT)
    assert tank.empty_at is not None
    assert tank.empty_at - MONDAY == pytest.approx(timedelta(hours=18 / 2.16), abs=MOMENT)


def test_customers_behind_the_tank_are_out_as_likely_as_it_is_empty(pool: EnginePool) -> None:
    forecast = run(pool, SLOW, hours=9)
    by_hand = emptied_at_h(9, 50)
    share = sum(moment <= 9 for moment in by_hand) / 50
    assert {outage.node_id for outage in forecast.outages} == {"J", "K"}
    for outage in forecast.outages:
        assert outage.probability == pytest.approx(share, abs=0.04)  # an outage begins on a whole hour
        assert outage.cause_key == "tank_empty:T"
        assert outage.starts_p10_at is not None
        assert outage.starts_p10_at < outage.starts_at
        assert outage.duration_p90_s is None


def test_what_few_members_have_is_possible_and_not_predicted(pool: EnginePool) -> None:
    forecast = run(pool, SLOW, hours=7)
    assert forecast.outages == ()
    share = sum(moment <= 7 for moment in emptied_at_h(7, 50)) / 50
    assert 0.05 <= share < 0.5
    assert {outage.node_id for outage in forecast.possible} == {"J", "K"}
    assert all(outage.probability == pytest.approx(share, abs=0.02) for outage in forecast.possible)


def test_the_same_members_whatever_the_workers(pool: EnginePool) -> None:
    with EnginePool(1) as alone:
        assert run(alone, SLOW, hours=9) == run(pool, SLOW, hours=9)


def test_without_members_nothing_is_said_about_probability(pool: EnginePool) -> None:
    none, few = run(pool, SLOW, hours=9, members=0), run(pool, SLOW, hours=9, members=4)
    assert (none.members_done, few.members_done) == (0, 4)
    assert none.outages == few.outages
    assert none.outages[0].probability is None
    assert none.provenance.warnings == ()
    assert few.provenance.warnings == ("no probabilities: 4 of 4 members of the ensemble were run, 10 are needed",)


class Hurried(EnginePool):
    """Ends the workers of every second portion of members before they can answer."""

    portions = 0

    def run(self, function: Callable[..., Any], *args: object, time_limit_s: float | None = None) -> Any:
        if function.__name__ == "_members":
            self.portions += 1
            if self.portions % 2 == 0:
                time_limit_s = 1e-4
        return super().run(function, *args, time_limit_s=time_limit_s)


def test_members_whose_worker_is_ended_are_named_and_the_others_count() -> None:
    with Hurried(1) as pool:
        forecast = run(pool, SLOW, hours=9, members=20)
    assert forecast.members_done == 10
    assert [lost.member for lost in forecast.members_failed] == [str(n) for n in (*range(6, 11), *range(16, 21))]
    assert "was stopped" in forecast.members_failed[0].reason
    assert forecast.outages[0].probability is not None


def test_ctown_tells_probabilities_of_its_own_day(pool: EnginePool) -> None:
    supply = EpanetSupply(SUPPLY_INP.read_bytes(), pool, model_id="C-Town")
    forecast = supply.run(replace(a_request({}, hours=24), members=20))
    assert forecast.members_done == 20
    assert all(tank.empty is not None for tank in forecast.tanks)
    used = {pump.pump_id: pump for pump in forecast.pumps}["PU1"]
    assert used.energy_p10_kwh is not None
    assert used.energy_p90_kwh is not None
    assert used.energy_p10_kwh <= used.energy_kwh <= used.energy_p90_kwh
