"""Gaps and events where people and programs see them: API, page, metrics and command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandLine
from served import T0, House, served
from servers.mosquitto import mosquitto
from servers.process import wait_until

from ingest.gateway import Gateway
from ingest.outbox import Outbox
from twin.clock import SystemClock, format_time
from twin.events import EventKind, event
from twin.gaps import Gap, GapState
from twin.readings import Reading, Sensor
from twin.replay import Row
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity


def a_gap(sensor_id: str, minutes: float, **changes: Any) -> Gap:
    start = T0 + timedelta(minutes=minutes)
    gap = Gap(sensor_id, "g1", start, start + timedelta(minutes=20), 3, 3, T0, first_seq=8, last_seq=10)
    return replace(gap, **changes)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with served(tmp_path_factory.mktemp("gaps")) as house:
        registry = house.services.registry
        registry.save_gaps(
            [
                a_gap("A", -600),
                a_gap("A", -300, state=GapState.CLOSED, missing=0, closed_at=T0),
                a_gap("B", -200, state=GapState.REQUESTED, requests=1, requested_at=T0, gateway_id="g2"),
                a_gap("B", -100, state=GapState.GIVEN_UP, first_seq=None, last_seq=None, missing=40),
            ]
        )
        hour = timedelta(hours=1)
        registry.log_events(
            [
                event(EventKind.FORGED_IDENTITY, "h2/g9/<b>P-1</b>", T0 - hour, "'P-1' belongs to 'g1'"),
                event(EventKind.FORGED_IDENTITY, "h2/g9/<b>P-1</b>", T0 - hour / 2, "again"),
                event(EventKind.RATE_LIMITED, "g7", T0 - 300 * hour, "long ago"),
                event(EventKind.DEVICE_ALARM, "M-1", T0 - 2 * hour, "leak"),
            ]
        )
        yield house


def listed(house: House, path: str, role: str = "operator", **asked: Any) -> list[dict[str, Any]]:
    with house.client(role) as client:
        answer = client.get(f"/api/v1/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def at(minutes: float) -> str:
    return format_time(T0 + timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("asked", "starts"),
    [
        pytest.param({}, [-100, -200, -300, -600], id="all, newest first"),
        pytest.param({"sensor_id": "A"}, [-300, -600], id="of a sensor"),
        pytest.param({"gateway_id": "g2"}, [-200], id="of a gateway"),
        pytest.param({"state": ["open", "requested"]}, [-200, -600], id="that wait"),
        pytest.param({"from": at(-300), "to": at(-100)}, [-200, -300], id="of a half-open window"),
    ],
)
def test_gaps_are_listed_and_filtered(house: House, asked: dict[str, Any], starts: list[int]) -> None:
    assert [gap["start"] for gap in listed(house, "gaps", "viewer", **asked)] == [at(minutes) for minutes in starts]


def test_a_gap_says_what_is_missing_and_what_was_done(house: House) -> None:
    [gap] = listed(house, "gaps", gateway_id="g2")
    assert gap == {
        "sensor_id": "B",
        "gateway_id": "g2",
        "start": at(-200),
        "end": at(-180),
        "missing": 3,
        "missing_at_first": 3,
        "first_seq": 8,
        "last_seq": 10,
        "state": "requested",
        "found_at": at(0),
        "requests": 1,
        "requested_at": at(0),
        "closed_at": None,
    }


def test_gaps_come_in_pages(house: House) -> None:
    with house.client("viewer") as client:
        first = client.get("/api/v1/gaps", params={"limit": 3}).json()
        rest = client.get("/api/v1/gaps", params={"limit": 3, "cursor": first["next_cursor"]}).json()
        broken = client.get("/api/v1/gaps", params={"cursor": "x"})
    assert [len(first["items"]), len(rest["items"]), rest["next_cursor"]] == [3, 1, None]
    assert broken.status_code == 422


def test_events_are_listed_and_filtered(house: House) -> None:
    assert [one["kind"] for one in listed(house, "events")] == ["forged_identity", "device_alarm", "rate_limited"]
    [forged, limited] = listed(house, "events", security=True)
    assert (forged["times_seen"], forged["last_at"], forged["is_security"]) == (2, at(-30), True)
    assert limited["subject"] == "g7"
    assert [one["subject"] for one in listed(house, "events", kind="device_alarm")] == ["M-1"]
    assert listed(house, "events", subject="g7", kind="device_alarm") == []
    with house.client("operator") as client:
        refused = client.get("/api/v1/events", params={"security": True, "kind": "device_alarm"})
    assert refused.status_code == 422
    assert "none of device_alarm is a security event" in refused.json()["detail"]


def test_the_operators_page_shows_both(house: House) -> None:
    with house.client(origin=house.url) as client:
        client.post("/ops/login", data={"key": house.keys["operator"]})
        text = client.get("/ops").text
    assert "6 missing" in text
    assert "in 2 open gaps, since" in text
    assert "forged identity" in text
    assert "&lt;b&gt;P-1&lt;/b&gt;" in text
    assert "long ago" not in text, "it is in the list of events"


def test_the_operators_page_shows_what_must_be_mended(tmp_path: Path) -> None:
    with served(tmp_path) as house:
        told = [EventKind.CLOCK_SKEW, EventKind.UNIT_SUSPECT, EventKind.STORE_FILLING, EventKind.POISON_MESSAGE]
        house.services.registry.log_events(
            [event(kind, f"subject-{kind}", T0, "mend it") for kind in (*told, EventKind.DEVICE_STATUS)]
        )
        with house.client(origin=house.url) as client:
            client.post("/ops/login", data={"key": house.keys["operator"]})
            text = client.get("/ops").text
    assert "Trouble with the readings" in text
    assert all(f"subject-{kind}" in text for kind in told)
    assert "subject-device_status" not in text
    assert "Security" not in text


def test_the_figures_count_both(house: House) -> None:
    with house.client("viewer") as client:
        figures = client.get("/metrics").text.splitlines()
    for line in (
        'h2twin_gaps{state="open"} 1.0',
        'h2twin_gaps{state="given_up"} 1.0',
        "h2twin_readings_missing 6.0",
        "h2twin_gap_age_seconds 36000.0",
        'h2twin_events{kind="forged_identity"} 1.0',
        'h2twin_up{part="gaps"} 1.0',
    ):
        assert line in figures


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def a_reading(minute: int, at_start: datetime = T0) -> Reading:
    at = at_start + timedelta(minutes=minute)
    return Reading("P-1", at, at, 1.0, "m", 1.0, "m", seq=minute)


def furnish(folder: Path) -> None:
    """Readings 0 and 5 of six, and the ledger's row of it; and one row that is filled, which the ledger knows not."""
    folder.mkdir(exist_ok=True)
    registry, store = open_registry(f"sqlite:///{folder / 'registry.db'}"), SqliteReadings(folder / "readings.db")
    registry.upsert_sensors([Sensor("P-1", Quantity.PRESSURE, expected_every_s=60)])
    store.append([a_reading(minute) for minute in (0, 5, 6, 7, 8)])
    times = [T0 + timedelta(minutes=minute) for minute in (0, 5, 6, 8)]
    registry.save_gaps(
        [
            Gap("P-1", "g1", times[0], times[1], 4, 4, T0, first_seq=1, last_seq=4),
            Gap("P-1", "g1", times[2], times[3], 1, 1, T0, first_seq=7, last_seq=7),
        ]
    )
    store.close()
    registry.close()


def test_the_command_lists_and_names_unknown_states(h2twin: CommandLine) -> None:
    furnish(h2twin.data_dir)
    items = h2twin.ok("gaps", "list")["items"]
    assert [(gap["missing"], gap["state"]) for gap in items] == [(1, "open"), (4, "open")]
    assert "5 readings are missing in 2 open gaps" in h2twin("gaps", "list").out
    wrong = h2twin("gaps", "list", "--state", "wide")
    assert wrong.code == 3
    assert "states are open, requested, closed, given_up" in wrong.err


@pytest.mark.needs_mosquitto
def test_the_command_asks_for_what_is_missing_and_closes_what_is_not(h2twin: CommandLine, tmp_path: Path) -> None:
    furnish(h2twin.data_dir)
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as (port, _):
        url = f"mqtt://127.0.0.1:{port}"
        with Outbox(tmp_path / "outbox.db", SystemClock()) as outbox, Gateway(url, "g1", outbox) as gateway:
            gateway.put([Row("P-1", a_reading(minute).observed_at, 1.0, "m") for minute in range(9)])
            assert gateway.flush(20) == 0
            [asked] = h2twin.ok("gaps", "request", "--mqtt-url", url)["items"]
            assert (asked["first_seq"], asked["last_seq"], asked["state"], asked["requests"]) == (1, 4, "requested", 1)
            wait_until(lambda: gateway.status().asked_again == 4, what="the gateway hears of it")
    assert [gap["state"] for gap in h2twin.ok("gaps", "list")["items"]] == ["closed", "requested"]


def test_imported_readings_close_a_gap(h2twin: CommandLine, tmp_path: Path) -> None:
    furnish(h2twin.data_dir)
    file = tmp_path / "archive.csv"
    rows = [f"P-1,{format_time(a_reading(minute).observed_at)},1.0" for minute in (1, 2, 4)]
    file.write_text("\n".join(["sensor_id,observed_at,value", *rows]) + "\n")
    h2twin.ok("import", "readings", file)
    waiting = h2twin.ok("gaps", "list", "--state", "open")["items"]
    assert [(gap["start"], gap["missing"]) for gap in waiting] == [(at(2), 1)]
