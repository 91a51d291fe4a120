"""`h2twin store`: stats, seal, export; and a backup with sealed days in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command_line import CommandLine

from twin.readings import Quality, Reading, Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytest.importorskip("pyarrow")

SENSORS = """sensor_id,quantity,kind,unit,element_type,element_id,district,expected_every_s,low,high
P-1,pressure,instant,bar,,,,3600,,
"P,2",pressure,instant,bar,,,,3600,,
"""
START = datetime(2026, 1, 1, tzinfo=UTC)
SEALED_UNTIL = START + timedelta(days=3)
READINGS = [
    Reading(name, at, at + timedelta(seconds=1), n / 3, "m", n / 30, "bar", quality, reasons, n)
    for name, quality, reasons in (("P-1", Quality.GOOD, ()), ("P,2", Quality.SUSPECT, ("late",)))
    for n in range(100)
    for at in [START + timedelta(hours=n)]
]


@pytest.fixture
def h2twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    h2twin = CommandLine(tmp_path, monkeypatch, capsys)
    h2twin.ok("store", "stats")
    registry = open_registry(f"sqlite:///{h2twin.data_dir / 'registry.db'}")
    registry.upsert_sensors([Sensor(name, Quantity.PRESSURE, unit="bar") for name in ("P-1", "P,2")])
    registry.close()
    store = SqliteReadings(h2twin.data_dir / "readings.db")
    store.append(READINGS)
    store.close()
    return h2twin


def kept(folder: Path) -> list[Reading]:
    store = SqliteReadings(folder / "readings.db")
    try:
        return [r for name in ("P-1", "P,2") for r in store.between(name, START, START + timedelta(days=9))]
    finally:
        store.close()


def test_old_days_are_sealed_and_told(h2twin: CommandLine) -> None:
    assert h2twin.ok("store", "stats") == {
        "readings": 200, "waiting": 0, "quarantined": 0, "sealed_readings": 0, "sealed_days": [], "verified": False,
    }  # fmt: skip
    outcome = h2twin.ok("store", "seal", "--older-than-days", "1")
    assert (outcome["days"], outcome["readings"]) == (5, 200)
    stats = h2twin.ok("store", "stats", "--verify")
    assert (stats["readings"], stats["sealed_readings"], stats["verified"]) == (200, 200, True)
    assert [day["day"] for day in stats["sealed_days"]] == [f"2026-01-0{n}" for n in range(1, 6)]
    assert sum((h2twin.data_dir / "sealed" / day["file"]).stat().st_size for day in stats["sealed_days"]) > 0
    assert kept(h2twin.data_dir) == READINGS
    (h2twin.data_dir / "sealed" / stats["sealed_days"][2]["file"]).unlink()
    assert h2twin("store", "stats", "--verify").code == 4
    assert "5 days" not in h2twin("store", "seal", "--older-than-days", "1").out


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("is_sealed", [False, True])
def test_what_is_exported_can_be_imported_elsewhere(
    h2twin: CommandLine, tmp_path: Path, ending: str, is_sealed: bool
) -> None:
    if is_sealed:
        h2twin.ok("store", "seal", "--older-than-days", "1")
    file = tmp_path / f"out{ending}"
    bounds = ("--from", "2026-01-02T05:00:00Z", "--to", "2026-01-04T01:00:00+01:00")
    expected = [r for r in READINGS if START + timedelta(hours=29) <= r.observed_at < START + timedelta(hours=72)]
    assert h2twin.ok("store", "export", file, *bounds) == {"sensors": 2, "readings": len(expected)}
    assert h2twin.ok("store", "export", tmp_path / f"one{ending}", "--sensor", "P-1")["readings"] == 100
    assert h2twin.ok("store", "export", tmp_path / f"all{ending}", "--judged")["readings"] == 200
    assert h2twin("store", "export", file).code == 2
    assert h2twin("store", "export", tmp_path / "x.xls").code == 3
    assert h2twin("store", "export", tmp_path / f"y{ending}", "--sensor", "nobody").code == 3
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []
    elsewhere = ("--data-dir", tmp_path / "elsewhere")
    sensors = tmp_path / "sensors.csv"
    sensors.write_text(SENSORS)
    h2twin.ok("import", "sensors", sensors, *elsewhere)
    assert h2twin.ok("import", "readings", file, *elsewhere)["stored"] == len(expected)
    found = kept(tmp_path / "elsewhere")
    assert [(r.key, r.available_at, r.raw_value, r.raw_unit, r.seq) for r in found] == [
        (r.key, r.available_at, r.raw_value, r.raw_unit, r.seq) for r in expected
    ]


def test_a_backup_holds_the_sealed_days(h2twin: CommandLine, tmp_path: Path) -> None:
    h2twin.ok("store", "seal", "--older-than-days", "1")
    h2twin.ok("backup", tmp_path / "b.tar.gz")
    restored = tmp_path / "restored"
    h2twin.ok("restore", tmp_path / "b.tar.gz", "--data-dir", restored)
    assert h2twin.ok("store", "stats", "--verify", "--data-dir", restored)["sealed_readings"] == 200
    assert kept(restored) == READINGS
