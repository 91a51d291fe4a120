"""`h2twin dead quarantine`: what InfluxDB refused is seen and sent again, also while the server is away."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import CommandLine
from reading_builders import a_reading
from servers.process import free_port
from spooled import refused_line

from twin.ports import AuditEntry, StoreStats
from twin.storage.registry import open_registry
from twin.storage.spool import Spool


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def spool(h2twin: CommandLine) -> Path:
    """A spool with three readings, two of which the server refused; the server is away."""
    h2twin.data_dir.mkdir(mode=0o700)
    path = h2twin.data_dir / "spool.db"
    spool = Spool(path)
    readings = [a_reading(f"P{number}", raw_value=1.5) for number in range(3)]
    spool.append(readings)
    parcel = spool.next_parcel(3)
    assert parcel is not None
    spool.delivered(parcel, [refused_line(parcel, reading, "field type conflict") for reading in readings[:2]])
    spool.close()
    h2twin.set("TWIN_INFLUX_URL", f"http://127.0.0.1:{free_port()}")
    h2twin.set("TWIN_INFLUX_TOKEN", "not-a-secret-4711")
    return path


def test_refused_readings_are_listed_with_the_reason(h2twin: CommandLine, spool: Path) -> None:
    items = h2twin.ok("dead", "quarantine", "list")["items"]
    assert [item["sensor_id"] for item in items] == ["P0", "P1"]
    assert items[0].pop("line").startswith("reading,sensor_id=P0 value=1.5,")
    assert items[0] == {
        "sensor_id": "P0", "observed_at": "2026-03-01T12:00:00Z", "raw_value": 1.5, "raw_unit": "m",
        "reason": "field type conflict",
    }  # fmt: skip
    assert len(h2twin.ok("dead", "quarantine", "list", "--limit", "1")["items"]) == 1
    table = h2twin("dead", "quarantine", "list").out
    assert "P1" in table
    assert "field type conflict" in table


def test_released_readings_wait_for_the_server_again_and_it_is_written_down(h2twin: CommandLine, spool: Path) -> None:
    assert h2twin.ok("dead", "quarantine", "release") == {"released": 2}
    assert h2twin.ok("dead", "quarantine", "list") == {"items": []}
    assert "nothing" in h2twin("dead", "quarantine", "list").out.lower()
    reopened = Spool(spool)
    assert reopened.stats() == StoreStats(readings=3, pending=2, quarantined=0)
    reopened.close()
    registry = open_registry(f"sqlite:///{h2twin.data_dir / 'registry.db'}")
    (entry,) = registry.audit_entries().items
    registry.close()
    assert entry == AuditEntry(entry.at, "cli", "dead.quarantine.release", "readings", "2 readings")


def test_without_influxdb_there_is_no_quarantine(h2twin: CommandLine) -> None:
    assert h2twin.ok("dead", "quarantine", "list") == {"items": []}
    assert h2twin.ok("dead", "quarantine", "release") == {"released": 0}
    for verb in ("list", "release"):
        answer = h2twin("dead", "quarantine", verb)
        assert answer.code == 0
        assert "TWIN_INFLUX_URL" in answer.out
