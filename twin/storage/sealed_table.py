"""What the readings' file knows of its sealed days: which file holds each, and which sensors are in it.

The hot table may still hold rows of a sealed day: readings that came after it was sealed, and readings that were judged
anew since. They stand over the sealed ones of the same key until the day is sealed again. `sealings` counts the changes
of this table, so that a decision made from sealed files is not used after they were replaced.

Everything here runs inside a transaction that the caller holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from twin.ports import SealedFile
from twin.storage.readings_file import Session
from twin.storage.readings_rows import FIRST_US
from twin.storage.rollup_sums import DAY_US
from twin.storage.rollup_table import day_of

LAYOUT = f"""
    ALTER TABLE tally ADD COLUMN sealings INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE tally ADD COLUMN sealed_until INTEGER NOT NULL DEFAULT {FIRST_US};
    ALTER TABLE tally ADD COLUMN floor INTEGER NOT NULL DEFAULT {FIRST_US};
    CREATE TABLE sealed (
        day INTEGER PRIMARY KEY, file TEXT NOT NULL, readings INTEGER NOT NULL, digest TEXT NOT NULL,
        size INTEGER NOT NULL, sealed_at INTEGER NOT NULL
    );
    CREATE TABLE sealed_series (
        series INTEGER NOT NULL, day INTEGER NOT NULL, readings INTEGER NOT NULL, trusted INTEGER NOT NULL,
        PRIMARY KEY (series, day)
    ) WITHOUT ROWID;
    CREATE INDEX sealed_on ON sealed_series (day)
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many changes there were, until when days are sealed, and from when on readings are kept at all."""

    sealings: int
    sealed_until: int
    floor: int


def bounds(session: Session) -> Bounds:
    """Return the bounds as they are now."""
    return Bounds(*session.connection.execute("SELECT sealings, sealed_until, floor FROM tally").fetchone())


def file_of(session: Session, day: int) -> SealedFile | None:
    """Return the file of a day, or None while it is not sealed."""
    row = session.connection.execute("SELECT file, readings, digest, size FROM sealed WHERE day = ?", (day,)).fetchone()
    return None if row is None else SealedFile(*row)


def files(session: Session) -> dict[int, SealedFile]:
    """Return the file of every sealed day, oldest first."""
    rows = session.connection.execute("SELECT day, file, readings, digest, size FROM sealed ORDER BY day")
    return {day: SealedFile(*row) for day, *row in rows}


def days_with(session: Session, series: int, start: int, end: int) -> list[tuple[int, str]]:
    """Return (day, file) of the sealed days that hold readings of a series with start <= observed_at < end."""
    question = """
        SELECT day, file FROM sealed_series JOIN sealed USING (day)
        WHERE series = ? AND day >= ? AND day < ? ORDER BY day
    """
    return session.connection.execute(question, (series, day_of(start), end)).fetchall()


def days_back(session: Session, series: int, until: int, *, trusted_only: bool) -> list[tuple[int, str]]:
    """Return (day, file) of sealed days of a series that began by `until`, the newest first."""
    trust = "AND trusted > 0" if trusted_only else ""
    question = f"""
        SELECT day, file FROM sealed_series JOIN sealed USING (day)
        WHERE series = ? AND day <= ? {trust} ORDER BY day DESC
    """
    return session.connection.execute(question, (series, until)).fetchall()


def record(
    session: Session, day: int, file: SealedFile, holds: Mapping[int, tuple[int, int]], *, sealed_at: int
) -> None:
    """Note that a file holds a day: (readings, trusted) of every series in it."""
    session.connection.execute(
        "INSERT OR REPLACE INTO sealed VALUES (?, ?, ?, ?, ?, ?)",
        (day, file.name, file.readings, file.digest, file.size, sealed_at),
    )
    session.connection.execute("DELETE FROM sealed_series WHERE day = ?", (day,))
    session.connection.executemany(
        "INSERT INTO sealed_series VALUES (?, ?, ?, ?)", ((series, day, *counts) for series, counts in holds.items())
    )
    session.connection.execute(
        "UPDATE tally SET sealings = sealings + 1, sealed_until = max(sealed_until, ?)", (day + DAY_US,)
    )


def drop(session: Session, days: Mapping[int, SealedFile]) -> int:
    """Forget sealed days; return how many readings they held."""
    dropped = sum(file.readings for file in days.values())
    for day in days:
        session.connection.execute("DELETE FROM sealed WHERE day = ?", (day,))
        session.connection.execute("DELETE FROM sealed_series WHERE day = ?", (day,))
    session.connection.execute("UPDATE tally SET sealings = sealings + 1, readings = readings - ?", (dropped,))
    return dropped


def raise_floor(session: Session, floor: int) -> None:
    """Keep readings from `floor` on only: older ones are refused from now on."""
    session.connection.execute("UPDATE tally SET floor = max(floor, ?)", (day_of(floor),))
