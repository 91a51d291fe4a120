"""The journal of a spool: the lines that wait for the server, a row a batch, in the order in which things happened.

Nothing is noted per reading: a batch is written with its rows, sent as it is, and deleted when the server has it. A
reading that is judged anew is written again with its new verdict; as the order is kept, the last verdict is the one
that stays at the server. Lines are packed (gzip) as they are sent: packed batches one after the other are one stream.

Numbers of batches are never used twice: even a forwarder that slept through another's work deletes only what it sent.

`inherited` are keys that waited in the file's first layout, which kept no lines; their lines are written bit by bit.

Everything here runs inside a transaction that the caller holds.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from twin.storage import readings_table as table
from twin.storage.influx_lines import head_of, line, words_of
from twin.storage.readings_file import Session
from twin.storage.readings_rows import QUALITIES

LAYOUT = """
    CREATE TABLE journal (
        batch INTEGER PRIMARY KEY AUTOINCREMENT, readings INTEGER NOT NULL, oldest INTEGER NOT NULL, lines BLOB NOT NULL
    );
    CREATE TABLE rejudged (
        series INTEGER NOT NULL, time INTEGER NOT NULL, batch INTEGER NOT NULL, PRIMARY KEY (series, time, batch)
    ) WITHOUT ROWID;
    CREATE INDEX rejudged_in ON rejudged (batch);
    CREATE TABLE inherited (series INTEGER NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (series, time)) WITHOUT ROWID
"""

_LINES_IN_A_BATCH = 5_000
_QUICKLY, _AS_GZIP = 1, 31  # higher levels take more time and next to no room off
_SMALL_BYTES, _LITTLE_MEMORY, _MUCH_MEMORY = (
    65_536,
    5,
    8,
)  # making much memory ready costs more than packing a few lines

_WITHDRAWN = f"""
    SELECT DISTINCT time FROM (
        SELECT time FROM rejudged WHERE series = ?1 AND time <= ?2
        UNION ALL SELECT time FROM inherited WHERE series = ?1 AND time <= ?2
        UNION ALL SELECT time FROM quarantine WHERE series = ?1 AND time <= ?2
    ) AS doubtful CROSS JOIN reading USING (time) WHERE reading.series = ?1 AND {table.UNTRUSTED}
"""


@dataclass(frozen=True, slots=True)
class Parcel:
    """The lines of the batches up to `last`, packed, and how many they are."""

    last: int
    readings: int
    packed: bytes


def pack(lines: Sequence[str]) -> bytes:
    """Pack lines as they are sent."""
    text = "\n".join([*lines, ""]).encode()
    memory = _LITTLE_MEMORY if len(text) < _SMALL_BYTES else _MUCH_MEMORY
    packer = zlib.compressobj(_QUICKLY, zlib.DEFLATED, _AS_GZIP, memory)
    return packer.compress(text) + packer.flush()


def unpack(packed: bytes) -> list[str]:
    """Return the lines of packed batches."""
    return gzip.decompress(packed).decode().split("\n")[:-1]


def add(session: Session, rows: Sequence[table.Row], *, judged_anew: bool = False) -> None:
    """Let rows wait for the server as they are now; it may hold those that are `judged_anew` with another verdict."""
    for first in range(0, len(rows), _LINES_IN_A_BATCH):
        some = rows[first : first + _LINES_IN_A_BATCH]
        batch = session.connection.execute(
            "INSERT INTO journal (readings, oldest, lines) VALUES (?, ?, ?)",
            (len(some), min(row[1] for row in some), pack(lines_of(session, some))),
        ).lastrowid
        if judged_anew:
            keys = ((series, time, batch) for series, time, *_ in some)
            session.connection.executemany("INSERT INTO rejudged (series, time, batch) VALUES (?, ?, ?)", keys)


def lines_of(session: Session, rows: Sequence[table.Row]) -> list[str]:
    """Write rows as lines."""
    phrases = session.phrases
    lines = []
    for series, time, available, value, unit, raw_value, raw_unit, quality, reasons, seq in rows:
        head = phrases.get(series) or _head(session, series)
        words = phrases.get((unit, raw_unit, quality, reasons)) or _words(session, unit, raw_unit, quality, reasons)
        lines.append(line(head, value, raw_value, words, available, seq, time))
    return lines


def next_parcel(session: Session, limit: int) -> Parcel | None:
    """Return the oldest batches, with `limit` lines or less, but one batch at least; None if none waits."""
    last, readings = 0, 0
    packed: list[bytes] = []
    for batch, count, lines in session.connection.execute("SELECT batch, readings, lines FROM journal ORDER BY batch"):
        if packed and readings + count > limit:
            break
        packed.append(lines)
        last, readings = batch, readings + count
    return Parcel(last, readings, b"".join(packed)) if packed else None


def remove(session: Session, until: int) -> int:
    """Delete the batches up to one; return how many readings were in them."""
    (readings,) = session.connection.execute(
        "SELECT coalesce(sum(readings), 0) FROM journal WHERE batch <= ?", (until,)
    ).fetchone()
    session.connection.execute("DELETE FROM journal WHERE batch <= ?", (until,))
    session.connection.execute("DELETE FROM rejudged WHERE batch <= ?", (until,))
    return int(readings)


def waits_again(session: Session, series: int, time: int, *, after: int) -> bool:
    """Whether a reading was judged anew after a batch was written: its new line comes later."""
    found = session.connection.execute(
        "SELECT 1 FROM rejudged WHERE series = ? AND time = ? AND batch > ?", (series, time, after)
    )
    return found.fetchone() is not None


def judged_anew(session: Session, until: int) -> list[tuple[int, int]]:
    """Return the series and times of the readings that were judged anew in the batches up to one."""
    return session.connection.execute(
        "SELECT DISTINCT series, time FROM rejudged WHERE batch <= ?", (until,)
    ).fetchall()


def oldest_waiting(session: Session) -> int | None:
    """Return the earliest time of all that waits in the journal, None if nothing does."""
    (time,) = session.connection.execute("SELECT min(oldest) FROM journal").fetchone()
    return None if time is None else int(time)


def withdrawn(session: Session, series: int, by: int) -> list[int]:
    """Return the times up to `by` of a series' rows that are not trusted and that the server may still call trusted."""
    return [time for (time,) in session.connection.execute(_WITHDRAWN, (series, by))]


def inherits(session: Session) -> bool:
    """Whether something still waits as in the file's first layout."""
    return session.connection.execute("SELECT 1 FROM inherited LIMIT 1").fetchone() is not None


def take_over(session: Session, limit: int) -> None:
    """Write the lines of up to `limit` inherited keys."""
    keys = session.connection.execute(
        "SELECT series, time FROM inherited ORDER BY series, time LIMIT ?", (limit,)
    ).fetchall()
    rows = [row for key in keys for row in table.raw_rows(session, "WHERE series = ? AND time = ?", key)]
    add(session, rows, judged_anew=True)
    session.connection.executemany("DELETE FROM inherited WHERE series = ? AND time = ?", keys)


def _head(session: Session, series: int) -> str:
    head = session.phrases[series] = head_of(table.sensor_of(session, series))
    return head


def _words(session: Session, unit: int, raw_unit: int, quality: int, reasons: int) -> str:
    text = table.text_of
    words = words_of(text(session, unit), text(session, raw_unit), QUALITIES[quality], text(session, reasons))
    session.phrases[unit, raw_unit, quality, reasons] = words
    return words
