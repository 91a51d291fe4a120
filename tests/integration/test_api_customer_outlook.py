"""Which connections will be out of supply, and how likely: of the newest forecast, for operators only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from served import T0, House, a_failed_run, a_supply_run, customers, served

from twin.forecasts import PredictedOutage, ShortageKind

ASKED = "/api/v1/forecasts/supply/customers"


def the_outage(node: str, probability: float | None, starts_h: float) -> PredictedOutage:
    starts = T0 + timedelta(hours=starts_h)
    return PredictedOutage(
        node, starts, starts + timedelta(hours=4), ShortageKind.NO_SOURCE, "tank_empty:T", "tank T empties", 0.0, 0.0,
        probability, starts - timedelta(hours=1), starts + timedelta(hours=1), 7200.0, None,
    )  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    run = a_supply_run("members")
    assert run.supply is not None
    forecast = replace(
        run.supply,
        outages=(the_outage("N-JUNCTION-7", 0.8, 2), the_outage("N-JUNCTION-7", None, 20)),
        possible=(the_outage("N-TANK-1", 0.1, 5), the_outage("NOBODY", 0.3, 5)),
        members_done=50,
    )
    with served(tmp_path) as house:
        registry = house.services.registry
        registry.upsert_customers(
            [*customers(2), *(replace(one, connection_id=f"Z-{one.connection_id}") for one in customers(1, "N-TANK-1"))]
        )
        registry.save_run(replace(run, supply=forecast))
        yield house


def test_every_connection_is_told_how_likely_from_when_for_how_long_and_why(house: House) -> None:
    with house.client("operator") as operator:
        found = operator.get(ASKED).json()
    assert (found["run_id"], found["members_done"], found["stale"]) == ("members", 50, False)
    listed = [(one["connection_id"], one["probability"]) for one in found["items"]]
    assert listed == [
        ("CONNECTION-000", 0.8), ("CONNECTION-000", None), ("CONNECTION-001", 0.8), ("CONNECTION-001", None),
        ("Z-CONNECTION-000", 0.1),
    ]  # fmt: skip
    first = found["items"][0]
    assert (first["node_id"], first["sensitive"], first["cause"]) == ("N-JUNCTION-7", "hospital", "tank T empties")
    assert (first["starts_at"], first["starts_p10_at"]) == ("2026-03-01T14:00:00Z", "2026-03-01T13:00:00Z")
    assert (first["ends_at"], first["duration_p10_s"], first["duration_p90_s"]) == ("2026-03-01T18:00:00Z", 7200, None)
    assert not {"street", "phone", "email", "customer_id"} & set(first)


def test_what_is_less_likely_is_left_out_but_not_what_has_no_probability(house: House) -> None:
    with house.client("operator") as operator:
        found = operator.get(ASKED, params={"least_probability": 0.5}).json()
    assert {one["probability"] for one in found["items"]} == {0.8, None}


def test_pages_join_to_the_whole(house: House) -> None:
    with house.client("operator") as operator:
        whole = operator.get(ASKED).json()["items"]
        pages, cursor = [], None
        while cursor is not None or not pages:
            page = operator.get(ASKED, params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            pages += page["items"]
            cursor = page["next_cursor"]
    assert pages == whole


def test_reading_it_is_for_operators_and_written_down(house: House) -> None:
    with house.client("viewer") as viewer:
        assert viewer.get(ASKED).status_code == 403
    with house.client("operator") as operator, house.client("admin") as admin:
        operator.get(ASKED)
        entries = admin.get("/api/v1/audit", params={"limit": 100}).json()["items"]
    assert [entry["action"] for entry in entries].count("outlook.read") == 1


def test_a_run_that_gave_no_forecast_says_why(house: House) -> None:
    house.services.registry.save_run(a_failed_run("broken"))
    with house.client("operator") as operator:
        answer = operator.get(ASKED, params={"run_id": "broken"})
        assert answer.status_code == 404
        assert "the engine did not converge" in answer.json()["detail"]
        assert operator.get(ASKED).json()["stale"] is True
