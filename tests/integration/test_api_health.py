"""Health, readiness and figures, with each part taken away in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from served import (
    T0,
    House,
    a_beat,
    a_drainage_run,
    a_failed_run,
    a_supply_run,
    furnish,
    running_app,
    served,
)

from api.app import create_app
from twin.errors import UnavailableError
from twin.forecasts import Rung, RunStatus


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with served(tmp_path) as house:
        furnish(house)
        yield house


def _ready(house: House) -> tuple[int, dict[str, dict[str, Any]]]:
    with house.client("viewer") as viewer:
        answer = viewer.get("/readyz")
    body = answer.json()
    assert body["status"] == ("ready" if answer.status_code == 200 else "not_ready")
    return answer.status_code, {check["name"]: check for check in body["checks"]}


def test_all_is_well(house: House) -> None:
    status, checks = _ready(house)
    assert status == 200
    assert set(checks) == {
        "readings", "registry", "broker", "cycle", "supply_cycle", "drainage_cycle", "weather",
    }  # fmt: skip
    assert all(check["ok"] and check["detail"] for check in checks.values())
    assert checks["supply_cycle"]["age_s"] == 120.0


def test_a_late_cycle_is_named_with_its_age(house: House) -> None:
    house.clock.advance_to(T0 + timedelta(minutes=8, seconds=1))
    house.services.registry.beat(a_beat(at=house.clock.now()))
    status, checks = _ready(house)
    assert status == 503
    assert not checks["supply_cycle"]["ok"]
    assert checks["supply_cycle"]["age_s"] == 601.0


def test_one_failed_run_does_not_make_it_unready_but_is_told(house: House) -> None:
    house.services.registry.save_run(a_failed_run(issued_at=T0))
    status, checks = _ready(house)
    assert status == 200
    assert "did not converge" in checks["supply_cycle"]["detail"]


def test_a_broker_that_is_away_is_told_by_the_ingest_roles_beat(house: House) -> None:
    house.services.registry.beat(a_beat(at=T0, ok=False, detail="the broker is away"))
    status, checks = _ready(house)
    assert (status, checks["broker"]["ok"]) == (503, False)
    assert checks["broker"]["detail"] == "the broker is away"


def test_a_silent_ingest_role_is_not_taken_for_well(house: House) -> None:
    house.clock.advance_to(T0 + timedelta(seconds=55))
    assert _ready(house)[0] == 200
    house.clock.advance_to(T0 + timedelta(seconds=56))
    status, checks = _ready(house)
    assert (status, checks["broker"]["ok"], checks["broker"]["age_s"]) == (503, False, 61.0)
    assert "silent" in checks["broker"]["detail"]


def test_the_clock_of_an_exercise_leaps_by_a_cycle_without_anybody_being_silent(house: House) -> None:
    leaping = replace(house.services, exercise=True, cycle_s=3600.0)
    with running_app(create_app(leaping)) as url:
        found = []
        for silent_s in (3600, 7201):
            house.clock.advance_to(T0 - timedelta(seconds=5) + timedelta(seconds=silent_s))
            checks = {check["name"]: check["ok"] for check in httpx.get(url + "/readyz").json()["checks"]}
            found.append(checks["broker"])
    assert found == [True, False]


def test_no_ingester_speaks_for_another(house: House) -> None:
    """The broker keeps a share of the messages for each: one that is down is no good news, whatever the others say."""
    full = {"store_full_disk": 0.5, "spool_pending": 3.0, "spool_quarantined": 0.0}
    fuller = {"store_full_disk": 0.97, "spool_pending": 4.0, "spool_quarantined": 0.0}
    house.services.registry.beat(a_beat(at=T0, figures=full))
    house.services.registry.beat(a_beat(role="ingest/b", at=T0 - timedelta(seconds=70), figures=fuller))
    status, checks = _ready(house)
    assert (status, checks["broker"]["ok"], checks["broker"]["age_s"]) == (503, False, 70.0)
    assert "ingest/b: the ingest/b role has been silent for 70 s" in checks["broker"]["detail"]
    assert checks["spool"]["detail"].startswith("7 readings wait")
    assert (checks["room"]["ok"], "97%" in checks["room"]["detail"]) == (False, True)
    assert _figures(httpx.get(house.url + "/metrics").text)["h2twin_store_full_ratio", "disk"] == 0.97
    house.services.registry.beat(a_beat(role="ingest/b", at=T0, figures=full))
    assert _ready(house)[0] == 200


def test_an_ingester_that_was_taken_away_is_forgotten_with_its_session(house: House) -> None:
    house.services.registry.beat(a_beat(role="ingest/b", at=T0 - timedelta(days=7)))
    assert _ready(house)[0] == 503
    house.clock.advance_to(T0 + timedelta(seconds=1))
    assert _ready(house)[0] == 200


def test_an_empty_installation_says_what_is_missing(tmp_path: Path) -> None:
    with served(tmp_path) as house:
        status, checks = _ready(house)
    assert status == 503
    assert {name for name, check in checks.items() if not check["ok"]} == {"broker", "cycle"}
    assert "no supply model was imported" in checks["supply_cycle"]["detail"]


def test_strangers_see_which_check_fails_and_not_why(house: House) -> None:
    secret = "readings: cannot write /var/lib/h2twin/spool.db to http://influx.intern:8086"
    house.services.registry.beat(a_beat(ok=False, detail=secret, figures={"spool_pending": 3.0}))
    answer = httpx.get(house.url + "/readyz")
    assert answer.status_code == 503
    assert "influx" not in answer.text
    checks = {check["name"]: check for check in answer.json()["checks"]}
    assert not checks["broker"]["ok"]
    assert not checks["spool"]["ok"]
    assert checks["readings"]["ok"]
    assert all(check["detail"] is None and check["age_s"] is None for check in checks.values())
    assert secret in _ready(house)[1]["broker"]["detail"]


def test_a_cycle_that_is_not_well_is_told_in_its_own_words(house: House) -> None:
    untold = "notice notice-i-1 cannot be shown: the sender is no address"
    house.services.registry.beat(a_beat(role="cycle", ok=False, detail=untold))
    status, checks = _ready(house)
    assert (status, checks["cycle"]["ok"], checks["cycle"]["detail"]) == (503, False, untold)
    assert {name for name, check in checks.items() if not check["ok"]} == {"cycle"}


def test_a_silent_cycle_role_is_not_taken_for_well(house: House) -> None:
    for seconds, ok in ((595, True), (596, False)):
        house.clock.advance_to(T0 + timedelta(seconds=seconds))
        house.services.registry.beat(a_beat(at=house.clock.now()))
        assert _ready(house)[1]["cycle"]["ok"] is ok
    assert "silent for 601 s" in _ready(house)[1]["cycle"]["detail"]


def _drainage(house: House, *, status: RunStatus = RunStatus.OK, **basis: Any) -> dict[str, dict[str, Any]]:
    run = a_drainage_run("drainage-9", T0)
    assert run.drainage is not None
    provenance = replace(run.drainage.provenance, **basis)
    run = replace(run, status=status, drainage=replace(run.drainage, status=status, provenance=provenance))
    house.services.registry.save_run(run)
    return _ready(house)[1]


def test_a_drainage_run_of_too_few_members_is_named_and_not_well(house: House) -> None:
    check = _drainage(house, status=RunStatus.INSUFFICIENT)["drainage_cycle"]
    assert not check["ok"]
    assert "insufficient: 3 of 4 members" in check["detail"]


def test_climatology_where_a_service_is_wanted_is_not_well(house: House) -> None:
    warnings = ("weather: deterministic (met-norway): timed out", "another warning")
    checks = _drainage(house, weather_rung=Rung.CLIMATOLOGY, warnings=warnings)
    assert not checks["weather"]["ok"]
    assert "climatology only" in checks["weather"]["detail"]
    assert "met-norway): timed out" in checks["weather"]["detail"]
    assert "another warning" not in checks["weather"]["detail"]
    assert checks["drainage_cycle"]["ok"]
    assert "climatology only" in checks["drainage_cycle"]["detail"]


def test_climatology_where_no_service_is_wanted_is_said_and_ready(house: House) -> None:
    _drainage(house, weather_rung=Rung.CLIMATOLOGY)
    with running_app(create_app(replace(house.services, weather_in_use=False))) as url:
        headers = {"Authorization": f"Bearer {house.keys['viewer']}"}
        answer = httpx.get(url + "/readyz", headers=headers)
    assert answer.status_code == 200
    assert "climatology only" in {check["name"]: check for check in answer.json()["checks"]}["weather"]["detail"]


def test_weather_that_a_forecast_rests_on_is_told_where_no_service_is_wanted(house: House) -> None:
    """A demo brings its own weather."""
    with running_app(create_app(replace(house.services, weather_in_use=False))) as url:
        headers = {"Authorization": f"Bearer {house.keys['viewer']}"}
        answer = httpx.get(url + "/readyz", headers=headers)
    assert answer.status_code == 200
    told = {check["name"]: check for check in answer.json()["checks"]}["weather"]["detail"]
    assert told == "last_good of open_meteo"


@pytest.mark.parametrize(("age_h", "ok"), [(24, True), (24.01, False)])
def test_weather_older_than_a_day_is_not_well(house: House, age_h: float, ok: bool) -> None:
    check = _drainage(house, weather_issued_at=T0 - timedelta(hours=age_h))["weather"]
    assert (check["ok"], check["age_s"]) == (ok, pytest.approx(age_h * 3600))


@pytest.mark.parametrize(
    ("refused", "beat_ok", "detail", "ok"),
    [
        (0.0, True, "", True),
        (2.0, True, "", False),
        (0.0, False, "readings: the server is away", False),
        (0.0, False, "the broker is away", True),
    ],
)
def test_the_spool_is_judged_by_what_the_ingest_role_sees(
    house: House, refused: float, beat_ok: bool, detail: str, ok: bool
) -> None:
    figures = {"spool_pending": 7.0, "spool_quarantined": refused}
    house.services.registry.beat(a_beat(ok=beat_ok, detail=detail, figures=figures))
    check = _ready(house)[1]["spool"]
    assert check["ok"] is ok
    assert f"7 readings wait for the server, {refused:.0f} were refused" in check["detail"]


def test_a_supply_run_without_measurements_is_named(house: House) -> None:
    run = a_supply_run("supply-9", T0)
    assert run.supply is not None
    house.services.registry.save_run(replace(run, supply=replace(run.supply, measured=(), assumed=("N-TANK-1",))))
    detail = _ready(house)[1]["supply_cycle"]["detail"]
    assert "no level or flow was measured lately" in detail
    assert "N-TANK-1" in detail


class _Away:
    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise UnavailableError("the store is away: start it")

        return fail


def test_health_answers_and_readiness_tells_when_the_stores_are_away(house: House) -> None:
    services = replace(house.services, readings=_Away(), registry=_Away())
    with running_app(create_app(services)) as url:
        assert httpx.get(url + "/healthz").status_code == 200
        answer = httpx.get(url + "/readyz")
        page = httpx.get(url + "/")
        figures = httpx.get(url + "/metrics")
    assert answer.status_code == 503
    assert not any(check["ok"] for check in answer.json()["checks"])
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert figures.status_code == 200
    assert _figures(figures.text)["h2twin_up", "readings"] == 0


def _figures(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_count_what_is_there(house: House) -> None:
    figures = _figures(httpx.get(house.url + "/metrics").text)
    expected = {
        ("h2twin_readings",): 2,
        ("h2twin_dead_letters",): 1,
        ("h2twin_incidents_open", "outage_predicted", "severe"): 1,
        ("h2twin_incidents", "outage_predicted"): 1,
        ("h2twin_notices", "published"): 1,
        ("h2twin_forecasts", "supply"): 1,
        ("h2twin_forecast_age_seconds", "supply"): 120,
        ("h2twin_forecast_stale", "drainage"): 0,
        ("h2twin_beat_age_seconds", "ingest"): 5,
        ("h2twin_beat_ok", "ingest"): 1,
        ("h2twin_beat_figure", "received", "ingest"): 12,
        ("h2twin_up", "registry"): 1,
    }
    assert {key: figures.get(key) for key in expected} == expected


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_figures_need_a_key_when_a_proxy_passes_the_request_on(house: House, header: str) -> None:
    with (
        house.client(None, **{header: "203.0.113.7"}) as stranger,
        house.client("viewer", **{header: "203.0.113.7"}) as viewer,
    ):
        assert stranger.get("/metrics").status_code == 401
        assert viewer.get("/metrics").status_code == 200


def test_a_wrong_key_is_refused_even_on_this_machine(house: House) -> None:
    with house.client("revoked") as client:
        assert client.get("/metrics").status_code == 401
