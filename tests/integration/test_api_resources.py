"""Each resource over HTTP: what it says, how fresh it is, who did what to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import T0, House, a_failed_run, a_notice, a_supply_run, an_incident, furnish, served

from twin.clock import format_time
from twin.forecasts import RunKind, StateRest, StateRung
from twin.incidents import IncidentState
from twin.mismatch import Candidate, Mismatch, Verdict
from twin.notices import NoticeState
from twin.ports import AuditEntry
from twin.residuals import Residual


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with served(tmp_path) as house:
        furnish(house)
        yield house


@pytest.fixture
def viewer(house: House) -> Iterator[httpx.Client]:
    with house.client("viewer") as client:
        yield client


@pytest.fixture
def operator(house: House) -> Iterator[httpx.Client]:
    with house.client("operator") as client:
        yield client


def _json(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def _audit(house: House, action: str) -> list[AuditEntry]:
    return [entry for entry in house.services.registry.audit_entries(limit=1000).items if entry.action == action]


def test_about_names_models_engines_and_whether_it_is_an_exercise(viewer: httpx.Client) -> None:
    about = _json(viewer.get("/api/v1/about"))
    assert [(model["kind"], model["sha256"]) for model in about["models"]] == [
        ("supply", "ab" * 32),
        ("drainage", "ab" * 32),
    ]
    assert about["engines"] == {"supply": "EPANET 2.3.5", "drainage": "SWMM 5.2.4"}
    assert about["exercise"] is False


def test_state_shows_trusted_values_with_their_age_and_says_where_there_are_none(viewer: httpx.Client) -> None:
    state = _json(viewer.get("/api/v1/state"))
    by_id = {item["sensor_id"]: item for item in state["items"]}
    assert by_id["P1"]["reading"]["value"] == 30.0
    assert by_id["P1"]["age_s"] == 60.0
    assert by_id["P2"]["reading"] is None  # it only sent a bad value
    assert by_id["P3"]["age_s"] is None
    assert state["supply"]["age_s"] == 120.0
    assert state["supply"]["basis"] == ["tank N-TANK-1 level 0.40 m from sensor L1"]


def test_state_says_on_which_rung_it_stands_and_what_its_residuals_say(house: House, viewer: httpx.Client) -> None:
    last = house.services.registry.latest_run(RunKind.SUPPLY, good_only=True)
    assert last is not None
    assert last.supply is not None
    closed = Candidate("closed", "V1", 0.97, 1.5)
    told = replace(
        last.supply,
        rests=(StateRest("level", "N-TANK-1", StateRung.HELD),),
        mismatch=Mismatch(Verdict.STATUS, 4, (("N-JUNCTION-7", -3.0),), closed, ("V2",), (closed,)),
    )
    house.services.registry.save_run(replace(last, run_id="newer", supply=told))
    supply = _json(viewer.get("/api/v1/state"))["supply"]
    assert supply["rests"] == [{"quantity": "level", "element_id": "N-TANK-1", "rung": "held"}]
    assert supply["mismatch"]["verdict"] == "status"
    assert supply["mismatch"]["named"] == {"what": "closed", "element_id": "V1", "explains": 0.97, "leak_m3s": 0.0}
    assert supply["mismatch"]["same_as"] == ["V2"]
    assert supply["mismatch"]["words"].startswith("V1 closed (or V2")


def test_residuals_come_with_their_sign_and_both_times(house: House, viewer: httpx.Client) -> None:
    older, newer = (Residual("P1", T0 - timedelta(minutes=m), T0, "run", 30.0, 31.5) for m in (10, 5))
    house.services.registry.save_residuals([older, newer, replace(newer, sensor_id="P2", assumed=True)])
    answer = _json(viewer.get("/api/v1/residuals?sensor_id=P1&limit=1"))
    (item,) = answer["items"]
    assert item["value"] == -1.5
    assert (item["observed"], item["modelled"], item["assumed"]) == (30.0, 31.5, False)
    assert (item["observed_at"], item["known_at"]) == (format_time(newer.observed_at), format_time(T0))
    rest = _json(
        viewer.get("/api/v1/residuals", params={"limit": 1, "cursor": answer["next_cursor"], "sensor_id": "P1"})
    )
    assert rest["items"][0]["observed_at"] == format_time(older.observed_at)
    assert (
        _json(viewer.get("/api/v1/residuals", params={"to": format_time(newer.observed_at)}))["items"] == rest["items"]
    )
    assert viewer.get("/api/v1/residuals?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").status_code == 422


def test_network_and_districts(viewer: httpx.Client) -> None:
    network = _json(viewer.get("/api/v1/network?kind=supply"))
    assert {node["node_id"]: node["district"] for node in network["nodes"]} == {"N-JUNCTION-7": "D1", "N-TANK-1": None}
    assert network["links"][0]["diameter_m"] == 0.2
    districts = _json(viewer.get("/api/v1/districts"))
    assert districts["items"] == [{"district": "D1", "nodes": 1, "sensor_ids": ["P1", "P2"]}]


class TestForecasts:
    def test_the_newest_good_one_is_fresh_inside_two_cycles(self, house: House, viewer: httpx.Client) -> None:
        house.clock.advance_to(T0 - timedelta(minutes=2) + timedelta(seconds=600))
        fresh = _json(viewer.get("/api/v1/forecasts/supply"))
        assert (fresh["run_id"], fresh["stale"], fresh["age_s"]) == ("supply-1", False, 600.0)
        house.clock.advance_to(T0 - timedelta(minutes=2) + timedelta(seconds=601))
        late = _json(viewer.get("/api/v1/forecasts/supply"))
        assert (late["run_id"], late["stale"], late["age_s"]) == ("supply-1", True, 601.0)
        assert "every 300 s" in late["stale_because"]

    def test_a_failed_run_leaves_the_last_good_one_in_place_and_says_so(
        self, house: House, viewer: httpx.Client
    ) -> None:
        house.services.registry.save_run(a_failed_run("supply-2", T0))
        newest = _json(viewer.get("/api/v1/forecasts/supply"))
        assert (newest["run_id"], newest["stale"]) == ("supply-1", True)
        assert "did not converge" in newest["stale_because"]
        failed = _json(viewer.get("/api/v1/forecasts/supply?run_id=supply-2"))
        assert (failed["status"], failed["stale"], failed["forecast"]) == ("failed", True, None)

    def test_an_older_run_is_history(self, house: House, viewer: httpx.Client) -> None:
        house.services.registry.save_run(a_supply_run("supply-2", T0))
        old = _json(viewer.get("/api/v1/forecasts/supply?run_id=supply-1"))
        assert (old["stale"], old["stale_because"]) == (True, "run supply-2 is newer")

    def test_it_says_what_it_rests_on(self, viewer: httpx.Client) -> None:
        supply = _json(viewer.get("/api/v1/forecasts/supply"))["forecast"]
        assert supply["provenance"]["engine"] == "EPANET 2.3.5"
        assert supply["outages"][0]["shortage"] == "no_source"
        assert supply["tanks"][0]["level_series_m"] == [0.4, 0.0]
        drainage = _json(viewer.get("/api/v1/forecasts/drainage"))["forecast"]
        assert drainage["provenance"]["weather_rung"] == "last_good"
        assert drainage["nodes"][0]["probability"] == 0.35
        assert drainage["nodes"][0]["lead_time_s"] == 2 * 3600 + 180  # issued three minutes before T0
        assert drainage["members_failed"] == [{"member": "3", "reason": "step 4 is unknown"}]

    def test_runs_are_listed_by_time(self, house: House, viewer: httpx.Client) -> None:
        house.services.registry.save_run(a_failed_run("supply-2", T0))
        window = {"from": "2026-03-01T11:58:00Z", "to": "2026-03-01T12:00:00Z"}
        assert [run["run_id"] for run in _json(viewer.get("/api/v1/forecasts/supply/runs"))["items"]] == [
            "supply-2",
            "supply-1",
        ]
        inside = _json(viewer.get("/api/v1/forecasts/supply/runs", params=window))
        assert [run["run_id"] for run in inside["items"]] == ["supply-1"]


def test_without_any_forecast_it_says_so(tmp_path: Path) -> None:
    with served(tmp_path) as house, house.client("viewer") as viewer:
        for kind in ("supply", "drainage"):
            answer = viewer.get(f"/api/v1/forecasts/{kind}")
            assert answer.status_code == 404
            assert "no good" in answer.json()["detail"]
        assert _json(viewer.get("/api/v1/state"))["supply"] is None


class TestIncidents:
    def test_viewers_see_counts_and_operators_the_exact_list(
        self, viewer: httpx.Client, operator: httpx.Client
    ) -> None:
        seen, known = (_json(one.get("/api/v1/incidents/i-1")) for one in (viewer, operator))
        assert (seen["connections"], seen["sensitive_connections"]) == (20, 1)
        assert seen["connection_ids"] is None
        assert known["connection_ids"] == [f"CONNECTION-{i:03}" for i in range(20)]
        assert known["sensitive_connection_ids"] == ["CONNECTION-000"]

    def test_acknowledging_is_kept_and_written_down(self, house: House, operator: httpx.Client) -> None:
        answer = _json(operator.post("/api/v1/incidents/i-1/acknowledge"))
        assert answer["acknowledged_by"] == "the operator"
        assert house.services.registry.incident("i-1").acknowledged_at == T0
        (entry,) = _audit(house, "incident.acknowledge")
        assert entry.subject == "i-1"
        assert entry.actor.startswith("the operator (")

    def test_shelving_ends_and_can_be_taken_back(self, house: House, operator: httpx.Client) -> None:
        body = {"until": "2026-03-01T15:00:00+01:00", "reason": "crew is on site"}
        shelved = _json(operator.post("/api/v1/incidents/i-1/shelve", json=body))
        assert shelved["shelved_until"] == "2026-03-01T14:00:00Z"
        assert house.services.registry.incident("i-1").is_shelved(T0)
        assert not house.services.registry.incident("i-1").is_shelved(T0 + timedelta(hours=2))
        assert _json(operator.post("/api/v1/incidents/i-1/unshelve"))["shelved_until"] is None
        assert "crew is on site" in _audit(house, "incident.shelve")[0].detail
        assert _audit(house, "incident.unshelve")

    @pytest.mark.parametrize("verb", ["acknowledge", "shelve", "unshelve"])
    def test_a_closed_incident_takes_no_step(self, house: House, operator: httpx.Client, verb: str) -> None:
        closed = replace(an_incident(), state=IncidentState.CLOSED, closed_at=T0)
        house.services.registry.save_incidents([closed])
        body = {"until": "2026-03-01T14:00:00Z", "reason": "x"}
        answer = operator.post(f"/api/v1/incidents/i-1/{verb}", json=body)
        assert answer.status_code == 409
        assert house.services.registry.incident("i-1") == closed
        assert _audit(house, f"incident.{verb}") == []


class TestNotices:
    def test_a_draft_is_approved_and_published_once_in_the_keys_name(
        self, house: House, operator: httpx.Client
    ) -> None:
        house.services.registry.save_notice(a_notice("n-2", NoticeState.DRAFT))
        assert operator.post("/api/v1/notices/n-2/publish").status_code == 409
        approved = _json(operator.post("/api/v1/notices/n-2/approve"))
        assert approved["state"] == "approved"
        assert approved["approved_by"].startswith("the operator (")
        published = _json(operator.post("/api/v1/notices/n-2/publish"))
        assert [revision["number"] for revision in published["revisions"]] == [1]
        assert operator.post("/api/v1/notices/n-2/publish").status_code == 409
        (entry,) = _audit(house, "notice.published")
        assert entry.subject == "n-2"
        assert entry.actor.startswith("the operator (")

    def test_a_draft_can_be_withdrawn(self, house: House, operator: httpx.Client) -> None:
        house.services.registry.save_notice(a_notice("n-2", NoticeState.DRAFT))
        assert _json(operator.post("/api/v1/notices/n-2/cancel"))["state"] == "cancelled"

    def test_words_that_changed_since_they_were_read_are_not_approved(
        self, house: House, operator: httpx.Client
    ) -> None:
        registry = house.services.registry
        registry.save_notice(a_notice("n-2", NoticeState.DRAFT))
        etag = operator.get("/api/v1/notices/n-2").headers["etag"]
        registry.save_notice(a_notice("n-2", NoticeState.DRAFT, ends_at=T0 + timedelta(hours=9)))
        assert operator.post("/api/v1/notices/n-2/approve", headers={"If-Match": etag}).status_code == 412
        etag = operator.get("/api/v1/notices/n-2").headers["etag"]
        assert operator.post("/api/v1/notices/n-2/approve", headers={"If-Match": etag}).status_code == 200

    def test_viewers_see_no_connection_ids(self, viewer: httpx.Client) -> None:
        for path in ("/api/v1/notices", "/api/v1/notices/n-1"):
            assert "CONNECTION-" not in viewer.get(path).text


class TestCustomers:
    def test_counts_alone_need_no_purpose_and_show_nobody(self, house: House, operator: httpx.Client) -> None:
        answer = operator.get("/api/v1/customers")
        assert _json(answer) == {
            "items": [],
            "next_cursor": None,
            "counts": {"connections": 20, "population": 40, "sensitive": {"hospital": 1}},
        }
        assert len(_audit(house, "customers.read")) == 1

    @pytest.mark.parametrize("by_header", [True, False])
    def test_rows_are_read_for_a_purpose_that_is_written_down(
        self, house: House, operator: httpx.Client, by_header: bool
    ) -> None:
        headers = {"Purpose": "calling dialysis patients"} if by_header else {}
        params = {"rows": "true"} | ({} if by_header else {"purpose": "calling dialysis patients"})
        rows = _json(operator.get("/api/v1/customers", params=params, headers=headers))["items"]
        assert rows[3]["email"] == "person3@mail.example"
        (entry,) = _audit(house, "customers.read")
        assert "calling dialysis patients" in entry.detail
        assert entry.actor.startswith("the operator (")

    def test_those_of_an_incident_are_exactly_its_connections(self, house: House, operator: httpx.Client) -> None:
        house.services.registry.save_incidents([an_incident("i-2", count=3, cause_key="other")])
        found = _json(operator.get("/api/v1/customers?incident_id=i-2&rows=true&purpose=test"))
        assert [row["connection_id"] for row in found["items"]] == [
            "CONNECTION-000",
            "CONNECTION-001",
            "CONNECTION-002",
        ]
        assert _json(operator.get("/api/v1/customers?node_id=nowhere"))["counts"]["connections"] == 0


def test_dead_letters_show_bytes_that_are_no_text(house: House, operator: httpx.Client) -> None:
    from served import a_letter

    house.services.registry.bury([a_letter(payload=b"\xff\x00")])
    newest, older = _json(operator.get("/api/v1/dead-letters"))["items"]
    assert (newest["payload"], newest["payload_b64"]) == (None, "/wA=")
    assert (older["payload"], older["payload_b64"]) == ('{"value": "x"}', None)


def test_kpis_of_a_period_have_a_definition_and_a_unit(viewer: httpx.Client) -> None:
    report = _json(viewer.get("/api/v1/kpis?from=2026-03-01T00:00:00Z&to=2026-03-01T12:00:00Z"))["items"]
    assert report
    assert all(kpi["definition"] and kpi["unit"] for kpi in report)
    periods = {(kpi["period_start"], kpi["period_end"]) for kpi in report}
    assert ("2026-03-01T00:00:00Z", "2026-03-01T12:00:00Z") in periods
