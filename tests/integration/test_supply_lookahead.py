"""The look-ahead from measured states, on a network small enough to calculate by hand and on C-Town.

ONE_TANK: the tank holds 20 m3 per metre and is drawn at 15 L/s (54 m3/h, 2.7 m/h) when nothing flows in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from supply_networks import MONDAY, ONE_TANK, a_request, a_sensor

from models.networks.ctown import SUPPLY_INP
from models.pool import EnginePool
from models.supply.model import EpanetSupply
from twin.forecasts import ShortageKind, StateRest, StateRung, SupplyForecast
from twin.readings import Sensor
from twin.units import Quantity

LEVEL = a_sensor("LT", Quantity.LEVEL, "T")
PUMP = a_sensor("SP", Quantity.STATUS, "PU")
PUMP_FLOW = a_sensor("FP", Quantity.FLOW, "PU")
PRESSURE = a_sensor("PJ", Quantity.PRESSURE, "J")


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


@pytest.fixture(scope="module")
def one_tank(pool: EnginePool) -> EpanetSupply:
    return EpanetSupply(ONE_TANK.encode(), pool, model_id="one tank")


def words(forecast: SupplyForecast) -> str:
    return "\n".join(forecast.provenance.state_basis)


def test_a_stopped_pump_empties_the_tank_when_the_hand_says_so(one_tank: EpanetSupply) -> None:
    forecast = one_tank.run(a_request({LEVEL: 1.9, PUMP: 0.0}))
    # 0.9 m above the lowest level at 2.7 m/h: 20 minutes
    tank = forecast.tanks[0]
    assert tank.empty_at is not None
    assert tank.empty_at - MONDAY == pytest.approx(timedelta(minutes=20), abs=timedelta(seconds=15))
    assert {(o.node_id, o.cause_key, o.shortage) for o in forecast.outages} == {
        ("J", "tank_empty:T", ShortageKind.NO_SOURCE),
        ("K", "tank_empty:T", ShortageKind.NO_SOURCE),
    }
    assert all(o.starts_at == MONDAY + timedelta(hours=1) and o.ends_at is None for o in forecast.outages)
    assert "tank T empties at 00:20 on 2026-01-05 (UTC); pump PU stands still" in forecast.outages[0].cause
    assert forecast.outages[0].delivered_share == pytest.approx(0.0, abs=1e-6)
    # 18 m3 are there to deliver, of 24 h x 54 m3
    assert forecast.delivered_m3 == pytest.approx(18.0, rel=0.01)
    assert forecast.demand_m3 == pytest.approx(24 * 54.0, rel=1e-3)


def test_a_pump_at_rest_is_no_failure(one_tank: EpanetSupply) -> None:
    forecast = one_tank.run(a_request({LEVEL: 3.0, PUMP: 0.0}))
    assert "held closed" not in words(forecast)
    assert forecast.outages == ()
    assert forecast.delivered_m3 == pytest.approx(24 * 54.0, rel=1e-3)


def test_a_pump_that_runs_pumps_though_its_file_has_it_closed(one_tank: EpanetSupply) -> None:
    # between its two levels no control calls: what is measured decides
    runs, rests = (one_tank.run(a_request({LEVEL: 3.0, PUMP: running}, hours=1)) for running in (1.0, 0.0))
    pumped = runs.pumps[0].volume_m3 / runs.pumps[0].running_h  # m3/h
    up_h, down_h = 20 / (pumped - 54), 40 / 54  # a metre up, two metres down
    # up to 4 m, down to 2 m, and up again
    assert runs.tanks[0].level_series_m[1] == pytest.approx(2 + (1 - up_h - down_h) / up_h, abs=0.1)
    # down to 2 m, up to 4 m, and down again
    assert rests.tanks[0].level_series_m[1] == pytest.approx(4 - 2.7 * (1 - down_h / 2 - 2 * up_h), abs=0.1)


def test_a_pump_gets_a_moment_to_follow_its_control(one_tank: EpanetSupply) -> None:
    # every 5 minutes: the control calls below 2 m, first since 15 minutes, then since 20
    just_crossed = one_tank.run(a_request({LEVEL: [2.1, 1.99, 1.97, 1.95, 1.93], PUMP: [0.0] * 5}))
    assert just_crossed.outages == ()
    for_long = one_tank.run(a_request({LEVEL: [1.99, 1.97, 1.95, 1.93, 1.9], PUMP: [0.0] * 5}))
    assert {o.cause_key for o in for_long.outages} == {"tank_empty:T"}


@pytest.mark.parametrize(
    ("levels", "failed"),
    [
        pytest.param([2.9, 1.5], True, id="twenty minutes ago it stood at 1.97 m"),
        pytest.param([2.9, 1.9], False, id="twenty minutes ago it stood at 2.23 m"),
    ],
)
def test_hourly_levels_are_drawn_straight_between(one_tank: EpanetSupply, levels: list[float], failed: bool) -> None:
    request = a_request({LEVEL: levels, PUMP: [0.0, 0.0]}, step=timedelta(hours=1))
    assert ("held closed" in words(one_tank.run(request))) is failed


def test_flow_tells_of_a_stopped_pump_too_and_belies_a_wrong_status(one_tank: EpanetSupply) -> None:
    assert "stands still" in words(one_tank.run(a_request({LEVEL: 1.5, PUMP_FLOW: 0.0})))
    running = one_tank.run(a_request({LEVEL: 1.5, PUMP: 0.0, PUMP_FLOW: 0.02}))
    assert "taken as open" in words(running)
    assert running.outages == ()


def test_an_old_level_is_held_for_two_hours_as_an_assumption_and_that_is_said(one_tank: EpanetSupply) -> None:
    forecast = one_tank.run(a_request({LEVEL: 1.5, PUMP: 0.0}, age=timedelta(minutes=16)))
    assert forecast.tanks[0].level_m == pytest.approx(1.5)
    assert (forecast.tanks[0].measured, "T" in forecast.assumed) == (False, True)
    assert "level of T (LT): not used, its last value is of 2026-01-04T23:44:00Z" in words(forecast)
    assert "tank T: no fresh level, 1.50 m of 2026-01-04T23:44:00Z is held (assumed)" in words(forecast)


def test_older_values_are_not_used_and_said(one_tank: EpanetSupply) -> None:
    forecast = one_tank.run(a_request({LEVEL: 1.5, PUMP: 0.0}, age=timedelta(minutes=121)))
    assert forecast.tanks[0].level_m == pytest.approx(3.0)
    assert "level of T (LT): not used, its last value is of 2026-01-04T21:59:00Z" in words(forecast)
    assert "tank T: no level known, the model's 3.00 m is taken" in words(forecast)


HOURLY = [0.030] * (24 * 12 + 1)
TWO_HOURS = [0.030] * 25


@pytest.mark.parametrize(
    ("values", "age_min", "rungs"),
    [
        ({}, 0, {"T": "model", "PU": "control", "T demand": "model"}),
        ({LEVEL: 3.0}, 0, {"T": "measured"}),
        ({LEVEL: 3.0}, 16, {"T": "held"}),
        ({LEVEL: 3.0}, 121, {"T": "model"}),
        ({PUMP: 1.0}, 0, {"PU": "measured"}),
        ({PUMP_FLOW: 0.02}, 0, {"PU": "measured"}),
        ({PUMP: 1.0}, 16, {"PU": "control"}),
        ({a_sensor("F2", Quantity.FLOW, "P2"): TWO_HOURS, LEVEL: [3.0] * 25}, 0, {"J demand": "scaled"}),
        ({a_sensor("F2", Quantity.FLOW, "P2"): HOURLY, LEVEL: [3.0] * len(HOURLY)}, 0, {"J demand": "history"}),
    ],
)  # fmt: skip
def test_every_quantity_says_on_which_rung_it_stands(
    one_tank: EpanetSupply, values: dict[Sensor, float | list[float]], age_min: int, rungs: dict[str, str]
) -> None:
    forecast = one_tank.run(a_request(values, age=timedelta(minutes=age_min)))
    found = {f"{r.element_id}{' demand' if r.quantity == 'demand' else ''}": str(r.rung) for r in forecast.rests}
    assert found.items() >= rungs.items()
    assert {"T", "PU"} <= found.keys()
    assert any(key.endswith("demand") for key in found)


@pytest.mark.parametrize(("level", "taken", "said"), [(5.1, 5.0, "held within"), (9.0, 3.0, "outside the tank")])
def test_impossible_levels(one_tank: EpanetSupply, level: float, taken: float, said: str) -> None:
    forecast = one_tank.run(a_request({LEVEL: level}))
    assert forecast.tanks[0].level_m == pytest.approx(taken, abs=1e-6)
    assert said in words(forecast)


def test_a_closed_pipe_is_named(one_tank: EpanetSupply) -> None:
    forecast = one_tank.run(a_request({LEVEL: 3.0, a_sensor("S3", Quantity.STATUS, "P3"): 0.0}))
    assert {(o.node_id, o.cause_key, o.shortage) for o in forecast.outages} == {
        ("K", "closed:P3", ShortageKind.NO_SOURCE)
    }


def test_series_and_levels_have_a_value_for_every_hour(one_tank: EpanetSupply) -> None:
    forecast = one_tank.run(a_request({LEVEL: 3.0, PUMP: 0.0, PRESSURE: 40.0}, hours=30))
    assert forecast.valid_at == tuple(MONDAY + timedelta(hours=h) for h in range(31))
    found = {(s.element_id, s.quantity): s.values for s in forecast.series}
    assert set(found) == {("T", "level"), ("PU", "status"), ("J", "pressure")}
    assert all(len(values) == 31 for values in found.values())
    assert found["T", "level"] == pytest.approx(forecast.tanks[0].level_series_m)
    assert found["J", "pressure"][0] == pytest.approx(60 + 3.0 - 20, abs=1.0)


def test_low_pressure_that_is_ordinary_is_not_reported_but_said(one_tank: EpanetSupply) -> None:
    forecast = one_tank.run(a_request({LEVEL: 3.0}, required_pressure_m=60.0))
    assert forecast.outages == ()
    assert any("2 junctions are below 60 m in the model's ordinary run" in w for w in forecast.provenance.warnings)


def test_the_same_inputs_give_the_same_forecast_and_other_inputs_another_hash(one_tank: EpanetSupply) -> None:
    request = a_request({LEVEL: 2.5, PUMP: 1.0})
    first, second = one_tank.run(request), one_tank.run(request)
    assert first == second
    other = one_tank.run(a_request({LEVEL: 2.6, PUMP: 1.0}))
    assert other.provenance.inputs_hash != first.provenance.inputs_hash
    assert first.provenance.engine == "EPANET 2.3.5"


def test_daily_controls_and_patterns_follow_the_local_clock(pool: EnginePool) -> None:
    # J draws only from 06:00 to 07:00; PU runs from 03:00 to 04:00. T0 is 01:00 in Lisbon's summer: 00:00 UTC.
    inp = (
        ONE_TANK.replace("J 20 10", "J 20 10 M")
        .replace("K 20 5", "K 20 0")
        .replace(
            "LINK PU OPEN IF NODE T BELOW 2\nLINK PU CLOSED IF NODE T ABOVE 4",
            "LINK PU OPEN AT TIME 3\nLINK PU CLOSED AT TIME 4",
        )
    )
    pattern = "\n".join(f"M {1 if hour == 6 else 0}" for hour in range(24))
    supply = EpanetSupply(
        f"{inp}\n[PATTERNS]\n{pattern}\n".encode(), pool, model_id="daily", zone=ZoneInfo("Europe/Lisbon")
    )
    summer = MONDAY.replace(month=7, day=1)
    demand, flow = a_sensor("D", Quantity.DEMAND, "J"), a_sensor("F", Quantity.STATUS, "PU")
    forecast = supply.run(replace(a_request({demand: 0.0, flow: 0.0}, at=summer), latest={}))
    found = {s.element_id: s.values for s in forecast.series}
    assert [hour for hour, value in enumerate(found["J"]) if value > 0] == [5]
    assert [hour for hour, value in enumerate(found["PU"]) if value > 0] == [2]


def test_observed_demand_scales_the_look_ahead(pool: EnginePool) -> None:
    # P2 is metered: 24 hours of 30 L/s where the model has 15 draw the network's scale to (24 * 2 + 6) / 30 = 1.8, the
    # district's to (24 * 2 + 6 * 1.8) / 30 = 1.96; the hours of yesterday weigh a quarter: (2 + 3 * 1.96) / 4 = 1.97.
    # Without its last hour the balance would have said 1.95: that this was 2 raises the first hours, fading over 4 h.
    supply = EpanetSupply(ONE_TANK.encode(), pool, model_id="one tank")
    flow = a_sensor("F2", Quantity.FLOW, "P2")
    hourly = [0.030] * (24 * 12 + 1)
    forecast = supply.run(a_request({flow: hourly, LEVEL: [3.0] * len(hourly)}))
    assert supply.network.district_of_node == {"A": "T", "T": "T", "R": "T", "J": "J", "K": "J"}
    assert forecast.demand_m3 == pytest.approx(1.98 * 24 * 54.0, rel=0.005)
    assert "demand of J: forecast from yesterday and the model's patterns (1.98 of the model's)" in words(forecast)


def test_meters_of_the_consumers_stand_in_for_a_balance(one_tank: EpanetSupply) -> None:
    # One district, no flow meter. J and K draw 10 and 5 L/s in the model, their meters say 12 and 6: 1.2 times as much
    # in two hours, so the scale is (2 * 1.2 + 6) / 8. J alone is two thirds of the demand: too few meters tell nothing.
    meters = {a_sensor("MJ", Quantity.DEMAND, "J"): [0.012] * 25, a_sensor("MK", Quantity.DEMAND, "K"): [0.006] * 25}
    known = one_tank.run(a_request({LEVEL: [3.0] * 25, **meters}))
    assert known.demand_m3 == pytest.approx((2 * 1.2 + 6) / 8 * 24 * 54.0, rel=0.001)
    assert StateRest("demand", "T", StateRung.SCALED) in known.rests
    too_few = {sensor: values for sensor, values in meters.items() if sensor.element_id == "J"}
    unknown = one_tank.run(a_request({LEVEL: [3.0] * 25, **too_few}))
    assert unknown.demand_m3 == pytest.approx(24 * 54.0, rel=0.001)
    assert StateRest("demand", "T", StateRung.MODEL) in unknown.rests


def test_a_tank_district_is_balanced_with_what_the_tank_keeps(pool: EnginePool) -> None:
    # 20 L/s come in through PU, the tank rises 0.18 m/h (1 L/s): 19 L/s are drawn where the model has 15. Two hours are
    # known, so the network's scale is (2 * 19 / 15 + 6) / 8, and the district's is drawn towards that for six hours.
    supply = EpanetSupply(ONE_TANK.encode(), pool, model_id="one tank")
    levels = [2.5 + 0.18 / 12 * i for i in range(25)]
    forecast = supply.run(a_request({PUMP_FLOW: [0.020] * 25, LEVEL: levels}))
    network_scale = (2 * 19 / 15 + 6) / 8
    assert forecast.demand_m3 == pytest.approx((2 * 19 / 15 + 6 * network_scale) / 8 * 24 * 54.0, rel=0.001)


def test_an_accident_in_c_town_shows_where_it_must(pool: EnginePool) -> None:
    supply = EpanetSupply(SUPPLY_INP.read_bytes(), pool, model_id="C-Town")
    level = a_sensor("L", Quantity.LEVEL, "T5")
    flows = {a_sensor(f"F{pump}", Quantity.FLOW, pump): 0.03 for pump in ("PU1", "PU4", "PU6", "PU8", "PU10", "V2")}
    others = {a_sensor(f"F{pump}", Quantity.FLOW, pump): 0.0 for pump in ("PU3", "PU5", "PU7", "PU9", "PU11")}
    stopped = a_sensor("S", Quantity.STATUS, "PU8")
    flows = {sensor: value for sensor, value in flows.items() if sensor.element_id != "PU8"}
    forecast = supply.run(
        a_request({level: 1.0, stopped: 0.0, a_sensor("F8", Quantity.FLOW, "PU8"): 0.0, **flows, **others})
    )
    nodes = {o.node_id for o in forecast.outages if o.cause_key == "tank_empty:T5"}
    consumers_of_t5 = {n for n in supply.network.nodes_of("T5") if n.startswith("J")}
    assert nodes
    assert nodes <= consumers_of_t5
    assert {o.shortage for o in forecast.outages if o.node_id in nodes} == {ShortageKind.NO_SOURCE}


# ------------------------------------------------------------------------------------- what is merely assumed


def test_what_has_a_sensor_but_no_fresh_value_is_assumed_and_what_has_none_is_not(one_tank: EpanetSupply) -> None:
    seen = one_tank.run(a_request({LEVEL: 1.9, PUMP: 0.0}))
    assert (seen.measured, seen.assumed, seen.assumed_area) == (("T", "PU"), (), ())
    silent = one_tank.run(a_request({LEVEL: 1.9, PUMP: 0.0}, age=timedelta(minutes=16)))
    assert (silent.measured, silent.assumed) == ((), ("T", "PU"))
    assert set(silent.assumed_area) == {"R", "A", "T", "J", "K"}
    unequipped = one_tank.run(a_request({}))
    assert (unequipped.measured, unequipped.assumed) == ((), ())


def test_the_level_of_a_tank_is_measured_or_said_not_to_be(one_tank: EpanetSupply) -> None:
    assert one_tank.run(a_request({LEVEL: 3.0})).tanks[0].measured
    assert not one_tank.run(a_request({LEVEL: 3.0}, age=timedelta(minutes=16))).tanks[0].measured
    assert not one_tank.run(a_request({LEVEL: 9.0})).tanks[0].measured
    assert not one_tank.run(a_request({})).tanks[0].measured


def test_a_resting_pump_whose_tank_is_unseen_may_have_failed(one_tank: EpanetSupply) -> None:
    request = a_request({LEVEL: 1.5, PUMP: 0.0})
    forecast = one_tank.run(replace(request, latest={"SP": request.latest["SP"]}, history={}))
    assert set(forecast.assumed) == {"T", "PU"}
    assert "at rest or failed? T is unseen" in words(forecast)


@pytest.mark.parametrize(
    ("sensors", "assumed"),
    [
        pytest.param([a_sensor("S3", Quantity.STATUS, "P3")], ("P3",), id="the status of a pipe"),
        pytest.param([a_sensor("F3", Quantity.FLOW, "P3")], (), id="a flow meter on a pipe tells nothing of its state"),
        pytest.param([PUMP_FLOW], ("PU",), id="the flow of a pump"),
    ],
)
def test_links_are_assumed_by_what_their_sensors_would_tell(
    one_tank: EpanetSupply, sensors: list[Sensor], assumed: tuple[str, ...]
) -> None:
    silent = replace(a_request(dict.fromkeys(sensors, 0.0)), latest={}, history={})
    assert one_tank.run(silent).assumed == assumed


def test_a_silent_station_in_c_town_leaves_its_own_area_unknown_and_no_more(pool: EnginePool) -> None:
    supply = EpanetSupply(SUPPLY_INP.read_bytes(), pool, model_id="C-Town")
    pumps = ("PU1", "PU2", "PU3", "PU4", "PU5", "PU6", "PU7", "PU8", "PU9", "PU10", "PU11", "V2")
    request = a_request({a_sensor(f"F_{pump}", Quantity.FLOW, pump): 0.03 for pump in pumps})
    latest = {name: reading for name, reading in request.latest.items() if name not in ("F_PU4", "F_PU5")}
    forecast = supply.run(replace(request, latest=latest))
    assert forecast.assumed == ("PU4", "PU5")
    area = set(forecast.assumed_area)
    assert set(supply.network.nodes_of("T3")) <= area
    assert not set(supply.network.nodes_of("T4")) & area
    assert not set(supply.network.nodes_of("T5")) & area


def test_without_a_source_no_pressure_is_foretold(one_tank: EpanetSupply) -> None:
    # P3 is closed: behind it EPANET shows K under the pressure of full pipes, 43 m, but nobody gets any water.
    sensors = {
        a_sensor("S3", Quantity.STATUS, "P3"): 0.0,
        a_sensor("PK", Quantity.PRESSURE, "K"): 0.0,
        a_sensor("HK", Quantity.HEAD, "K"): 20.0,
        a_sensor("DK", Quantity.DEMAND, "K"): 0.0,
        a_sensor("PJ", Quantity.PRESSURE, "J"): 40.0,
    }
    forecast = one_tank.run(a_request({LEVEL: 3.0, **sensors}))
    found = {(s.element_id, s.quantity): set(s.values) for s in forecast.series}
    assert (found["K", "pressure"], found["K", "head"], found["K", "demand"]) == ({0.0}, {20.0}, {0.0})
    assert min(found["J", "pressure"]) > 35
    assert min(found["T", "level"]) >= 1.0
