"""Who may do what: every route with every key. A route that is not in the table fails the test of the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from served import House, furnish, served

PUBLIC = "public"
LOGIN = "login"
TABLE = {
    "GET /": PUBLIC,
    "GET /docs": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /metrics": PUBLIC,  # from this machine; test_api_health.py asks from elsewhere
    "GET /static/twin.css": PUBLIC,
    "GET /public/notices.json": PUBLIC,
    "GET /public/notices.atom": PUBLIC,
    "GET /public/notices/{notice_id}.cap": PUBLIC,
    "GET /ops/login": PUBLIC,
    "POST /ops/login": PUBLIC,
    "POST /ops/logout": LOGIN,
    "GET /ops": LOGIN,
    "GET /ops/incidents/{incident_id}": LOGIN,
    "POST /ops/incidents/{incident_id}/acknowledge": LOGIN,
    "POST /ops/incidents/{incident_id}/shelve": LOGIN,
    "POST /ops/incidents/{incident_id}/unshelve": LOGIN,
    "GET /ops/notices/{notice_id}": LOGIN,
    "POST /ops/notices/{notice_id}/approve": LOGIN,
    "POST /ops/notices/{notice_id}/publish": LOGIN,
    "POST /ops/notices/{notice_id}/cancel": LOGIN,
    "GET /ops/isolation": LOGIN,
    "POST /ops/isolation": LOGIN,
    "GET /api/v1/about": "viewer",
    "GET /api/v1/sensors": "viewer",
    "GET /api/v1/sensors/{sensor_id}": "viewer",
    "GET /api/v1/sensors/{sensor_id}/readings": "viewer",
    "GET /api/v1/gaps": "viewer",
    "GET /api/v1/residuals": "viewer",
    "GET /api/v1/events": "operator",
    "GET /api/v1/network": "viewer",
    "GET /api/v1/districts": "viewer",
    "GET /api/v1/state": "viewer",
    "GET /api/v1/forecasts/supply": "viewer",
    "GET /api/v1/forecasts/supply/customers": "operator",
    "GET /api/v1/forecasts/supply/runs": "viewer",
    "GET /api/v1/forecasts/drainage": "viewer",
    "GET /api/v1/forecasts/drainage/runs": "viewer",
    "GET /api/v1/isolation": "viewer",
    "POST /api/v1/isolation": "operator",
    "POST /api/v1/scenarios": "operator",
    "GET /api/v1/scenarios": "viewer",
    "GET /api/v1/scenarios/comparison": "viewer",
    "GET /api/v1/scenarios/{job_id}": "viewer",
    "GET /api/v1/scenarios/{job_id}/result": "viewer",
    "GET /api/v1/scenarios/{job_id}/events": "viewer",
    "POST /api/v1/scenarios/{job_id}/cancel": "operator",
    "DELETE /api/v1/scenarios/{job_id}": "operator",
    "GET /api/v1/incidents": "viewer",
    "GET /api/v1/incidents/{incident_id}": "viewer",
    "POST /api/v1/incidents/{incident_id}/acknowledge": "operator",
    "POST /api/v1/incidents/{incident_id}/shelve": "operator",
    "POST /api/v1/incidents/{incident_id}/unshelve": "operator",
    "GET /api/v1/notices": "viewer",
    "GET /api/v1/notices/{notice_id}": "viewer",
    "POST /api/v1/notices/{notice_id}/approve": "operator",
    "POST /api/v1/notices/{notice_id}/publish": "operator",
    "POST /api/v1/notices/{notice_id}/cancel": "operator",
    "GET /api/v1/sensors/{sensor_id}/rollups": "viewer",  # a household's: operator
    "GET /api/v1/sensors/{sensor_id}/consumption": "viewer",  # a household's: operator
    "GET /api/v1/districts/{district}/demand": "viewer",
    "GET /api/v1/trust": "viewer",
    "GET /api/v1/kpis": "viewer",
    "GET /api/v1/customers": "operator",
    "GET /api/v1/dead-letters": "operator",
    "GET /api/v1/audit": "admin",
    "GET /api/v1/keys": "admin",
    "POST /api/v1/keys": "admin",
    "POST /api/v1/keys/{key_id}/revoke": "admin",
}
RANK = {"viewer": 1, "operator": 2, "admin": 3}
KEYED = [(route, needs) for route, needs in TABLE.items() if needs in RANK]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("rights")
    with served(folder) as house:
        furnish(house)
        yield house


def _routes(house: House) -> set[str]:
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(house.app.routes)
        for method in route.methods or ()
        if method != "HEAD"
    }


def _ask(client: httpx.Client, route: str) -> httpx.Response:
    method, path = route.split(" ")
    ids = {
        "{sensor_id}": "P1",
        "{incident_id}": "i-1",
        "{notice_id}": "n-1",
        "{key_id}": "000000000000",
        "{job_id}": "S-1",
    }
    for name, value in ids.items():
        path = path.replace(name, value)
    return client.request(method, path)


def test_the_table_names_every_route_and_no_other(house: House) -> None:
    assert _routes(house) == set(TABLE)


@pytest.mark.parametrize("route", [route for route, needs in TABLE.items() if needs == PUBLIC and "GET" in route])
def test_what_is_public_needs_no_key(house: House, route: str) -> None:
    with house.client() as client:
        assert _ask(client, route).status_code == 200


@pytest.mark.parametrize("route", [route for route, needs in TABLE.items() if needs == LOGIN])
def test_the_operators_pages_send_strangers_to_the_login_even_with_a_key(house: House, route: str) -> None:
    for client in (house.client(), house.client("admin")):
        with client:
            answer = _ask(client, route)
            assert answer.status_code == 303
            assert answer.headers["location"] == "/ops/login"


@pytest.mark.parametrize(("route", "needs"), KEYED)
def test_no_key_and_garbage_are_refused(house: House, route: str, needs: str) -> None:
    garbage = (b"Bearer", b"Bearer x", b"Basic dXNlcjpwYXNz", b"Bearer h2_000000000000_" + b"0" * 64, b"Bearer \xe9")
    with house.client() as client:
        _assert_unauthenticated(_ask(client, route))
        for authorization in garbage:
            client.headers = httpx.Headers([(b"Authorization", authorization)])
            _assert_unauthenticated(_ask(client, route))


@pytest.mark.parametrize(("route", "needs"), KEYED)
def test_a_revoked_key_is_refused(house: House, route: str, needs: str) -> None:
    with house.client("revoked") as client:
        _assert_unauthenticated(_ask(client, route))


def _assert_unauthenticated(answer: httpx.Response) -> None:
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:h2twin:problem:unauthenticated"


@pytest.mark.parametrize(("route", "needs"), KEYED)
@pytest.mark.parametrize("role", RANK)
def test_each_role_passes_exactly_where_it_may(house: House, route: str, needs: str, role: str) -> None:
    with house.client(role) as client:
        answer = _ask(client, route)
    if RANK[role] >= RANK[needs]:
        assert answer.status_code not in (401, 403)
    else:
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:h2twin:problem:forbidden"


@pytest.mark.parametrize(("route", "needs"), KEYED)
def test_the_description_names_the_role_as_scope(house: House, route: str, needs: str) -> None:
    method, path = route.split(" ")
    security = house.app.openapi()["paths"][path][method.lower()]["security"]
    assert security == [{"api_key": [needs]}]


def test_a_refused_step_is_written_down_with_the_keys_name(house: House) -> None:
    with house.client("viewer") as viewer, house.client("admin") as admin:
        before = len(admin.get("/api/v1/audit", params={"limit": 1000}).json()["items"])
        assert viewer.post("/api/v1/notices/n-1/publish").status_code == 403
        entries = admin.get("/api/v1/audit", params={"limit": 1000}).json()["items"]
    assert len(entries) == before + 1
    assert entries[0]["action"] == "refused"
    assert entries[0]["actor"].startswith("the viewer (")
    assert entries[0]["subject"] == "POST /api/v1/notices/n-1/publish"


def test_a_revoked_key_stops_at_once(house: House) -> None:
    with house.client("admin") as admin:
        made = admin.post("/api/v1/keys", json={"name": "short visit", "role": "viewer"})
        assert made.status_code == 201
        visitor = {"Authorization": f"Bearer {made.json()['key']}"}
        assert httpx.get(house.url + "/api/v1/about", headers=visitor).status_code == 200
        assert admin.post(f"/api/v1/keys/{made.json()['id']}/revoke").status_code == 200
        assert httpx.get(house.url + "/api/v1/about", headers=visitor).status_code == 401
        assert admin.post(f"/api/v1/keys/{made.json()['id']}/revoke").status_code == 409


def test_no_answer_shows_a_secret_or_its_hash(house: House) -> None:
    with house.client("admin") as admin:
        text = admin.get("/api/v1/keys").text + admin.get("/api/v1/audit", params={"limit": 1000}).text
    kept = house.services.registry.keys()
    for key in kept:
        assert key.secret_hash not in text
        assert key.secret_hash.split("$")[2] not in text
    for secret in house.keys.values():
        assert secret.split("_")[2] not in text
