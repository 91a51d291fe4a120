"""Seals old days: hot rows become a file, and only when the file was read back and found right do they go.

One day at a time: sum it up; write it to a file that nobody knows yet; read that back; then, in one transaction, note
the file and delete the hot rows, unless one of them changed meanwhile (it would have touched its day). A crash at any
moment leaves either the hot rows, and perhaps a file that nobody refers to, or the noted file. A day with rows that
came or were judged anew after it was sealed is sealed again, both joined, in a new file.

Only one process seals at a time (a lock on a file in the folder).
"""

from __future__ import annotations

import fcntl
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from twin.errors import ConflictError
from twin.ports import SealedFile
from twin.readings import TRUSTED
from twin.storage import readings_table as table
from twin.storage import rollup_table, sealed_table
from twin.storage.readings_file import ReadingsFile, Session
from twin.storage.readings_rows import FIRST_US, to_microseconds
from twin.storage.rollup_sums import DAY_US
from twin.storage.sealed_files import SealedFiles, SealedRow

_RETIRED_FOR_S = 86_400.0
_TRIES = 5

Told = Callable[[int, int], None]
"""Is told how many days are done, and of how many."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Draft:
    """What was written of one day, and what must still be true when it is noted."""

    day: int
    file: SealedFile
    replaced: SealedFile | None
    hot: dict[int, table.Fingerprint]
    holds: dict[int, tuple[int, int]]


class Sealing:
    """Seals days of one readings file into one folder. `roll_up` sums up all that waits before a moment."""

    def __init__(self, file: ReadingsFile, files: SealedFiles, roll_up: Callable[[datetime], object]) -> None:
        self._file = file
        self._files = files
        self._roll_up = roll_up

    def seal(self, before: datetime, *, now: datetime, told: Told | None = None) -> list[SealedFile]:
        """Seal every day that ended by `before`; return the new files. `told` hears (days done, days in all).

        Raises:
            ConflictError: If another process is sealing.
            ConfigError: If pyarrow is not installed.
            UnavailableError: If disk or store do not answer as they must; days sealed so far stay sealed.
        """
        with self._alone():
            self._sweep(now)
            self._roll_up(before)
            days = self._days(to_microseconds(before))
            sealed = []
            for number, day in enumerate(days, start=1):
                sealed.append(self._seal_day(day, before, now))
                if told is not None:
                    told(number, len(days))
            return sealed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._files.folder.mkdir(mode=0o700, exist_ok=True)
        with (self._files.folder / "sealing.lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(f"another process seals in {self._files.folder}: wait for it to end") from error
            yield

    def _days(self, before: int) -> list[int]:
        """Return the days that hold hot rows and ended by `before`, oldest first."""
        days: set[int] = set()
        with self._file.reading() as session:
            for series in table.all_series(session):
                time = table.first_time(session, series, FIRST_US)
                while time is not None and rollup_table.day_of(time) + DAY_US <= before:
                    days.add(rollup_table.day_of(time))
                    time = table.first_time(session, series, rollup_table.day_of(time) + DAY_US)
        return sorted(days)

    def _seal_day(self, day: int, before: datetime, now: datetime) -> SealedFile:
        for _ in range(_TRIES):
            draft = self._draft(day)
            if draft is not None and self._note(draft, now):
                if draft.replaced is not None and draft.replaced.name != draft.file.name:
                    self._files.retire(draft.replaced.name)
                return draft.file
            self._roll_up(before)  # something came in between: it counts too
        raise ConflictError(f"readings of a day to be sealed keep changing ({_TRIES} times): try again later")

    def _draft(self, day: int) -> _Draft | None:
        """Write the file of a day as it is now; None if something of it is not summed up yet."""
        with self._file.reading() as session:
            if not rollup_table.is_settled(session, day):
                return None
            replaced = sealed_table.file_of(session, day)
            hot: dict[int, table.Fingerprint] = {}
            holds: dict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
            file = self._files.write(day, self._rows(session, day, replaced, hot, holds))
            return _Draft(day, file, replaced, hot, dict(holds))

    def _rows(
        self,
        session: Session,
        day: int,
        replaced: SealedFile | None,
        hot: dict[int, table.Fingerprint],
        holds: dict[int, tuple[int, int]],
    ) -> Iterator[SealedRow]:
        """Yield the rows of a day, hot ones over those sealed before, by sensor and time; count them on the way."""
        for sensor_id, series in table.series_by_sensor(session):
            fresh = table.sealable(session, sensor_id, series, day, day + DAY_US)
            if fresh:
                hot[series] = table.fingerprint(session, series, day, day + DAY_US)
            rows = {row.observed_at: row for row in fresh}
            if replaced is not None and sealed_table.days_with(session, series, day, day + 1):
                for row in self._files.read(replaced.name, [sensor_id], day, day + DAY_US):
                    rows.setdefault(row.observed_at, row)
            for time in sorted(rows):
                readings, trusted = holds[series]
                holds[series] = (readings + 1, trusted + (rows[time].quality in TRUSTED))
                yield rows[time]

    def _note(self, draft: _Draft, now: datetime) -> bool:
        """Note the file and delete the rows in it; False (and nothing done) if one of them changed since."""
        with self._file.writing() as session:
            if not rollup_table.is_settled(session, draft.day):
                return False
            if sealed_table.file_of(session, draft.day) != draft.replaced:
                return False
            end = draft.day + DAY_US
            if any(table.fingerprint(session, series, draft.day, end) != was for series, was in draft.hot.items()):
                return False  # changed and summed up again meanwhile, by another process
            for series in draft.hot:
                table.delete(session, series, draft.day, end)
            sealed_table.record(session, draft.day, draft.file, draft.holds, sealed_at=to_microseconds(now))
            return True

    def _sweep(self, now: datetime) -> None:
        """Remove files that nobody refers to: left by a crash, or replaced long ago."""
        with self._file.reading() as session:
            known = {file.name for file in sealed_table.files(session).values()}
        for path in self._files.unknown(known, older_than_s=_RETIRED_FOR_S, now_s=now.timestamp()):
            _log.info("removing %s: no sealed day refers to it", path.name)
            path.unlink(missing_ok=True)
