"""Refusals: always an RFC 9457 problem, never a trace, whatever is sent."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import House, furnish, running_app, served
from structlog.testing import capture_logs

from api.app import create_app
from twin.errors import StorageFullError, UnavailableError


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served(tmp_path_factory.mktemp("problems")) as house:
        furnish(house)
        yield house


def assert_problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"urn:h2twin:problem:{slug}"
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == urlsplit(str(answer.url)).path
    assert "Traceback" not in answer.text
    return body


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/sensors/", 404, "not_found"),
        ("GET", "/api/v1/sensors/P9", 404, "not_found"),
        ("GET", "/api/v1/sensors/P9/readings", 404, "not_found"),
        ("GET", "/api/v1/incidents/i-9", 404, "not_found"),
        ("GET", "/api/v1/notices/n-9", 404, "not_found"),
        ("GET", "/api/v1/network?kind=drainage", 404, "not_found"),
        ("GET", "/api/v1/forecasts/supply?run_id=drainage-1", 404, "not_found"),
        ("GET", "/api/v1/forecasts/supply?run_id=none", 404, "not_found"),
        ("GET", "/public/notices/n-9.cap", 404, "not_found"),
        ("POST", "/api/v1/incidents/i-9/acknowledge", 404, "not_found"),
        ("POST", "/api/v1/keys/none/revoke", 404, "not_found"),
        ("DELETE", "/api/v1/sensors", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
        ("POST", "/api/v1/notices/n-1/publish", 409, "conflict"),
        ("POST", "/api/v1/notices/n-1/cancel", 409, "conflict"),
        ("GET", "/api/v1/network?kind=streams", 422, "invalid_input"),
        ("GET", "/api/v1/sensors?limit=0", 422, "invalid_input"),
        ("GET", "/api/v1/sensors?limit=1001", 422, "invalid_input"),
        ("GET", "/api/v1/sensors?limit=many", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/P1/readings?from=2026-01-01T00:00:00", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/P1/readings?from=2026-01-01", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/P1/readings?from=yesterday", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/P1/readings?from=1700000000", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/P1/readings?from=0001-01-01T00:00:00%2B14:00", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/P1/readings?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/P1/readings?quality=perfect", 422, "invalid_input"),
        ("GET", "/api/v1/sensors/%00", 422, "invalid_input"),
        ("GET", "/api/v1/kpis?from=2030-01-01T00:00:00Z&to=2031-01-01T00:00:00Z", 422, "invalid_input"),
        ("GET", "/api/v1/customers?rows=true", 422, "invalid_input"),
        ("GET", "/api/v1/customers?rows=true&purpose=%20", 422, "invalid_input"),
    ],
)
def test_refusals_have_their_status_and_type(house: House, method: str, path: str, status: int, slug: str) -> None:
    with house.client("admin") as client:
        assert_problem(client.request(method, path), status, slug)


def test_a_wrong_parameter_is_named(house: House) -> None:
    with house.client("viewer") as client:
        body = assert_problem(client.get("/api/v1/sensors/P1/readings?from=2026-01-01T00:00:00"), 422, "invalid_input")
    assert body["errors"][0]["where"] == "query.from"
    assert "has no zone" in body["errors"][0]["message"]


def test_405_names_what_is_allowed(house: House) -> None:
    assert httpx.post(house.url + "/healthz").headers["allow"] == "GET"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b'{"until": 5, "reason": "x"}', b'{"until": "2026-03-02T00:00:00", "reason": "x"}',
        b'{"until": "2026-03-02T00:00:00Z"}', b'{"until": "2026-03-02T00:00:00Z", "reason": ""}',
        b'{"until": "2026-03-02T00:00:00Z", "reason": "x", "more": 1}',
        b'{"until": "2026-02-01T00:00:00Z", "reason": "x"}',
        b"\xff\xfe", b'{"until": NaN, "reason": "x"}',
    ],
)  # fmt: skip
def test_a_broken_body_is_refused_and_changes_nothing(house: House, body: bytes) -> None:
    before = house.services.registry.incident("i-1")
    with house.client("operator", **{"Content-Type": "application/json"}) as client:
        assert_problem(client.post("/api/v1/incidents/i-1/shelve", content=body), 422, "invalid_input")
    assert house.services.registry.incident("i-1") == before


def test_a_huge_body_is_refused(house: House) -> None:
    with house.client("operator", **{"Content-Type": "application/json"}) as client:
        answer = client.post("/api/v1/incidents/i-1/shelve", content=b" " * 1_000_001)
    assert_problem(answer, 413, "too_large")


def test_a_stepper_who_has_not_seen_the_newest_words_is_refused(house: House) -> None:
    with house.client("operator") as client:
        etag = client.get("/api/v1/notices/n-1").headers["etag"]
        stale = client.post("/api/v1/notices/n-1/publish", headers={"If-Match": '"0123456789abcdef"'})
        assert_problem(stale, 412, "changed_meanwhile")
        current = client.post("/api/v1/notices/n-1/publish", headers={"If-Match": etag})
        assert_problem(current, 409, "conflict")  # it is published already: the words were the newest


def _with_readings(house: House, error: Exception) -> Any:
    class _Away:
        def __getattr__(self, name: str) -> Any:
            def fail(*_: Any, **__: Any) -> Any:
                raise error

            return fail

        def close(self) -> None:
            return None

    return replace(house.services, readings=_Away())


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (UnavailableError("the store is away: start it"), 503, "unavailable"),
        (StorageFullError("the disk is full: make room"), 503, "storage_full"),
        (KeyError("secret detail"), 500, "unexpected"),
    ],
    ids=["away", "full", "unforeseen"],
)
def test_trouble_behind_is_told_without_a_trace(house: House, error: Exception, status: int, slug: str) -> None:
    headers = {"Authorization": f"Bearer {house.keys['viewer']}"}
    with running_app(create_app(_with_readings(house, error))) as url, capture_logs() as logged:
        answer = httpx.get(url + "/api/v1/state", headers=headers)
    body = assert_problem(answer, status, slug)
    if status == 503:
        assert body["detail"] == str(error)
        assert int(answer.headers["retry-after"]) > 0
    else:
        assert "secret detail" not in answer.text
        assert [(entry["error_id"], entry["exc_info"]) for entry in logged] == [(body["error_id"], error)]


class _AwayRegistry:
    """A registry behind which nothing answers; its errors name where it should be."""

    def __getattr__(self, name: str) -> Any:
        def fail(*args: object, **options: object) -> None:
            raise UnavailableError("cannot reach secret-host:5432")

        return fail


@pytest.mark.parametrize("path", ["/", "/public/notices.json", "/public/notices.atom"])
def test_strangers_are_not_told_where_our_stores_are(house: House, path: str) -> None:
    with running_app(create_app(replace(house.services, registry=_AwayRegistry()))) as url, capture_logs() as logged:  # type: ignore[arg-type]
        answer = httpx.get(url + path)
    assert answer.status_code == 503
    assert "secret-host" not in answer.text
    assert "secret-host" in str(logged)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(
        ["sensors/{}", "sensors/{}/readings", "incidents/{}", "notices/{}", "forecasts/supply?run_id={}",
         "sensors?cursor={}", "sensors/P1/readings?from={}", "incidents?kind={}", "state?limit={}"]
    ),
    text=st.text(min_size=1, max_size=40),
)  # fmt: skip
def test_no_input_at_all_makes_an_unexpected_error(house: House, path: str, text: str) -> None:
    try:
        encoded = quote(text.encode("utf-8", "surrogatepass"), safe="")
    except UnicodeEncodeError:
        return
    answer = httpx.get(
        f"{house.url}/api/v1/{path.format(encoded)}", headers={"Authorization": f"Bearer {house.keys['viewer']}"}
    )
    assert answer.status_code in (200, 404, 422), (answer.status_code, answer.text)
    json.loads(answer.text)


@pytest.mark.parametrize(
    "target", [b"/api/v1/sensors/%ff", b"/api/v1/sensors?limit=%ff", b"/%2e%2e/%2e%2e/etc/passwd", b"/static/../app.py"]
)
def test_raw_bytes_in_the_address_are_refused_too(house: House, target: bytes) -> None:
    parts = urlsplit(house.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        key = house.keys["viewer"].encode()
        line.sendall(
            b"GET "
            + target
            + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
            + key
            + b"\r\n\r\n"
        )
        status = line.makefile("rb").readline().split()[1]
    assert status in (b"404", b"422")


def test_security_headers_stand_on_every_answer_and_cors_is_off(house: House) -> None:
    for path in ("/", "/api/v1/nothing", "/ops", "/healthz", "/static/twin.css", "/public/notices.json"):
        headers = httpx.get(house.url + path, headers={"Origin": "https://evil.example"}).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script-src" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert headers["cache-control"]
