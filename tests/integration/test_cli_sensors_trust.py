"""`h2twin doctor sensors` and `h2twin consumption` on a data folder."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from command_line import CommandLine

from twin.clock import SystemClock, format_time


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def _midnight() -> datetime:
    now = SystemClock().now()
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
def furnished(h2twin: CommandLine, tmp_path: Path) -> CommandLine:
    """A pressure that misses every third hour, a meter of a connection, and a sensor that never spoke."""
    sensors = tmp_path / "sensors.csv"
    sensors.write_text(
        "sensor_id,quantity,kind,unit,element_type,element_id,district,expected_every_s,low,high,connection_id\n"
        "W-1,volume,total_increasing,m3,node,J1,D1,3600,,,C-1\n"
        "P-1,pressure,instant,m,node,J1,D1,3600,,,\n"
        "P-9,pressure,instant,m,node,J9,D1,3600,,,\n"
    )
    rows = ["sensor_id,observed_at,value,unit,available_at"]
    begins = _midnight() - timedelta(days=3)
    for hour in range(73):
        at = format_time(begins + timedelta(hours=hour))
        rows.append(f"W-1,{at},{100 + hour * 0.1:.3f},m3,{at}")
        if hour % 3:
            rows.append(f"P-1,{at},{30 + hour % 7},m,{at}")
    readings = tmp_path / "readings.csv"
    readings.write_text("\n".join(rows) + "\n")
    assert h2twin("import", "sensors", str(sensors)).code == 0
    assert h2twin("import", "readings", str(readings)).code == 0
    return h2twin


def test_an_empty_store_is_no_mistake(h2twin: CommandLine) -> None:
    assert "No sensors" in h2twin("doctor", "sensors").out
    answer = h2twin("doctor", "sensors", "--json")
    assert (answer.code, answer.json["items"], answer.json["overall"]["trust"]) == (0, [], None)


def test_the_worst_sensor_comes_first_with_its_reasons(furnished: CommandLine) -> None:
    body = furnished("doctor", "sensors", "--json").json
    assert [item["sensor_id"] for item in body["items"]] == ["P-9", "P-1", "W-1"]
    never, gaps, meter = body["items"]
    assert (never["why"], never["trust"], never["last_observed_at"]) == ("never heard", None, None)
    assert gaps["availability"] == pytest.approx(2 / 3, abs=0.02)
    assert gaps["why"].startswith(("availability 6", "silent now, availability 6"))
    assert meter["trust"] == 1.0
    assert meter["days"] in (2, 3)  # yesterday is over an hour after midnight
    assert body["overall"]["trust"] == pytest.approx(5 / 6, abs=0.02)


def test_fewer_days_and_sensors_when_asked(furnished: CommandLine) -> None:
    body = furnished("doctor", "sensors", "--days", "1", "--limit", "1", "--json").json
    assert (body["days"], body["sensors"], len(body["items"])) == (1, 3, 1)
    assert furnished("doctor", "sensors", "--days", "0").code == 2


def test_the_table_for_a_person(furnished: CommandLine) -> None:
    answer = furnished("doctor", "sensors", "--afresh")
    assert answer.code == 0
    assert "never heard" in answer.out
    assert "All 3 sensors together: trust 8" in answer.err


def test_the_doctor_still_looks_after_everything_else(furnished: CommandLine) -> None:
    answer = furnished("doctor", "--json")
    assert {check["name"] for check in answer.json["checks"]} >= {"registry", "readings", "broker"}


def test_what_passed_a_meter(furnished: CommandLine) -> None:
    begins = format_time(_midnight() - timedelta(days=2))
    answer = furnished("consumption", "meter", "W-1", "--from", begins, "--interval", "1d", "--json").json
    days = [item["volume_m3"] for item in answer["items"]]
    assert days[:2] == [pytest.approx(2.4), pytest.approx(2.4)]
    assert days[2:] == [None]
    assert "1d" in furnished("consumption", "meter", "W-1", "--from", begins, "--interval", "1d").out


def test_what_a_district_used(furnished: CommandLine) -> None:
    begins, ends = format_time(_midnight() - timedelta(days=2)), format_time(_midnight())
    answer = furnished("consumption", "district", "D1", "--from", begins, "--to", ends, "--interval", "1d", "--json")
    assert [item["metered_m3"] for item in answer.json["items"]] == [pytest.approx(2.4)] * 2
    assert answer.json["connections_from"] == "meters"


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(("meter", "P-1"), id="no meter"),
        pytest.param(("meter", "nobody"), id="no sensor"),
        pytest.param(("district", "D7"), id="no district"),
        pytest.param(("meter", "W-1", "--interval", "2h"), id="no interval"),
    ],
)
def test_mistakes_are_told(furnished: CommandLine, wrong: tuple[str, ...]) -> None:
    answer = furnished("consumption", *wrong)
    assert (answer.code, answer.err.startswith("h2twin: ")) == (3, True)
