"""Isolations of the running twin: its network, valves, customers and levels; who may ask, and what is written down."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from isolation_town import CUSTOMERS, NETWORK, VALVES
from served import T0, House, a_supply_run, served

from api.bootstrap import Models
from ingest.files.customers import read_customers
from ingest.files.valves import read_valves
from models.pool import EnginePool
from twin.clock import ReplayClock
from twin.forecasts import TankOutlook
from twin.network import NetworkKind
from twin.ports import ModelFile
from twin.storage.registry import open_registry
from twin.valves import Valve


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as pool:
        yield pool


@contextmanager
def town(folder: Path, pool: EnginePool) -> Iterator[House]:
    """Serve the town with all that is imported but the valves."""
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    models = Models(registry, pool)
    clock = ReplayClock(T0)
    inp = NETWORK.format(p5="Open", p7=300).encode()
    registry.save_model_file(ModelFile(NetworkKind.SUPPLY, "town", hashlib.sha256(inp).hexdigest(), inp, T0))
    (folder / "customers.csv").write_text(CUSTOMERS)
    registry.upsert_customers(read_customers(folder / "customers.csv"))
    with served(
        folder,
        network=models.network,
        isolate=lambda question: models.isolate(question, clock, required_pressure_m=10.0),
    ) as house:
        yield house
    registry.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, pool: EnginePool) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("town")
    with town(folder, pool) as house:
        (folder / "valves.csv").write_text(VALVES.format(v2="true"))
        house.services.registry.upsert_valves(read_valves(folder / "valves.csv"))
        yield house


def get(house: House, role: str = "operator", **asked: Any) -> Any:
    with house.client(role) as client:
        answer = client.get("/api/v1/isolation", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_valves_customers_and_pressures(house: House) -> None:
    answer = get(house, node="C")
    assert (set(answer["valves"]), answer["valves_assumed"]) == ({"V4", "V5"}, False)
    places = {each["valve_id"]: (each["link_id"], each["near_node"]) for each in answer["valve_places"]}
    assert places == {"V4": ("P3", "C"), "V5": ("P6", "C")}
    assert answer["dry_nodes"] == ["C", "D"]
    assert answer["low_pressure_nodes"] == []
    assert answer["customers"] == {
        "count": 3,
        "sensitive_count": 1,
        "sensitive": ["hospital"],
        "low_pressure_count": 0,
        "count_by_stuck_valves": 0,
        "count_by_shut_valves": 0,
    }


def test_viewers_see_how_many_but_not_who(house: House) -> None:
    customers = get(house, "viewer", node="C", hydraulics=False)["customers"]
    assert (customers["sensitive_count"], customers["sensitive"]) == (1, None)


def test_tanks_last_from_their_levels_now(tmp_path: Path, pool: EnginePool) -> None:
    with town(tmp_path, pool) as house:
        house.services.registry.upsert_valves(
            [Valve("V1", "P2", "A"), Valve("V2", "P2", "B"), Valve("X", "P7", "B", normally_closed=True)]
        )
        before = get(house, link="P2", hydraulics=False)
        assert before["levels_at"] is None
        assert before["tank_fed"][0]["lasts_h"] == pytest.approx(60 / 6e-3 / 3600, rel=1e-6)  # 3 m of 20 m2 at 6 L/s
        run = a_supply_run()
        assert run.supply is not None
        tank = TankOutlook("T", 2.5, 1.0, 6.0, None, None)
        house.services.registry.save_run(replace(run, supply=replace(run.supply, tanks=(tank,))))
        after = get(house, link="P2", hydraulics=False)
        assert after["tank_fed"][0]["lasts_h"] == pytest.approx(30 / 6e-3 / 3600, rel=1e-6)
        assert after["levels_at"] == (T0 - timedelta(minutes=2)).isoformat().replace("+00:00", "Z")


def test_without_valves_every_pipe_has_them(tmp_path: Path, pool: EnginePool) -> None:
    with town(tmp_path, pool) as house:
        answer = get(house, link="P2", hydraulics=False)
        assert (set(answer["valves"]), answer["valves_assumed"]) == ({"P2@A", "P2@B"}, True)


def test_valves_without_a_place_are_named_and_spoil_no_answer(tmp_path: Path, pool: EnginePool) -> None:
    with town(tmp_path, pool) as house:
        house.services.registry.upsert_valves(
            [Valve("V1", "P2", "A"), Valve("V2", "P2", "B"), Valve("GONE", "P99", "A"), Valve("MOVED", "P2", "D")]
        )
        answer = get(house, link="P2", hydraulics=False)
        assert set(answer["valves"]) == {"V1", "V2"}
        assert answer["valves_not_in_network"] == ["GONE", "MOVED"]


def test_a_question_with_overrides_is_answered_and_written_down(house: House) -> None:
    with house.client("operator") as operator:
        asked = {"link": "P2", "inoperable": ["V2"], "closed": ["V3"], "hydraulics": False}
        answer = operator.post("/api/v1/isolation", json=asked)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["valves"], answer.json()["stuck_valves"]) == (["V1"], ["V2"])
    newest = house.services.registry.audit_entries(limit=1).items[0]
    assert (newest.action, newest.subject) == ("isolation.asked", "P2")
    assert newest.actor.startswith("the operator (")
    assert newest.detail == "inoperable: V2; closed: V3"


@pytest.mark.parametrize(
    ("asked", "status", "kind", "named"),
    [
        ({"link": "P99"}, 404, "not_found", "P99"),
        ({"node": "Z"}, 404, "not_found", "Z"),
        ({}, 422, "invalid_input", "either a link or a node"),
        ({"link": "P2", "node": "C"}, 422, "invalid_input", "either a link or a node"),
        ({"link": "P2", "inoperable": ["V77"]}, 422, "invalid_input", "V77"),
        ({"link": "P2", "closed": ["V78"]}, 422, "invalid_input", "V78"),
        ({"link": "P2", "inoperabel": []}, 422, "invalid_input", "inoperabel"),
    ],
)
def test_refusals_are_problems_that_name_the_id(
    house: House, asked: dict[str, Any], status: int, kind: str, named: str
) -> None:
    with house.client("operator") as client:
        answer = client.post("/api/v1/isolation", json={"hydraulics": False, **asked})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:h2twin:problem:{kind}"
    assert named in answer.text


def test_without_a_network_there_is_nothing_to_isolate(tmp_path: Path) -> None:
    with served(tmp_path, network=lambda _: None) as house, house.client("viewer") as client:
        answer = client.get("/api/v1/isolation", params={"link": "P2"})
    assert answer.status_code == 404
    assert "h2twin import network" in answer.json()["detail"]


class TestPage:
    @pytest.fixture
    def operator(self, house: House) -> Iterator[httpx.Client]:
        with house.client() as client:
            client.post("/ops/login", data={"key": house.keys["operator"]})
            yield client

    def test_it_shows_valves_in_order_and_whom_it_hits(self, operator: httpx.Client) -> None:
        page = operator.get("/ops/isolation", params={"element": " C ", "pressures": "true"}).text
        assert re.findall(r"<li><strong class=\"mono\">(\w+)</strong>", page) in (["V4", "V5"], ["V5", "V4"])
        assert "3 connections" in page
        assert "hospital" in page

    def test_it_plans_again_when_a_valve_is_stuck(self, operator: httpx.Client) -> None:
        page = operator.get("/ops/isolation", params={"element": "P2"}).text
        token = re.search(r'action="/ops/isolation".*?name="form_token" value="([^"]+)"', page, re.DOTALL)
        assert token
        form = {"form_token": token[1], "element": "P2", "inoperable": "V2", "closed": ""}
        page = operator.post("/ops/isolation", data=form).text
        assert "1 valves cannot be turned" in page
        assert set(re.findall(r"<li><strong class=\"mono\">(\w+)</strong>", page)) == {"V1", "V3"}
        refused = operator.post("/ops/isolation", data={**form, "form_token": "0"})
        assert refused.status_code == 403

    @pytest.mark.parametrize("element", ["P99", "<script>alert(1)</script>"])
    def test_an_unknown_id_is_said_on_the_page(self, operator: httpx.Client, element: str) -> None:
        answer = operator.get("/ops/isolation", params={"element": element})
        assert answer.status_code == 404
        assert "has neither a link nor a node" in answer.text
        assert "<script>alert" not in answer.text

    def test_viewers_see_no_ids_of_customers(self, house: House) -> None:
        with house.client() as viewer:
            viewer.post("/ops/login", data={"key": house.keys["viewer"]})
            page = viewer.get("/ops/isolation", params={"element": "C"}).text
        assert "3 connections" in page
        assert "hospital" not in page
        assert "Plan again" not in page
