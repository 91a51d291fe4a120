"""`h2twin replay`: the past as it was known then, through a broker and stores of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command_line import CommandLine
from served import T0, a_reading, a_sensor

from twin.readings import Reading
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings


@pytest.fixture
def h2twin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield CommandLine(tmp_path, monkeypatch, capsys)
    for number, handler in before.items():
        signal.signal(number, handler)


def _hours(*hours: float) -> list[Reading]:
    return [a_reading("P1", T0 + timedelta(hours=h), 30.0 + h, late_s=0) for h in hours]


def _keep(h2twin: CommandLine, readings: list[Reading]) -> None:
    h2twin.data_dir.mkdir(mode=0o700)
    registry = open_registry(f"sqlite:///{h2twin.data_dir / 'registry.db'}")
    registry.upsert_sensors([a_sensor("P1"), a_sensor("P2")])
    registry.close()
    store = SqliteReadings(h2twin.data_dir / "readings.db")
    store.append(readings)
    store.close()


def _period(first: float, last: float) -> tuple[str, ...]:
    start, end = (T0 + timedelta(hours=h) for h in (first, last))
    return ("replay", "--from", start.isoformat(), "--to", end.isoformat())


def test_a_replay_knows_nothing_before_its_time(h2twin: CommandLine, tmp_path: Path) -> None:
    late = replace(a_reading("P2", T0 + timedelta(hours=1)), available_at=T0 + timedelta(hours=3))
    after = replace(a_reading("P2", T0 + timedelta(hours=2)), available_at=T0 + timedelta(hours=9))
    _keep(h2twin, [*_hours(-1, 1, 2, 3), late, after])
    outcome = h2twin.ok(*_period(0, 3.5), "--into", tmp_path / "again")
    assert (outcome["readings_known_before"], outcome["readings_published"], outcome["cycles"]) == (1, 4, 3)
    assert (outcome["readings_stored"], outcome["dead_letters"]) == (5, 0)
    store = SqliteReadings(tmp_path / "again" / "readings.db")
    (shown,) = store.between("P2", T0, T0 + timedelta(days=1))
    store.close()
    assert (shown.observed_at, shown.available_at) == (late.observed_at, T0 + timedelta(hours=3))
    refused = h2twin(*_period(0, 3.5), "--into", tmp_path / "again")
    assert refused.code == 2


def test_imported_history_is_relived_as_it_was_observed(h2twin: CommandLine) -> None:
    imported_at = T0 + timedelta(days=30)
    _keep(h2twin, [replace(reading, available_at=imported_at) for reading in _hours(-2, 1, 2)])
    nothing = h2twin(*_period(0, 3), "--json")
    assert (nothing.code, nothing.out) == (3, "")
    assert "--as-observed" in nothing.err
    outcome = h2twin.ok(*_period(0, 3), "--as-observed")
    assert (outcome["readings_known_before"], outcome["readings_published"]) == (1, 2)
