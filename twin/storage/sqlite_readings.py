"""The embedded reading store: one SQLite file, shared by every process of the installation.

What `append` returned from is on the disk. Repeats and conflicts are decided in the same transaction that stores the
batch, so two processes that receive the same message cannot both store it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

from twin.ports import AppendResult, StoreStats
from twin.readings import Reading
from twin.rollups import Every, Rollup
from twin.storage import readings_table as table
from twin.storage import rollup_table
from twin.storage.readings_file import ReadingsFile, Session
from twin.storage.readings_rows import from_microseconds, to_microseconds
from twin.storage.rollup_sums import DAY_US, LENGTHS_US, Sums, as_rollups, summed_up, windows_within

APPLICATION_ID = 0x48325244  # "H2RD"
LAYOUT = (
    f"""
    {table.SERIES_LAYOUT};
    {table.WORDS_LAYOUT};
    CREATE TABLE reading ({table.READING_COLUMNS}, PRIMARY KEY (series, time)) WITHOUT ROWID;
    CREATE TABLE tally (readings INTEGER NOT NULL);
    INSERT INTO tally VALUES (0)
    """,
    rollup_table.LAYOUT,
)
"""The script of each version of the file, oldest first: add to the end, never change what was released."""

_ROLLING_S = 0.1
_ROLLED_AT_ONCE = 1000
_MONTH_US = 31 * DAY_US


class SqliteReadings:
    """A `twin.ports.ReadingStore` in the file `path`; opened as `ReadingsFile` says, with the same errors."""

    def __init__(self, path: Path, *, busy_timeout_s: float = 10.0, max_bytes: int | None = None) -> None:
        self._file = ReadingsFile(
            path, application_id=APPLICATION_ID, layout=LAYOUT, busy_timeout_s=busy_timeout_s, max_bytes=max_bytes
        )

    def append(self, readings: Sequence[Reading]) -> AppendResult:
        """Store a batch durably, all or nothing; see `ReadingStore.append`.

        Raises:
            InputError: If a reading could not come back exactly (not finite, no sensor id).
            StorageFullError: If the disk or the file's limit is full.
            UnavailableError: If the file cannot be written.
        """
        table.prepared(readings)
        with self._file.writing() as session:
            result = table.insert(session, readings, touch=rollup_table.touch)
            session.connection.execute("UPDATE tally SET readings = readings + ?", (result.stored,))
        return result

    def requalify(self, readings: Sequence[Reading]) -> int:
        """Give stored readings a new value, quality and reasons, all or nothing; see `ReadingStore.requalify`.

        Raises:
            InputError: If a value could not come back exactly.
            StorageFullError: If the disk or the file's limit is full.
            UnavailableError: If the file cannot be written.
        """
        table.prepared(readings)
        with self._file.writing() as session:
            return table.requalify(session, readings, touch=rollup_table.touch)

    def between(
        self,
        sensor_id: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        limit: int | None = None,
    ) -> list[Reading]:
        """Return readings with start <= observed_at < end in order of time; see `ReadingStore.between`."""
        with self._file.reading() as session:
            return table.between(session, sensor_id, start, end, known_at=known_at, limit=limit)

    def latest(
        self,
        sensor_ids: Sequence[str],
        *,
        at: datetime,
        known_at: datetime | None = None,
        trusted_only: bool = True,
    ) -> dict[str, Reading]:
        """Return each sensor's newest reading with observed_at <= at; see `ReadingStore.latest`."""
        with self._file.reading() as session:
            return table.latest(session, sensor_ids, at=at, known_at=known_at, trusted_only=trusted_only)

    def rollups(
        self, sensor_ids: Sequence[str], start: datetime, end: datetime, every: Every
    ) -> dict[str, list[Rollup]]:
        """Return the windows with start <= beginning < end; see `ReadingStore.rollups`."""
        of = windows_within(start, end, every)
        moment = cache(from_microseconds)
        found: dict[str, list[Rollup]] = {}
        with self._file.reading() as session:
            for sensor_id in sensor_ids:
                series = table.series_of(session, sensor_id)
                sums = [] if series is None else self._sums(session, series, of, every)
                found[sensor_id] = as_rollups(sums, moment)
        return found

    def roll_up(self, until: datetime, *, stop: Callable[[], bool] = lambda: False) -> int:
        """Sum up every whole day before `until`, and again every day that changed; return how many series-ranges.

        In short transactions, so that nobody waits long; ended early (by `stop` or a crash) it is gone on with later.
        """
        with self._file.writing() as session:
            rollup_table.claim(session, to_microseconds(until))
        done = 0
        while not stop():
            with self._file.writing() as session:
                steps = self._roll_for_a_while(session)
            if not steps:
                break
            done += steps
        return done

    def stats(self) -> StoreStats:
        """Return how many readings are kept."""
        with self._file.reading() as session:
            return StoreStats(*session.connection.execute("SELECT readings FROM tally").fetchone())

    def check(self) -> None:
        """Write and commit a row that changes nothing: raises StorageFullError or UnavailableError if that fails."""
        self._file.require_room()
        with self._file.writing() as session:
            session.connection.execute("UPDATE tally SET readings = readings")

    def close(self) -> None:
        """Close the file; what was appended stays durable."""
        self._file.close()

    def _sums(self, session: Session, series: int, of: rollup_table.Range, every: Every) -> list[Sums]:
        computed = [
            (part, list(summed_up(table.figures(session, series, *part), LENGTHS_US[every])))
            for part in rollup_table.to_compute(session, series, of)
        ]
        return rollup_table.merged(rollup_table.stored(session, series, of, every), computed)

    def _roll_for_a_while(self, session: Session) -> int:
        """Sum up some of what waits for it; return how many steps were taken (0: nothing waits)."""
        end = time.monotonic() + _ROLLING_S
        steps = 0
        for series, rolled, until in rollup_table.unrolled(session, _ROLLED_AT_ONCE):
            self._roll_on(session, series, rolled, until)
            steps += 1
            if time.monotonic() > end:
                return steps
        for series, day in rollup_table.touched(session, _ROLLED_AT_ONCE):
            self._roll(session, series, (day, day + DAY_US))
            steps += 1
            if time.monotonic() > end:
                break
        return steps

    def _roll_on(self, session: Session, series: int, rolled: int, until: int) -> None:
        """Sum up the next month of a series that holds readings, if any is left before `until`."""
        first = table.first_time(session, series, rolled)
        if first is None or first >= until:
            rollup_table.advance(session, series, until)
            return
        begin = rollup_table.day_of(first)
        self._roll(session, series, (begin, min(until, begin + _MONTH_US)))
        rollup_table.advance(session, series, min(until, begin + _MONTH_US))

    def _roll(self, session: Session, series: int, of: rollup_table.Range) -> None:
        rollup_table.keep(session, series, of, table.figures(session, series, *of))
