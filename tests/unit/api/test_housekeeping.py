"""What the housekeeping does in a turn, and that only one process does it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from reading_builders import NOON, a_reading

from api.housekeeping import LEASE, Housekeeping
from api.settings import Settings
from twin.clock import ReplayClock
from twin.ports import Registry
from twin.rollups import Every
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings

DAY = timedelta(days=1)
SPAN = (NOON - 99 * DAY, NOON + 99 * DAY)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = open_registry(f"sqlite:///{tmp_path / 'registry.db'}")
    yield registry
    registry.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteReadings]:
    store = SqliteReadings(tmp_path / "readings.db")
    store.append([a_reading(at_s=-86_400 * day) for day in range(60)])
    yield store
    store.close()


def turn(store: SqliteReadings, registry: Registry, **given: int) -> None:
    Housekeeping(store, registry, Settings(**given), ReplayClock(NOON)).turn()


def test_by_itself_it_sums_up_and_lets_nothing_go(store: SqliteReadings, registry: Registry) -> None:
    turn(store, registry)
    assert len(store.between("pressure-1", *SPAN)) == 60
    assert store.sealed_files() == {}
    assert store.roll_up(NOON) == 0


def test_each_age_is_its_own(store: SqliteReadings, registry: Registry) -> None:
    pytest.importorskip("pyarrow")
    turn(store, registry, seal_after_days=10, keep_readings_days=40, keep_rollups_1h_days=50)
    assert len(store.between("pressure-1", *SPAN)) == 41
    assert len(store.sealed_files()) == 41 - 11
    assert len(store.rollups(["pressure-1"], *SPAN, Every.HOUR)["pressure-1"]) == 51
    assert len(store.rollups(["pressure-1"], *SPAN, Every.DAY)["pressure-1"]) == 60


def test_while_another_process_has_the_lease_nothing_is_done(store: SqliteReadings, registry: Registry) -> None:
    registry.acquire_lease(LEASE, "another", ttl_s=60, now=NOON)
    turn(store, registry, keep_readings_days=40)
    assert len(store.between("pressure-1", *SPAN)) == 60
