"""Lists over HTTP: pages without loss or repetition, half-open windows, qualities, what was known when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from served import (
    T0,
    House,
    a_bad_reading,
    a_letter,
    a_notice,
    a_reading,
    a_sensor,
    a_supply_run,
    an_incident,
    customers,
    served,
)

from twin.clock import format_time
from twin.incidents import IncidentKind, IncidentState
from twin.notices import NoticeState

READINGS = [
    a_bad_reading("P1", T0 + timedelta(minutes=i)) if i % 5 == 0 else a_reading("P1", T0 + timedelta(minutes=i), 30 + i)
    for i in range(47)
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served(tmp_path_factory.mktemp("lists")) as house:
        registry = house.services.registry
        registry.upsert_sensors([a_sensor(f"P{i}") for i in range(1, 24)])
        late = a_reading("P2", T0, 1.0, late_s=3600.0)
        house.services.readings.append([*READINGS, a_reading("P2", T0 - timedelta(minutes=5), 2.0), late])
        registry.upsert_customers(customers(23))
        moments = [T0 + timedelta(minutes=i // 3) for i in range(23)]  # several at the same moment
        registry.save_incidents(
            [
                an_incident(f"i-{i}", opened_at=at, cause_key=f"c{i}", kind=list(IncidentKind)[i % 2])
                for i, at in enumerate(moments)
            ]
        )
        for i, at in enumerate(moments):
            registry.save_notice(a_notice(f"n-{i}", NoticeState.DRAFT if i % 2 else NoticeState.PUBLISHED, at=at))
            registry.save_run(a_supply_run(f"r-{i}", at))
        registry.bury([a_letter(payload=f"{i}".encode()) for i in range(23)])
        yield house


def _all(client: httpx.Client, path: str, limit: int, **params: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(200):
        page = client.get(
            f"/api/v1/{path}", params={**params, "limit": limit, **({"cursor": cursor} if cursor else {})}
        )
        assert page.status_code == 200, page.text
        assert set(page.json()) >= {"items", "next_cursor"}
        assert len(page.json()["items"]) <= limit
        items += page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return items
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("limit", [1, 4, 23, 24, 1000])
@pytest.mark.parametrize(
    ("path", "key", "expected"),
    [
        ("sensors", "sensor_id", {f"P{i}" for i in range(1, 24)}),
        ("state", "sensor_id", {f"P{i}" for i in range(1, 24)}),
        ("incidents", "incident_id", {f"i-{i}" for i in range(23)}),
        ("notices", "notice_id", {f"n-{i}" for i in range(23)}),
        ("forecasts/supply/runs", "run_id", {f"r-{i}" for i in range(23)}),
        ("dead-letters", "payload", {f"{i}" for i in range(23)}),
        ("customers?rows=true&purpose=test", "connection_id", {f"CONNECTION-{i:03}" for i in range(23)}),
    ],
)
def test_pages_together_hold_everything_once(house: House, path: str, key: str, expected: set[str], limit: int) -> None:
    path, _, query = path.partition("?")
    params = dict(pair.split("=") for pair in query.split("&")) if query else {}
    with house.client("admin") as client:
        keys = [item[key] for item in _all(client, path, limit, **params)]
    assert len(keys) == len(expected)
    assert set(keys) == expected


@pytest.mark.parametrize("limit", [1, 7, 46, 47, 1000])
def test_readings_come_in_order_of_time_without_loss_or_repetition(house: House, limit: int) -> None:
    with house.client("viewer") as client:
        got = [item["observed_at"] for item in _all(client, "sensors/P1/readings", limit)]
    assert got == [format_time(reading.observed_at) for reading in READINGS]


@pytest.mark.parametrize("limit", [1, 3, 10, 1000])
def test_a_quality_filter_pages_without_loss_too(house: House, limit: int) -> None:
    with house.client("viewer") as client:
        bad = _all(client, "sensors/P1/readings", limit, quality="bad")
        good = _all(client, "sensors/P1/readings", limit, quality="good")
        both = _all(client, "sensors/P1/readings", limit, quality=["bad", "good"])
    assert [item["observed_at"] for item in bad] == [format_time(r.observed_at) for r in READINGS[::5]]
    assert [item["observed_at"] for item in good] == [
        format_time(r.observed_at) for i, r in enumerate(READINGS) if i % 5
    ]
    assert len(both) == len(READINGS)
    assert {item["reasons"][0] for item in bad} == {"out_of_range"}


def _readings(client: httpx.Client, sensor: str = "P1", **params: str) -> list[dict[str, Any]]:
    answer = client.get(f"/api/v1/sensors/{sensor}/readings", params={"limit": 1000, **params})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def _t(minutes: int) -> datetime:
    return T0 + timedelta(minutes=minutes)


def test_from_is_inclusive_and_to_exclusive_and_offsets_are_understood(house: House) -> None:
    with house.client("viewer") as client:
        got = _readings(client, **{"from": "2026-03-01T13:10:00+01:00", "to": format_time(_t(13))})
        empty = _readings(client, **{"from": format_time(_t(3)), "to": format_time(_t(3))})
    assert [item["observed_at"] for item in got] == [format_time(_t(i)) for i in (10, 11, 12)]
    assert empty == []


def test_a_cursor_does_not_leave_the_window(house: House) -> None:
    with house.client("viewer") as client:
        window = {"from": format_time(_t(5)), "to": format_time(_t(9))}
        got = _all(client, "sensors/P1/readings", 2, **window)
    assert [item["observed_at"] for item in got] == [format_time(_t(i)) for i in (5, 6, 7, 8)]


def test_known_at_hides_what_came_later(house: House) -> None:
    with house.client("viewer") as client:
        then = _readings(client, "P2", known_at=format_time(T0 + timedelta(minutes=59)))
        now = _readings(client, "P2", known_at=format_time(T0 + timedelta(minutes=60)))
    assert [item["value"] for item in then] == [2.0]
    assert [item["value"] for item in now] == [2.0, 1.0]


def test_a_reading_has_exactly_the_agreed_fields(house: House) -> None:
    with house.client("viewer") as client:
        item = _readings(client)[1]
    assert item == {
        "observed_at": "2026-03-01T12:01:00Z",
        "available_at": "2026-03-01T12:01:02Z",
        "value": 31.0,
        "unit": "m",
        "quality": "good",
        "reasons": [],
        "raw_value": 31 / 10.19716,
        "raw_unit": "bar",
    }


def test_incidents_are_filtered_by_kind_state_and_window(house: House) -> None:
    registry = house.services.registry
    registry.save_incidents([replace(registry.incident("i-0"), state=IncidentState.CLOSED, closed_at=_t(9))])
    with house.client("viewer") as client:
        observed = _all(client, "incidents", 1000, kind="outage_observed")
        closed = _all(client, "incidents", 1000, state="closed")
        window = _all(client, "incidents", 1000, **{"from": format_time(_t(2)), "to": format_time(_t(3))})
    assert {item["incident_id"] for item in observed} == {f"i-{i}" for i in range(1, 23, 2)}
    assert [item["incident_id"] for item in closed] == ["i-0"]
    assert {item["incident_id"] for item in window} == {"i-6", "i-7", "i-8"}


def test_notices_are_filtered_by_state(house: House) -> None:
    with house.client("viewer") as client:
        drafts = _all(client, "notices", 5, state="draft")
    assert {item["notice_id"] for item in drafts} == {f"n-{i}" for i in range(1, 23, 2)}


@pytest.mark.parametrize(
    "path",
    [
        "sensors", "sensors/P1/readings", "state", "districts", "incidents", "notices", "forecasts/supply/runs",
        "residuals", "customers?rows=true&purpose=x", "audit", "keys", "dead-letters",
    ],
)  # fmt: skip
@pytest.mark.parametrize("cursor", ["x", "%00", "W10", "bm90aGluZw", "9" * 50, "%F0%9F%92%A7"])
def test_a_broken_cursor_is_refused_as_a_problem(house: House, path: str, cursor: str) -> None:
    with house.client("admin") as client:
        answer = client.get(f"/api/v1/{path}{'&' if '?' in path else '?'}cursor={cursor}")
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_another_sensors_cursor_is_refused(house: House) -> None:
    with house.client("viewer") as client:
        cursor = client.get("/api/v1/sensors/P1/readings?limit=1").json()["next_cursor"]
        assert client.get(f"/api/v1/sensors/P2/readings?cursor={cursor}").status_code == 422
