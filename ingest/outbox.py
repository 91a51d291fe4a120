"""A gateway's outbox: readings on the disk until the broker has them, and for a while after.

Rules that hold here:

- What `put` has taken survives a crash and a power cut (SQLite, WAL, synchronous FULL), with its number.
- A number (`seq`) belongs to one reading for ever. Numbers rise with `observed_at`, one by one, so that whoever gets
  them can tell what is missing. A reading that is not newer than its sensor's newest gets none: it is history. Nor does
  one from the future: after it, everything true would be history.
- An exact repeat is absorbed while the first one is still here.
- Room is made by dropping what was acknowledged, the oldest first. What was not acknowledged is never dropped: a full
  outbox refuses new readings with `OutboxFullError`.
"""

from __future__ import annotations

import fcntl
import math
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, TextIO

from ingest.decoders.base import LONGEST_NAME
from twin.clock import Clock, as_utc
from twin.errors import ConfigError, InputError, StorageFullError, UnavailableError

MOST_BYTES = 256_000_000
KEEP = timedelta(days=7)
AHEAD = timedelta(hours=1)
"""Readings that are further ahead of the gateway's clock than this are from the future."""
_DROPPED_AT_ONCE = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sensor (sensor_id TEXT PRIMARY KEY, next_seq INTEGER NOT NULL, newest_us INTEGER NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reading (  -- state 0: waiting for the broker, 1: acknowledged, 2: asked for again
    position INTEGER PRIMARY KEY AUTOINCREMENT, sensor_id TEXT NOT NULL, observed_us INTEGER NOT NULL,
    value REAL NOT NULL, unit TEXT NOT NULL, seq INTEGER, state INTEGER NOT NULL, put_us INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS reading_key ON reading (sensor_id, observed_us);
CREATE INDEX IF NOT EXISTS reading_state ON reading (state, position);
"""


class OutboxFullError(StorageFullError):
    """The outbox holds as much unacknowledged as it may: nothing was taken; try again when the broker is back."""


class Row(Protocol):
    """One reading as a gateway is given it."""

    @property
    def sensor_id(self) -> str:
        """Which sensor."""
        ...

    @property
    def observed_at(self) -> datetime:
        """When it was true (aware)."""
        ...

    @property
    def value(self) -> float:
        """The value in `unit`."""
        ...

    @property
    def unit(self) -> str:
        """The unit, or "" for the sensor's own."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A reading in the outbox; `seq` is None for history."""

    position: int
    sensor_id: str
    observed_at: datetime
    value: float
    unit: str
    seq: int | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of readings that were put: taken, or absorbed as exact repeats."""

    taken: int
    repeats: int


class Outbox:
    """One file, used by one process at a time, from any of its threads."""

    def __init__(self, path: Path, clock: Clock, *, most_bytes: int = MOST_BYTES, keep: timedelta = KEEP) -> None:
        self._path = path
        self._clock = clock
        self._most_bytes = most_bytes
        self._keep = keep
        self._guard = threading.RLock()
        self._sensors: dict[str, tuple[int, int]] = {}
        self._lock_file = _locked(path)
        try:
            with self._named():
                self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
                self._db.executescript(_SCHEMA)
                self._sensors = {row[0]: (row[1], row[2]) for row in self._db.execute("SELECT * FROM sensor")}
                self._waiting = self._count("state = 0")
        except BaseException:
            self._lock_file.close()
            raise

    def __enter__(self) -> Outbox:
        """Return the outbox."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def put(self, rows: Sequence[Row]) -> Taken:
        """Take readings, all or none; when this returns they are on the disk.

        Raises:
            OutboxFullError: If there is no room for them, on the disk or within the limit.
            InputError: If one has no name, no time with a zone or no finite value.
        """
        checked = [_checked(row) for row in rows]
        now = self._clock.now()
        now_us, future_us = _microseconds(now), _microseconds(now + AHEAD)
        with self._guard:
            self._make_room()
            sensors: dict[str, tuple[int, int]] = {}
            taken = []
            fresh: set[tuple[str, int, float, str]] = set()
            for key in checked:
                sensor_id, at_us, value, unit = key
                seq, newest_us = sensors.get(sensor_id) or self._sensors.get(sensor_id, (0, -(2**63)))
                number = seq if newest_us < at_us <= future_us else None
                if number is None and (key in fresh or self._holds(key)):
                    continue
                if number is not None:
                    sensors[sensor_id] = (seq + 1, at_us)
                fresh.add(key)
                taken.append((sensor_id, at_us, value, unit, number, now_us))
            with self._transaction() as db:
                db.executemany("INSERT INTO reading VALUES (NULL, ?, ?, ?, ?, ?, 0, ?)", taken)
                db.executemany(
                    "INSERT OR REPLACE INTO sensor VALUES (?, ?, ?)",
                    [(sensor_id, *numbers) for sensor_id, numbers in sensors.items()],
                )
            self._sensors.update(sensors)
            self._waiting += len(taken)
        return Taken(len(taken), len(rows) - len(taken))

    def waiting(self, after: int = 0, limit: int = 1000) -> list[Kept]:
        """Return up to `limit` readings that the broker does not have, in order of their putting, after a position."""
        return self._select("state = 0 AND position > ? ORDER BY position LIMIT ?", (after, limit))

    def asked_again(self, limit: int = 1000) -> list[Kept]:
        """Return up to `limit` readings that were asked for again, in order of their putting."""
        return self._select("state = 2 ORDER BY position LIMIT ?", (limit,))

    def acknowledge(self, positions: Sequence[int]) -> None:
        """Note that the broker has these readings."""
        with self._guard:
            each = [(position,) for position in positions]
            with self._transaction() as db:
                done = db.executemany("UPDATE reading SET state = 1 WHERE position = ? AND state = 0", each).rowcount
                db.executemany("UPDATE reading SET state = 1 WHERE position = ? AND state = 2", each)
            self._waiting -= max(0, done)

    def ask_again(self, sensor_id: str, after: datetime, before: datetime) -> int:
        """Mark the acknowledged readings of a sensor between two times to be sent again; return how many there are."""
        between = (sensor_id, _microseconds(after), _microseconds(before))
        with self._guard, self._transaction() as db:
            which = "sensor_id = ? AND observed_us > ? AND observed_us < ? AND state = 1"
            return db.execute(f"UPDATE reading SET state = 2 WHERE {which}", between).rowcount

    @property
    def unsent(self) -> int:
        """How many readings the broker never had."""
        return self._waiting

    def kept(self) -> int:
        """Return how many readings are here, sent or not."""
        with self._guard, self._named():
            return self._count("1")

    def bytes_used(self) -> int:
        """Return the size that counts against the limit."""
        with self._guard, self._named():
            pages, free, size = (
                self._db.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)

    def close(self) -> None:
        """Close the file; everything is kept."""
        with self._guard:
            self._db.close()
            self._lock_file.close()

    def _make_room(self) -> None:
        """Drop what was acknowledged and is too old, or stands in the way, the oldest first.

        Raises:
            OutboxFullError: If the limit is reached with what was not acknowledged.
        """
        self._drop(_microseconds(self._clock.now() - self._keep))
        while self.bytes_used() >= self._most_bytes:
            if not self._drop(_microseconds(self._clock.now()) + 1):
                raise OutboxFullError(
                    f"the outbox {self._path} is full: {self._waiting} readings wait for the broker; nothing was taken"
                )

    def _drop(self, put_before_us: int) -> int:
        """Drop some of the oldest acknowledged readings, if they were put before; return how many."""
        with self._named():
            oldest = self._db.execute(
                "SELECT position, put_us FROM reading WHERE state = 1 ORDER BY position LIMIT 1"
            ).fetchone()
        if oldest is None or oldest[1] >= put_before_us:
            return 0
        with self._transaction() as db:
            return db.execute(
                "DELETE FROM reading WHERE state = 1 AND position < ? AND put_us < ?",
                (oldest[0] + _DROPPED_AT_ONCE, put_before_us),
            ).rowcount

    def _holds(self, key: tuple[str, int, float, str]) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM reading WHERE sensor_id = ? AND observed_us = ? AND value = ? AND unit = ?", key
        )
        return found.fetchone() is not None

    def _count(self, which: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM reading WHERE {which}").fetchone()[0])

    def _select(self, which: str, parameters: tuple[int, ...]) -> list[Kept]:
        columns = "position, sensor_id, observed_us, value, unit, seq"
        with self._guard, self._named():
            rows = self._db.execute(f"SELECT {columns} FROM reading WHERE {which}", parameters).fetchall()
        return [Kept(row[0], row[1], _EPOCH + timedelta(microseconds=row[2]), *row[3:]) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Turn SQLite's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            if "full" in str(error):
                raise OutboxFullError(f"the disk of the outbox {self._path} is full; nothing was taken") from error
            raise UnavailableError(f"the outbox {self._path} cannot be used: {error}") from error


def _checked(row: Row) -> tuple[str, int, float, str]:
    name, value, unit = row.sensor_id, row.value, row.unit
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise InputError(f"a sensor's name must be printable text of 1 to {LONGEST_NAME} characters, not {name!r:.80}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name}: the value must be a finite number, not {value!r:.80}")
    if not isinstance(unit, str) or len(unit) > LONGEST_NAME:
        raise InputError(f"{name}: the unit must be text of at most {LONGEST_NAME} characters")
    return name, _microseconds(row.observed_at), float(value), unit


def _microseconds(moment: datetime) -> int:
    return (as_utc(moment) - _EPOCH) // _MICROSECOND


def _locked(path: Path) -> TextIO:
    """Take the outbox for this process.

    Raises:
        ConfigError: If another process has it, or its folder cannot be written.
    """
    try:
        file = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise ConfigError(f"the outbox {path} cannot be made: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(f"another gateway uses the outbox {path}; give each its own") from error
    return file
