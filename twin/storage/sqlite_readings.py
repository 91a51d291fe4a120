"""The embedded reading store: one SQLite file, shared by every process of the installation.

What `append` returned from is on the disk. Repeats and conflicts are decided in the same transaction that stores the
batch, so two processes that receive the same message cannot both store it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from twin.ports import AppendResult, StoreStats
from twin.readings import Reading
from twin.storage import readings_table as table
from twin.storage.readings_file import ReadingsFile

APPLICATION_ID = 0x48325244  # "H2RD"
LAYOUT = (
    f"""
    {table.SERIES_LAYOUT};
    {table.WORDS_LAYOUT};
    CREATE TABLE reading ({table.READING_COLUMNS}, PRIMARY KEY (series, time)) WITHOUT ROWID;
    CREATE TABLE tally (readings INTEGER NOT NULL);
    INSERT INTO tally VALUES (0)
    """,
)
"""The script of each version of the file, oldest first: add to the end, never change what was released."""


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
            result = table.insert(session, readings)
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
            return table.requalify(session, readings)

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
