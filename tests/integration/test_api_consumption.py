"""Consumption, demand and trust over HTTP: figures, pages, and who may see what a household uses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from served import T0, House, a_sensor, customers, served

from twin.clock import format_time
from twin.readings import ElementType, Kind, Quality, Reading, Sensor
from twin.units import Quantity

HOURS = 30


def _meter(number: int, district: str, connection: str | None = None) -> Sensor:
    return Sensor(
        f"W-{district}-{number:02}",
        Quantity.VOLUME,
        Kind.TOTAL_INCREASING,
        element_type=ElementType.NODE,
        element_id="N-JUNCTION-7",
        district=district,
        expected_every_s=3600,
        connection_id=f"CONNECTION-{number:03}" if connection is None else connection,
    )


def _register(sensor: Sensor, hours: range, litres_an_hour: float) -> list[Reading]:
    return [
        Reading(sensor.sensor_id, at, at, value, "m3", value, "m3")
        for hour in hours
        for at, value in [(T0 + timedelta(hours=hour - HOURS), 100 + hour * litres_an_hour / 1000)]
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served(tmp_path_factory.mktemp("consumption")) as house:
        meters = [_meter(number, "D1") for number in range(18)] + [_meter(number, "D9") for number in range(3)]
        bulk = _meter(99, "D1", connection="")
        pressure = a_sensor("P1", expected_every_s=3600)
        house.services.registry.upsert_sensors([*meters, bulk, pressure])
        house.services.registry.upsert_customers(customers(20))  # all at a node of D1
        store = house.services.readings
        for number, meter in enumerate(meters):
            store.append(_register(meter, range(HOURS + 1), 10 * (number + 1)))
        store.append(_register(bulk, range(HOURS + 1), 4000))
        for hour in range(48):
            at = T0 - timedelta(hours=60) + timedelta(hours=hour)
            quality = Quality.BAD if hour % 12 == 0 else Quality.GOOD
            reasons = ("out_of_range",) if hour % 12 == 0 else ()
            store.append([Reading("P1", at, at, 30.0, "m", 30.0, "m", quality, reasons)])
        yield house


def _get(house: House, path: str, role: str = "operator", **params: Any) -> dict[str, Any]:
    with house.client(role) as client:
        answer = client.get(f"/api/v1{path}", params=params)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


# -------------------------------------------------------------------------------------------------- consumption


def test_the_last_day_of_a_meter_hour_by_hour(house: House) -> None:
    items = _get(house, "/sensors/W-D1-04/consumption")["items"]
    assert len(items) == 24
    assert items[0]["start"] == format_time(T0 - timedelta(hours=24))
    assert [item["volume_m3"] for item in items] == pytest.approx([0.05] * 24)
    assert {item["quality"] for item in items} == {"good"}


def test_pages_put_together_are_the_whole_period(house: House) -> None:
    whole = _get(house, "/sensors/W-D1-04/consumption", limit=1000)["items"]
    found, cursor = [], None
    while True:
        page = _get(house, "/sensors/W-D1-04/consumption", limit=7, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole


def test_a_period_that_nobody_measured_has_no_volumes(house: House) -> None:
    early, late = format_time(T0 - timedelta(days=99)), format_time(T0 - timedelta(days=98))
    items = _get(house, "/sensors/W-D1-04/consumption", **{"from": early, "to": late, "interval": "1d"})["items"]
    assert [item["volume_m3"] for item in items] == [None, None]


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        pytest.param("/sensors/P1/consumption", {}, 422, id="no meter"),
        pytest.param("/sensors/nobody/consumption", {}, 404, id="no sensor"),
        pytest.param("/sensors/W-D1-04/consumption", {"interval": "1h30"}, 422, id="no interval"),
        pytest.param("/sensors/W-D1-04/consumption", {"cursor": "x"}, 422, id="no cursor"),
        pytest.param("/districts/D7/demand", {}, 404, id="no district"),
        pytest.param(
            "/districts/D1/demand",
            {"from": "1990-01-01T00:00:00Z", "interval": "1d", "limit": "1000"} | {"to": "2020-01-01T00:00:00Z"},
            200,
            id="a thousand days at a time",
        ),
        pytest.param("/trust", {"day": "2026-03-01"}, 422, id="a day that is not over"),
        pytest.param("/trust", {"sensor_id": "nobody"}, 404, id="no sensor to trust"),
    ],
)
def test_what_is_asked_wrongly(house: House, path: str, params: dict[str, str], status: int) -> None:
    with house.client("operator") as client:
        assert client.get(f"/api/v1{path}", params=params).status_code == status


def test_what_a_household_uses_is_for_operators_and_every_read_is_written_down(house: House) -> None:
    with house.client("viewer") as viewer:
        for path in ("consumption", "readings", "rollups?every=1h"):
            assert viewer.get(f"/api/v1/sensors/W-D1-05/{path}").status_code == 403
            assert viewer.get(f"/api/v1/sensors/W-D1-99/{path}").status_code == 200  # nobody's own
        state = viewer.get("/api/v1/state").json()["items"]
    assert {item["sensor_id"] for item in state} == {"P1", "W-D1-99"}
    _get(house, "/sensors/W-D1-05/consumption")
    _get(house, "/sensors/W-D1-05/readings")
    _get(house, "/sensors/W-D1-05/rollups", every="1h")
    audit = _get(house, "/audit", "admin")["items"]
    reads = {(entry["action"], entry["actor"].split(" (")[0]) for entry in audit if entry["subject"] == "W-D1-05"}
    assert reads == {(f"{what}.read", "the operator") for what in ("consumption", "readings", "rollups")}
    assert len(_get(house, "/state")["items"]) == 23


# ------------------------------------------------------------------------------------------------------- demand


def test_a_districts_demand_says_of_how_many_connections_it_is_the_sum(house: House) -> None:
    body = _get(house, "/districts/D1/demand", "viewer")
    assert (body["connections_from"], body["least_coverage"], len(body["items"])) == ("network", 0.75, 24)
    hour = body["items"][5]
    assert hour["metered_m3"] == pytest.approx(sum(range(1, 19)) / 100)
    assert (hour["reporting"], hour["connections"], hour["coverage"]) == (18, 20, 0.9)
    assert hour["mean_flow_m3s"] == pytest.approx(1.71 / 3600)
    assert (hour["scaled_m3"], hour["withheld"], hour["sufficient"]) == (None, False, True)


def test_an_estimate_for_all_is_only_given_when_asked_for(house: House) -> None:
    hour = _get(house, "/districts/D1/demand", scaled="true")["items"][5]
    assert hour["scaled_m3"] == pytest.approx(1.71 / 0.9)
    assert hour["metered_m3"] == pytest.approx(1.71)


def test_too_small_a_share_has_no_figure(house: House) -> None:
    hour = _get(house, "/districts/D1/demand", least_coverage=0.95, scaled="true")["items"][5]
    assert (hour["metered_m3"], hour["scaled_m3"], hour["sufficient"]) == (None, None, False)
    assert hour["coverage"] == 0.9


def test_a_sum_over_a_few_households_is_for_operators(house: House) -> None:
    few = _get(house, "/districts/D9/demand", "viewer", scaled="true")["items"][5]
    assert (few["metered_m3"], few["scaled_m3"], few["estimated_share"], few["withheld"]) == (None, None, None, True)
    shown = _get(house, "/districts/D9/demand")
    assert shown["connections_from"] == "meters"
    assert shown["items"][5]["metered_m3"] == pytest.approx((19 + 20 + 21) / 100)


# -------------------------------------------------------------------------------------------------------- trust


def test_the_trust_of_the_last_closed_day(house: House) -> None:
    body = _get(house, "/trust", "viewer", sensor_id="P1")
    (day,) = body["items"]
    assert (body["day"], body["missing"]) == ("2026-02-28", 0)
    assert (day["availability"], day["validity"], day["accuracy"]) == (1, pytest.approx(22 / 24), None)
    assert day["trust"] == pytest.approx(22 / 24)
    assert day["reasons"] == {"out_of_range": 2}
    assert body["overall"]["trust"] == day["trust"]


def test_all_sensors_of_a_day_in_pages(house: House) -> None:
    first = _get(house, "/trust", "viewer", limit=20)
    second = _get(house, "/trust", "viewer", limit=20, cursor=first["next_cursor"])
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (20, 3, None)
    assert first["overall"] == second["overall"]
    assert first["overall"]["sensor_days"] == 23


def test_the_figure_stands_among_the_kpis(house: House) -> None:
    kpis = {kpi["kpi_id"]: kpi for kpi in _get(house, "/kpis", "viewer")["items"] if kpi["subject"] == "all"}
    assert 0 < kpis["data_trust"]["value"] < 100
    assert kpis["data_accuracy"]["value"] is None
