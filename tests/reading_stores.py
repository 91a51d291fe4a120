"""Ways to open reading stores, and questions that every test of them asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from reading_builders import NOON

from twin.ports import ReadingStore
from twin.readings import Reading
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings

Opener = Callable[[], ReadingStore]

END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)


class SealedReadings(SqliteReadings):
    """The embedded store, which seals all that it holds whenever it settles."""


def settle(store: ReadingStore) -> None:
    """Let everything arrive where it is kept."""
    if isinstance(store, InfluxReadings):
        store.flush(30)
    if isinstance(store, SealedReadings):
        store.seal(END_OF_TIME, now=NOON)


def everything(store: ReadingStore, sensor_id: str = "pressure-1") -> list[Reading]:
    """Return what is kept of a sensor within ten years of noon."""
    return store.between(sensor_id, NOON - timedelta(days=3650), NOON + timedelta(days=3650))
