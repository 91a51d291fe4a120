"""The quarantine of a spool: readings whose line the server refuses, with its reason, until somebody mends the cause.

The reading itself stays in the ledger of keys, is read like any other, and may be judged anew; its line is sent again
only when it is released. Everything here runs inside a transaction that the caller holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twin.ports import RefusedReading
from twin.storage import readings_table as table
from twin.storage.influx_lines import key_of
from twin.storage.readings_file import Session


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that the server does not take even alone, and why."""

    line: str
    reason: str


def key_in(session: Session, refused: RefusedLine) -> tuple[int, int]:
    """Return the series and the time of a refused line."""
    sensor_id, time = key_of(refused.line)
    return table.make_series(session, sensor_id), time


def hold(session: Session, refused: RefusedLine) -> None:
    """Keep a refused line, in place of an earlier one of the same reading."""
    session.connection.execute(
        "INSERT OR REPLACE INTO quarantine (series, time, line, reason) VALUES (?, ?, ?, ?)",
        (*key_in(session, refused), refused.line, refused.reason),
    )


def holds(session: Session, series: int, time: int) -> bool:
    """Whether a reading is held."""
    found = session.connection.execute("SELECT 1 FROM quarantine WHERE series = ? AND time = ?", (series, time))
    return found.fetchone() is not None


def held(session: Session, limit: int) -> list[RefusedReading]:
    """Return up to `limit` readings that are held, as they are judged now, with the line that was refused."""
    notes = session.connection.execute(
        "SELECT series, time, line, reason FROM quarantine ORDER BY series, time LIMIT ?", (limit,)
    ).fetchall()
    return [
        RefusedReading(reading, line, reason)
        for series, time, line, reason in notes
        for _, reading in table.rows_where(session, "WHERE series = ? AND time = ?", (series, time))
    ]


def release(session: Session) -> Sequence[table.Row]:
    """Hold nothing any more; return the rows of what was held."""
    rows = table.raw_rows(session, "WHERE (series, time) IN (SELECT series, time FROM quarantine)")
    session.connection.execute("DELETE FROM quarantine")
    return rows


def count(session: Session) -> int:
    """Return how many readings are held."""
    return int(session.connection.execute("SELECT count(*) FROM quarantine").fetchone()[0])
