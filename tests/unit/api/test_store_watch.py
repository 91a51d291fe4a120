"""A store that fills up is said in time: once at 70 %, once at 95 %, again as long as it lasts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from reading_builders import a_reading
from spooled import send_everything

from api.store_watch import FULLNESS_FIGURE, StoreWatch, filling
from twin.clock import ReplayClock
from twin.errors import StorageFullError, UnavailableError
from twin.events import Event, EventKind
from twin.ports import Fullness, Registry
from twin.storage.registry import open_registry
from twin.storage.spool import Spool
from twin.storage.sqlite_readings import SqliteReadings

START = datetime(2026, 3, 1, tzinfo=UTC)


class Store(SqliteReadings):
    """A store whose fullness is set by the test."""

    shares: tuple[tuple[str, float], ...] = ()
    is_full = False

    def fullness(self) -> list[Fullness]:
        return [Fullness(of, share * 1000, 1000) for of, share in self.shares]

    def check(self) -> None:
        if self.is_full:
            raise StorageFullError("no room")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = open_registry(f"sqlite:///{tmp_path / 'registry.db'}")
    yield registry
    registry.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "readings.db")
    yield store
    store.close()


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(START)


@pytest.fixture
def watch(store: Store, registry: Registry, clock: ReplayClock) -> StoreWatch:
    return StoreWatch(store, registry, clock, every_s=0.0)


def events(registry: Registry) -> list[Event]:
    return sorted(registry.events().items, key=lambda event: event.event_id)


@pytest.mark.parametrize(
    ("shares", "subjects"),
    [
        pytest.param((("waiting", 0.699), ("disk", 0.1)), [], id="room enough"),
        pytest.param((("waiting", 0.70), ("disk", 0.1)), ["readings: waiting from 70%"], id="seventy"),
        pytest.param((("waiting", 0.949),), ["readings: waiting from 70%"], id="almost ninety-five"),
        pytest.param((("waiting", 0.95),), ["readings: waiting from 95%"], id="ninety-five"),
        pytest.param((("file", 1.0),), ["readings: file from 95%"], id="full"),
        pytest.param(
            (("waiting", 0.8), ("disk", 0.96)), ["readings: waiting from 70%", "readings: disk from 95%"], id="both"
        ),
    ],
)
def test_each_limit_has_its_levels(
    watch: StoreWatch, store: Store, registry: Registry, shares: tuple[tuple[str, float], ...], subjects: list[str]
) -> None:
    store.shares = shares
    assert watch.trouble() == ""
    assert [event.subject for event in events(registry)] == subjects
    assert {event.kind for event in events(registry)} <= {EventKind.STORE_FILLING}
    assert {n: v for n, v in watch.figures.items() if n.startswith(FULLNESS_FIGURE)} == pytest.approx(
        {FULLNESS_FIGURE + of: share for of, share in shares}
    )


def test_an_episode_is_one_event_however_long_it_lasts(
    watch: StoreWatch, store: Store, registry: Registry, clock: ReplayClock
) -> None:
    store.shares = (("disk", 0.8),)
    for minutes in range(0, 180, 5):
        clock.advance_to(START + timedelta(minutes=minutes))
        watch.trouble()
    (event,) = events(registry)
    assert (event.times_seen, event.last_at) == (6, START + timedelta(minutes=150))
    store.shares = (("disk", 0.5),)
    clock.advance_to(START + timedelta(hours=6))
    watch.trouble()
    store.shares = (("disk", 0.8),)
    watch.trouble()
    assert len(events(registry)) == 2


def test_a_store_that_is_full_is_named_and_still_measured(watch: StoreWatch, store: Store) -> None:
    store.shares, store.is_full = (("disk", 1.0),), True
    assert watch.trouble() == "readings: no room"
    assert watch.figures[FULLNESS_FIGURE + "disk"] == 1.0
    store.is_full = False
    assert watch.trouble() == ""


def test_an_event_that_cannot_be_kept_is_told_later_and_the_store_is_looked_at_all_the_same(
    watch: StoreWatch, store: Store, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_events: object) -> int:
        raise UnavailableError("the registry is away")

    store.shares, store.is_full = (("disk", 0.99),), True
    with monkeypatch.context() as patched:
        patched.setattr(registry, "log_events", refuse)
        assert watch.trouble() == "readings: no room"
    assert events(registry) == []
    watch.trouble()
    assert len(events(registry)) == 1


def test_the_sentence_says_how_much_and_what_to_do() -> None:
    assert filling(Fullness("waiting", 3_500_000, 5_000_000)) == (
        "3500000 of 5000000 readings wait (70%); at 100 % ingest pauses: bring InfluxDB back, or raise "
        "TWIN_SPOOL_READINGS"
    )
    assert filling(Fullness("file", 95e6, 100e6)).startswith("95 of 100 MB in the file (95%)")


# ----------------------------------------------------------------------------------- what the real stores measure


def test_the_spool_measures_what_waits_its_file_and_its_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", max_waiting=1000, max_bytes=2_000_000)
    spool.append([a_reading(at_s=second) for second in range(250)])
    waiting, file, disk = spool.fullness()
    assert (waiting.of, waiting.used, waiting.most) == ("waiting", 250, 1000)
    assert (file.of, file.most) == ("file", 2_000_000)
    spool.append([a_reading(at_s=second) for second in range(250, 950)])
    assert spool.fullness()[1].used > file.used > 0
    assert disk.of == "disk"
    assert 0 < disk.share < 1
    send_everything(spool)
    assert spool.fullness()[0].used == 0
    spool.close()


def test_the_embedded_store_measures_its_disk_and_its_limit(tmp_path: Path) -> None:
    unlimited = SqliteReadings(tmp_path / "a.db")
    assert [limit.of for limit in unlimited.fullness()] == ["disk"]
    unlimited.close()
    limited = SqliteReadings(tmp_path / "b.db", max_bytes=400_000)
    before = limited.fullness()[0].share
    limited.append([a_reading(at_s=second) for second in range(1000)])
    assert before < limited.fullness()[0].share <= 1
    limited.close()
