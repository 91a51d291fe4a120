"""The operators' pages: in by key and cookie, steps by plain forms that only these pages can send."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from served import (
    T0,
    House,
    a_bad_reading,
    a_beat,
    a_failed_run,
    a_notice,
    a_reading,
    a_sensor,
    a_supply_run,
    an_incident,
    furnish,
    served,
)

from twin.incidents import IncidentKind, Severity
from twin.notices import NoticeState, NoticeText


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with served(tmp_path) as house:
        furnish(house)
        house.services.registry.save_notice(a_notice("n-2", NoticeState.DRAFT))
        yield house


@contextmanager
def _log_in(house: House, role: str = "operator") -> Iterator[httpx.Client]:
    with house.client() as client:
        answer = client.post("/ops/login", data={"key": f" {house.keys[role]}\n"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/ops")
        yield client


@pytest.fixture
def operator(house: House) -> Iterator[httpx.Client]:
    with _log_in(house) as client:
        yield client


def _page(client: httpx.Client, path: str = "/ops") -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def _form_of(page: str, action: str) -> dict[str, str]:
    form = re.search(rf'<form method="post" action="{re.escape(action)}">(.*?)</form>', page, re.DOTALL)
    assert form, f"no form for {action}"
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[1]))


class TestLogin:
    def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(self, house: House) -> None:
        with house.client() as client:
            cookie = client.post("/ops/login", data={"key": house.keys["viewer"]}).headers["set-cookie"]
        assert re.fullmatch(r"h2twin_session=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/ops; SameSite=strict", cookie), (
            cookie
        )
        assert house.keys["viewer"] not in cookie

    @pytest.mark.parametrize("key", ["", "x", "h2_000000000000_" + "0" * 64, "revoked"])
    def test_a_wrong_key_does_not_get_in(self, house: House, key: str) -> None:
        with house.client() as client:
            answer = client.post("/ops/login", data={"key": house.keys.get(key, key)})
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
            assert "unknown or revoked" in answer.text
            assert client.get("/ops").status_code == 303

    def test_after_five_failures_even_the_right_key_must_wait(self, house: House) -> None:
        with house.client() as client:
            for _ in range(5):
                assert client.post("/ops/login", data={"key": "guess"}).status_code == 401
            answer = client.post("/ops/login", data={"key": house.keys["admin"]})
        assert answer.status_code == 429
        assert 0 < int(answer.headers["retry-after"]) <= 300

    def test_logging_out_ends_the_session_for_good(self, house: House, operator: httpx.Client) -> None:
        cookie = operator.cookies["h2twin_session"]
        form = _form_of(_page(operator), "/ops/logout")
        assert operator.post("/ops/logout", data=form).status_code == 303
        with house.client(None, Cookie=f"h2twin_session={cookie}") as thief:
            assert thief.get("/ops").headers["location"] == "/ops/login"

    def test_revoking_the_key_ends_the_session(self, house: House, operator: httpx.Client) -> None:
        registry = house.services.registry
        key = next(key for key in registry.keys() if key.name == "the operator")  # noqa: SIM118
        registry.save_key(replace(key, revoked_at=T0))
        assert operator.get("/ops").headers["location"] == "/ops/login"

    def test_another_sites_form_cannot_log_in(self, house: House) -> None:
        for header in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            with house.client(None, **header) as client:
                assert client.post("/ops/login", data={"key": house.keys["admin"]}).status_code == 403

    def test_only_a_plain_form_is_read(self, house: House) -> None:
        with house.client() as client:
            assert client.post("/ops/login", json={"key": "x"}).status_code == 422
            many = "&".join(f"a{i}=1" for i in range(50))
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            assert client.post("/ops/login", content=many, headers=form).status_code == 422


class TestOverview:
    def test_shows_what_is_wrong_worst_first(self, house: House, operator: httpx.Client) -> None:
        house.services.registry.save_incidents(
            [
                an_incident(
                    "i-2", kind=IncidentKind.SENSOR_SILENT, severity=Severity.MINOR, cause="Sensor P3 is silent"
                ),
                an_incident("i-3", severity=Severity.EXTREME, cause_key="other", cause="Everything is dry"),
            ]
        )
        page = _page(operator)
        assert (
            page.index("Everything is dry") < page.index("Tank N-TANK-1 is empty") < page.index("Sensor P3 is silent")
        )
        assert "1 sensitive" in page
        assert "in 2 h" in page
        assert "last good" in page  # the rung of the weather

    def test_shows_whether_the_twin_can_be_believed(self, house: House, operator: httpx.Client) -> None:
        house.services.readings.append([a_bad_reading("P1", T0 - timedelta(seconds=30))])
        house.services.registry.save_run(a_failed_run(issued_at=T0))
        page = _page(operator)
        assert "1 silent · 2 bad" in page
        assert "never heard" in page
        assert "out_of_range" in page
        assert "the newest run failed: the engine did not converge" in page
        assert "connected to the broker" in page

    def test_says_above_all_which_part_of_the_service_is_not_well(self, house: House, operator: httpx.Client) -> None:
        assert "The service is not well" not in _page(operator)
        house.services.registry.beat(a_beat(ok=False, detail="the broker is away"))
        page = _page(operator)
        assert page.index("The service is not well") < page.index("the broker is away") < page.index("Open incidents")

    def test_a_forecast_that_measured_nothing_is_doubtful_even_in_time(
        self, house: House, operator: httpx.Client
    ) -> None:
        assert "doubtful" not in _page(operator)
        run = a_supply_run("supply-2", T0)
        assert run.supply is not None
        house.services.registry.save_run(replace(run, supply=replace(run.supply, assumed=("T1", "T9"))))
        page = _page(operator)
        assert "doubtful" in page
        assert "sensors say nothing of T1, T9" in page

    def test_who_fell_silent_last_comes_first_and_who_never_spoke_last(
        self, house: House, operator: httpx.Client
    ) -> None:
        house.services.registry.upsert_sensors([a_sensor("A-never"), a_sensor("Y-old"), a_sensor("Z-new")])
        house.services.readings.append(
            [a_reading("Y-old", T0 - timedelta(days=2)), a_reading("Z-new", T0 - timedelta(hours=6))]
        )
        page = _page(operator)
        assert page.index("Z-new") < page.index("Y-old") < page.index("A-never")

    def test_a_moment_of_another_year_names_its_year(self, house: House, operator: httpx.Client) -> None:
        incident = an_incident(
            opened_at=T0 - timedelta(days=365), starts_at=T0 - timedelta(days=365), expected_end_at=T0 + timedelta(1)
        )
        house.services.registry.save_incidents([incident])
        page = _page(operator)
        assert "Sat 1 Mar 2025, 12:00 WET" in page
        assert "Mon 2 Mar 12:00 WET" in page

    def test_an_empty_installation_has_a_page_too(self, tmp_path: Path) -> None:
        folder = tmp_path / "empty"
        folder.mkdir()
        with served(folder) as empty, _log_in(empty) as client:
            page = _page(client)
        assert "No open incidents." in page
        assert "no run was made" in page


class TestSteps:
    def test_acknowledge_shelve_and_unshelve(self, house: House, operator: httpx.Client) -> None:
        registry = house.services.registry
        form = _form_of(_page(operator), "/ops/incidents/i-1/acknowledge")
        assert operator.post("/ops/incidents/i-1/acknowledge", data=form).status_code == 303
        assert registry.incident("i-1").acknowledged_by == "the operator"
        form = _form_of(_page(operator, "/ops/incidents/i-1"), "/ops/incidents/i-1/shelve")
        shelf = {"hours": "4", "reason": "crew <on> site"}
        assert operator.post("/ops/incidents/i-1/shelve", data={**form, **shelf}).status_code == 303
        assert registry.incident("i-1").shelved_until == T0 + timedelta(hours=4)
        page = _page(operator)
        assert "crew &lt;on&gt; site" in page
        form = _form_of(page, "/ops/incidents/i-1/unshelve")
        assert operator.post("/ops/incidents/i-1/unshelve", data=form).status_code == 303
        assert registry.incident("i-1").shelved_until is None
        actions = [entry.action for entry in registry.audit_entries(limit=100).items]
        assert {"incident.acknowledge", "incident.shelve", "incident.unshelve", "ops.login"} <= set(actions)

    @pytest.mark.parametrize(
        "shelf", [{}, {"hours": "4"}, {"hours": "5", "reason": "x"}, {"hours": "4", "reason": " "}]
    )
    def test_a_shelf_needs_an_offered_time_and_a_reason(
        self, house: House, operator: httpx.Client, shelf: dict[str, str]
    ) -> None:
        form = _form_of(_page(operator, "/ops/incidents/i-1"), "/ops/incidents/i-1/shelve")
        assert operator.post("/ops/incidents/i-1/shelve", data={**form, **shelf}).status_code == 422
        assert house.services.registry.incident("i-1").shelved_until is None

    def test_approve_and_publish_the_words_that_were_read(self, house: House, operator: httpx.Client) -> None:
        registry = house.services.registry
        for verb, state in (("approve", NoticeState.APPROVED), ("publish", NoticeState.PUBLISHED)):
            form = _form_of(_page(operator, "/ops/notices/n-2"), f"/ops/notices/n-2/{verb}")
            assert operator.post(f"/ops/notices/n-2/{verb}", data=form).status_code == 303
            assert registry.notice("n-2").state is state
        again = operator.post("/ops/notices/n-2/publish", data=form)
        assert again.status_code in (409, 412)
        assert "text/html" in again.headers["content-type"]
        assert len(registry.notice("n-2").revisions) == 1

    def test_words_that_changed_meanwhile_are_not_approved(self, house: House, operator: httpx.Client) -> None:
        form = _form_of(_page(operator, "/ops/notices/n-2"), "/ops/notices/n-2/approve")
        words = {"en": NoticeText("Other words", "d", "i")}
        house.services.registry.save_notice(a_notice("n-2", NoticeState.DRAFT, texts=words))
        answer = operator.post("/ops/notices/n-2/approve", data=form)
        assert answer.status_code == 412
        assert "changed since you read it" in answer.text
        assert house.services.registry.notice("n-2").state is NoticeState.DRAFT

    @pytest.mark.parametrize("path", ["incidents/i-1/acknowledge", "notices/n-2/approve", "notices/n-2/cancel"])
    def test_a_form_without_the_sessions_token_is_refused(
        self, house: House, operator: httpx.Client, path: str
    ) -> None:
        with _log_in(house) as other:
            foreign = _form_of(_page(other), "/ops/logout")["form_token"]
        for token in ("", "guess", foreign):
            assert operator.post(f"/ops/{path}", data={"form_token": token}).status_code == 403
        assert house.services.registry.incident("i-1").acknowledged_by == ""
        assert house.services.registry.notice("n-2").state is NoticeState.DRAFT

    def test_a_viewer_looks_but_does_not_touch_and_the_attempt_is_written_down(self, house: House) -> None:
        with _log_in(house, "viewer") as viewer:
            page = _page(viewer)
            assert "Acknowledge</button>" not in page
            assert "<button" not in _page(viewer, "/ops/notices/n-2").replace('<button class="link"', "")
            form = _form_of(page, "/ops/logout")
            answer = viewer.post("/ops/notices/n-2/approve", data=form)
        assert answer.status_code == 403
        assert "text/html" in answer.headers["content-type"]
        newest = house.services.registry.audit_entries(limit=1).items[0]
        assert (newest.action, newest.subject) == ("refused", "POST /ops/notices/n-2/approve")
        assert newest.actor.startswith("the viewer (")


def test_markup_from_outside_stays_text_on_every_page(house: House, operator: httpx.Client) -> None:
    attack = "<script>alert(1)</script>\"'><b onclick=x>"
    registry = house.services.registry
    registry.save_incidents([an_incident(cause=attack, node_ids=(attack,), sensor_ids=(attack,), cause_key=attack)])
    text = NoticeText(attack, attack, attack)
    registry.save_notice(a_notice("n-2", NoticeState.DRAFT, texts={"en": text}, streets=(attack,)))
    registry.save_run(a_failed_run(issued_at=T0))
    for path in ("/ops", "/ops/incidents/i-1", "/ops/notices/n-2"):
        page = _page(operator, path)
        assert "<script" not in page
        assert "<b onclick" not in page
        assert "&lt;script&gt;" in page


@pytest.mark.parametrize("path", ["/ops/incidents/none", "/ops/notices/none", "/ops/nothing"])
def test_what_is_not_there_is_a_page_that_says_so(operator: httpx.Client, path: str) -> None:
    answer = operator.get(path)
    assert answer.status_code == 404
    assert "text/html" in answer.headers["content-type"]


def test_a_predicted_flood_shows_where_when_and_how_long_there_is(house: House) -> None:
    """The run was issued three minutes ago: what counts for those who act is the time from now."""
    flood = an_incident("i-9", 0, kind=IncidentKind.FLOOD_PREDICTED, node_ids=("M7",), run_id="drainage-1")
    house.services.registry.save_incidents([flood])
    with _log_in(house, "viewer") as viewer:
        page = _page(viewer, "/ops/incidents/i-9")
        assert "Where it may flood" in page
        for shown in ("M7", "35 %", "Sun 1 Mar 14:00", "2 h", "0.60 to 1.80 m", "0 to 41 m³"):
            assert f">{shown}" in page
        house.clock.advance_to(T0 + timedelta(hours=2))
        assert ">has begun<" in _page(viewer, "/ops/incidents/i-9")
        assert "Where it may flood" not in _page(viewer, "/ops/incidents/i-1")


def test_a_predicted_outage_shows_whom_it_hits_how_likely_and_between_when_and_when(house: House) -> None:
    run = a_supply_run("members", T0 - timedelta(minutes=1))
    assert run.supply is not None
    (outage,) = run.supply.outages
    likely = replace(
        outage, probability=0.84, starts_p10_at=T0 + timedelta(hours=1), starts_p90_at=T0 + timedelta(hours=5),
        duration_p10_s=7200.0,
    )  # fmt: skip
    other = replace(outage, node_id="ELSEWHERE", cause_key="tank_empty:OTHER")
    registry = house.services.registry
    registry.save_run(replace(run, supply=replace(run.supply, outages=(likely, other))))
    registry.save_incidents([an_incident("i-8", run_id="members"), an_incident("i-7", run_id="supply-1")])
    with _log_in(house, "viewer") as viewer:
        page = _page(viewer, "/ops/incidents/i-8")
        assert "Who may be without water" in page
        for shown in ("N-JUNCTION-7", "84 %", "2 h to beyond the horizon", "0 m"):
            assert f">{shown}<" in page
        assert re.search("Sun 1 Mar 13:00.* to .*Sun 1 Mar 17:00", page)
        assert "ELSEWHERE" not in page
        without = _page(viewer, "/ops/incidents/i-7")
        assert ">unknown<" in without
        assert ">beyond the horizon<" in without
