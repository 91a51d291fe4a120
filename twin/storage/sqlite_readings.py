"""The embedded reading store: one SQLite file, shared by every process of the installation.

What `append` returned from is on the disk. Repeats and conflicts are decided in the same transaction that stores the
batch, so two processes that receive the same message cannot both store it. Old days may be sealed (see sealing.py):
every answer is across hot and sealed readings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path

from twin.errors import InputError
from twin.ports import AppendResult, Fullness, SealedFile, StoreStats
from twin.readings import Reading
from twin.rollups import Every, Rollup
from twin.storage import readings_table as table
from twin.storage import rollup_table, sealed_table
from twin.storage.hot_and_sealed import HotAndSealed, Key
from twin.storage.readings_file import ReadingsFile, Session
from twin.storage.readings_rows import FIRST_US, from_microseconds, raw, to_microseconds, verdict
from twin.storage.rollup_sums import DAY_US, LENGTHS_US, Sums, as_rollups, summed_up, windows_within
from twin.storage.sealed_files import SealedFiles, day_name
from twin.storage.sealing import Sealing, Told

APPLICATION_ID = 0x48325244  # "H2RD"
LAYOUT = (
    f"""
    {table.SERIES_LAYOUT};
    {table.WORDS_LAYOUT};
    CREATE TABLE reading ({table.READING_COLUMNS}, PRIMARY KEY (series, time)) WITHOUT ROWID;
    CREATE TABLE tally (readings INTEGER NOT NULL);
    INSERT INTO tally VALUES (0)
    """,
    f"{rollup_table.LAYOUT}; {sealed_table.LAYOUT}",
)
"""The script of each version of the file, oldest first: add to the end, never change what was released."""

_ROLLING_S = 0.1
_ROLLED_AT_ONCE = 1000
_MONTH_US = 31 * DAY_US


class SqliteReadings:
    """A `twin.ports.ReadingStore` in the file `path`; opened as `ReadingsFile` says, with the same errors.

    Sealed days are files in the folder `sealed_folder` (default: `sealed` beside the file).
    """

    def __init__(
        self,
        path: Path,
        *,
        sealed_folder: Path | None = None,
        busy_timeout_s: float = 10.0,
        max_bytes: int | None = None,
    ) -> None:
        self._file = ReadingsFile(
            path, application_id=APPLICATION_ID, layout=LAYOUT, busy_timeout_s=busy_timeout_s, max_bytes=max_bytes
        )
        self._files = SealedFiles(sealed_folder or path.with_name("sealed"))
        self._both = HotAndSealed(self._files)
        self._bounds = self._present_bounds()

    def append(self, readings: Sequence[Reading]) -> AppendResult:
        """Store a batch durably, all or nothing; see `ReadingStore.append`.

        Raises:
            InputError: If a reading could not come back exactly (not finite, no sensor id) or is older than what is
                kept at all.
            StorageFullError: If the disk or the file's limit is full.
            UnavailableError: If the file cannot be written.
        """
        table.prepared(readings)
        oldest = table.oldest(readings)
        while True:
            bounds, sealed = self._sealed(readings, oldest)
            with self._file.writing() as session:
                self._bounds = sealed_table.bounds(session)
                if self._bounds == bounds:
                    return self._append(session, readings, sealed)

    def repeats(self, readings: Sequence[Reading]) -> list[bool]:
        """Say of each reading whether it is stored already with the same raw value and unit."""
        with self._file.reading() as session:
            held = [table.is_repeat(session, reading) for reading in readings]
            if sealed_table.bounds(session).sealings:
                rest = {reading.key for reading, is_held in zip(readings, held, strict=True) if not is_held}
                sealed = self._both.sealed(session, rest)
                return [
                    is_held or ((old := sealed.get(reading.key)) is not None and raw(old) == raw(reading))
                    for reading, is_held in zip(readings, held, strict=True)
                ]
        return held

    def requalify(self, readings: Sequence[Reading]) -> int:
        """Give stored readings a new value, quality and reasons, all or nothing; see `ReadingStore.requalify`.

        Raises:
            InputError: If a value could not come back exactly.
            StorageFullError: If the disk or the file's limit is full.
            UnavailableError: If the file cannot be written.
        """
        table.prepared(readings)
        oldest = table.oldest(readings)
        while True:
            bounds, sealed = self._sealed(readings, oldest, refuse_older=False)
            with self._file.writing() as session:
                self._bounds = sealed_table.bounds(session)
                if self._bounds != bounds:
                    continue
                kept = [r for r in readings if to_microseconds(r.observed_at) >= bounds.floor]
                changed = self._lift(session, table.by_key(kept).values(), sealed)
                return changed + table.requalify(session, kept, touch=rollup_table.touch)

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
            return self._both.between(session, sensor_id, start, end, known_at=known_at, limit=limit)

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
            return self._both.latest(session, sensor_ids, at=at, known_at=known_at, trusted_only=trusted_only)

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

    def seal(self, before: datetime, *, now: datetime, told: Told | None = None) -> list[SealedFile]:
        """Seal every whole day before a moment into Parquet; see `Sealing.seal`."""
        return Sealing(self._file, self._files, self.roll_up).seal(before, now=now, told=told)

    def sealed_files(self) -> dict[datetime, SealedFile]:
        """Return the file of every sealed day by the beginning of the day, oldest first."""
        with self._file.reading() as session:
            return {from_microseconds(day): file for day, file in sealed_table.files(session).items()}

    def verify_sealed(self) -> int:
        """Read every sealed file and compare it with its digest; return how many there are.

        Raises:
            UnavailableError: If one is lacking or is not what was sealed.
        """
        files = self.sealed_files()
        for file in files.values():
            self._files.verify(file)
        return len(files)

    def drop_readings(self, before: datetime, *, now: datetime) -> int:
        """Delete readings of whole days before a moment, hot and sealed, after they were summed up; return how many.

        The rollups stay. Older readings are refused from now on: whether they are repeats cannot be known any more.
        """
        with self._file.writing() as session:
            sealed_table.raise_floor(session, to_microseconds(before))
            floor = sealed_table.bounds(session).floor
            is_sealed = any(day < floor for day in sealed_table.files(session))
        if is_sealed:
            self.seal(from_microseconds(floor), now=now)  # joins what stands over sealed rows, so each counts once
        self.roll_up(from_microseconds(floor))
        with self._file.writing() as session:
            gone = {day: file for day, file in sealed_table.files(session).items() if day < floor}
            dropped = sealed_table.drop(session, gone)
            series = table.all_series(session)
        for file in gone.values():
            self._files.retire(file.name)
        return dropped + sum(self._drop_hot(number, floor) for number in series)

    def drop_rollups(self, every: Every, before: datetime) -> int:
        """Delete the kept windows of one length that began before a moment; return how many.

        While the readings are there, such windows are computed from them when they are asked for.
        """
        with self._file.writing() as session:
            return rollup_table.forget(session, every, to_microseconds(before))

    def stats(self) -> StoreStats:
        """Return how many readings are kept."""
        with self._file.reading() as session:
            return StoreStats(*session.connection.execute("SELECT readings FROM tally").fetchone())

    def check(self) -> None:
        """Write and commit a row that changes nothing: raises StorageFullError or UnavailableError if that fails."""
        self._file.require_room()
        with self._file.writing() as session:
            session.connection.execute("UPDATE tally SET readings = readings")

    def fullness(self) -> list[Fullness]:
        """Return how full the disk is, and the file where it has a limit; see `twin.ports.Limited`."""
        return self._file.fullness()

    def close(self) -> None:
        """Close the file; what was appended stays durable."""
        self._file.close()

    def _drop_hot(self, series: int, floor: int) -> int:
        with self._file.writing() as session:
            gone = table.delete(session, series, FIRST_US, floor)
            session.connection.execute("UPDATE tally SET readings = readings - ?", (gone,))
            return gone

    def _present_bounds(self) -> sealed_table.Bounds:
        with self._file.reading() as session:
            return sealed_table.bounds(session)

    def _sealed(
        self, readings: Sequence[Reading], oldest: datetime | None, *, refuse_older: bool = True
    ) -> tuple[sealed_table.Bounds, dict[Key, Reading]]:
        """Return the sealed readings with the same keys, and the bounds of which that is true.

        Raises:
            InputError: If a reading is older than what is kept.
        """
        bounds = self._bounds
        if oldest is None or to_microseconds(oldest) >= max(bounds.sealed_until, bounds.floor):
            return bounds, {}
        if refuse_older and to_microseconds(oldest) < bounds.floor:
            raise InputError(
                f"a reading at {oldest} is older than what is kept, which begins on {day_name(bounds.floor)} "
                "(TWIN_KEEP_READINGS_DAYS): nobody can tell any more whether it is a repeat"
            )
        with self._file.reading() as session:
            until = from_microseconds(sealed_table.bounds(session).sealed_until)
            keys = {reading.key for reading in readings if reading.observed_at < until}
            return sealed_table.bounds(session), self._both.sealed(session, keys)

    def _append(self, session: Session, readings: Sequence[Reading], sealed: Mapping[Key, Reading]) -> AppendResult:
        fresh = [reading for reading in readings if reading.key not in sealed] if sealed else readings
        result = table.insert(session, fresh, touch=rollup_table.touch)
        session.connection.execute("UPDATE tally SET readings = readings + ?", (result.stored,))
        return table.with_known(result, readings, sealed) if sealed else result

    def _lift(self, session: Session, judged: Iterable[Reading], sealed: Mapping[Key, Reading]) -> int:
        """Put a hot row over every sealed one that is judged otherwise now; return how many."""
        lifted = []
        for reading in judged:
            old = sealed.get(reading.key)
            if old is not None and not table.holds(session, reading) and verdict(old) != verdict(reading):
                lifted.append(replace(old, value=reading.value, quality=reading.quality, reasons=reading.reasons))
        return table.insert(session, lifted, touch=rollup_table.touch).stored

    def _sums(self, session: Session, series: int, of: rollup_table.Range, every: Every) -> list[Sums]:
        computed = [
            (part, list(summed_up(self._both.figures(session, series, *part), LENGTHS_US[every])))
            for part in rollup_table.to_compute(session, series, of, every)
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
        rollup_table.keep(session, series, of, self._both.figures(session, series, *of))
