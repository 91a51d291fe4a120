"""Rollups in tables of the readings' own file, so that they are as true as the readings.

Whole UTC days are summed up: every series up to its own `rolled` (none at first). The tally's `rolled` is the latest
of them. Whatever is appended or judged anew before that moment touches its series' day, in the same transaction; a
touched day counts as not summed up until it has been again. What is not summed up is computed when it is asked for,
from the readings. So an answer is the same whether or not anybody ever summed up beforehand.

Times are microseconds since 1970 in UTC throughout. Everything here runs inside a transaction that the caller holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twin.rollups import Every
from twin.storage.readings_file import Session
from twin.storage.readings_rows import FIRST_US
from twin.storage.rollup_sums import DAY_US, LENGTHS_US, Sums, summed_up

LAYOUT = f"""
    ALTER TABLE series ADD COLUMN rolled INTEGER NOT NULL DEFAULT {FIRST_US};
    ALTER TABLE tally ADD COLUMN rolled INTEGER NOT NULL DEFAULT {FIRST_US};
    CREATE TABLE touched (series INTEGER NOT NULL, day INTEGER NOT NULL, PRIMARY KEY (series, day)) WITHOUT ROWID;
    CREATE TABLE rollup (
        every INTEGER NOT NULL, series INTEGER NOT NULL, time INTEGER NOT NULL, readings INTEGER NOT NULL,
        trusted INTEGER NOT NULL, mean REAL, low REAL, high REAL, first REAL, last REAL,
        PRIMARY KEY (every, series, time)
    ) WITHOUT ROWID;
    CREATE TABLE rollup_floor (every INTEGER PRIMARY KEY, floor INTEGER NOT NULL)
"""

Range = tuple[int, int]
"""From (inclusive) and until (exclusive)."""


def day_of(time: int) -> int:
    """Return the beginning of the UTC day of a moment."""
    return time - time % DAY_US


def rolled_until(session: Session) -> int:
    """Return the moment before which some series is summed up already."""
    return int(session.connection.execute("SELECT rolled FROM tally").fetchone()[0])


def touch(session: Session, keys: Iterable[tuple[int, int]]) -> None:
    """Note that readings at these (series, time) changed; days that are not summed up yet need no note."""
    until = rolled_until(session)
    days = {(series, day_of(time)) for series, time in keys if time < until}
    session.connection.executemany(
        "INSERT OR IGNORE INTO touched SELECT ?1, ?2 WHERE (SELECT rolled FROM series WHERE series = ?1) > ?2",
        sorted(days),
    )


def claim(session: Session, until: int) -> int:
    """Let days before `until` be summed up from now on; return the moment that holds (it never goes back)."""
    session.connection.execute("UPDATE tally SET rolled = max(rolled, ?)", (day_of(until),))
    return rolled_until(session)


def unrolled(session: Session, limit: int) -> list[tuple[int, int, int]]:
    """Return up to `limit` (series, from, until) that are to be summed up."""
    question = """
        SELECT series, series.rolled, tally.rolled FROM series, tally WHERE series.rolled < tally.rolled
        ORDER BY series LIMIT ?
    """
    return session.connection.execute(question, (limit,)).fetchall()


def touched(session: Session, limit: int) -> list[tuple[int, int]]:
    """Return up to `limit` (series, day) that changed since they were summed up."""
    return session.connection.execute("SELECT series, day FROM touched LIMIT ?", (limit,)).fetchall()


def touched_days(session: Session, series: int, start: int, end: int) -> list[int]:
    """Return the touched days of one series in a range."""
    question = "SELECT day FROM touched WHERE series = ? AND day >= ? AND day < ? ORDER BY day"
    return [day for (day,) in session.connection.execute(question, (series, day_of(start), end))]


def is_settled(session: Session, day: int) -> bool:
    """Whether a day of every series is summed up and nothing of it changed since."""
    unsettled = session.connection.execute(
        "SELECT EXISTS (SELECT 1 FROM series WHERE rolled < ?1) OR EXISTS (SELECT 1 FROM touched WHERE day = ?2)",
        (day + DAY_US, day),
    ).fetchone()[0]
    return not unsettled


def keep(session: Session, series: int, of: Range, rows: Sequence[tuple[int, float, int]]) -> None:
    """Sum up whole days of a series anew from all its rows in there (time, value, trusted; in order of time)."""
    for every, length in LENGTHS_US.items():
        floor = _floor(session, every)
        session.connection.execute(
            "DELETE FROM rollup WHERE every = ? AND series = ? AND time >= ? AND time < ?", (length, series, *of)
        )
        session.connection.executemany(
            "INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ((length, series, *sums) for sums in summed_up(rows, length) if sums[0] >= floor),
        )
    session.connection.execute("DELETE FROM touched WHERE series = ? AND day >= ? AND day < ?", (series, *of))


def advance(session: Session, series: int, until: int) -> None:
    """Note that a series is summed up until a moment."""
    session.connection.execute("UPDATE series SET rolled = max(rolled, ?) WHERE series = ?", (until, series))


def stored(session: Session, series: int, of: Range, every: Every) -> list[Sums]:
    """Return the windows of a series in a range that are kept, touched or not."""
    question = """
        SELECT time, readings, trusted, mean, low, high, first, last FROM rollup
        WHERE every = ? AND series = ? AND time >= ? AND time < ? ORDER BY time
    """
    return session.connection.execute(question, (LENGTHS_US[every], series, *of)).fetchall()


def to_compute(session: Session, series: int, of: Range, every: Every) -> list[Range]:
    """Return the parts of a range (whole days, or up to its ends) for which the kept windows are not the truth."""
    start, end = of
    floor = min(max(_floor(session, every), start), end)
    parts = [(start, floor)] if start < floor else []
    (rolled,) = session.connection.execute("SELECT rolled FROM series WHERE series = ?", (series,)).fetchone()
    days = touched_days(session, series, floor, min(end, rolled))
    parts += [(max(floor, day), min(end, day + DAY_US)) for day in days]
    if max(floor, rolled) < end:
        parts.append((max(floor, rolled), end))
    return parts


def merged(kept: Sequence[Sums], computed: Sequence[tuple[Range, Sequence[Sums]]]) -> list[Sums]:
    """Return the kept windows, with those in computed parts replaced."""
    if not computed:
        return list(kept)
    parts = [part for part, _ in computed]
    rest = [sums for sums in kept if not any(begin <= sums[0] < end for begin, end in parts)]
    return sorted([*rest, *(sums for _, found in computed for sums in found)], key=lambda sums: sums[0])


def forget(session: Session, every: Every, before: int) -> int:
    """Forget the windows of one length in whole days before a moment, and keep none there; return how many."""
    floor = max(day_of(before), _floor(session, every))
    session.connection.execute("INSERT OR REPLACE INTO rollup_floor VALUES (?, ?)", (LENGTHS_US[every], floor))
    return session.connection.execute(
        "DELETE FROM rollup WHERE every = ? AND time < ?", (LENGTHS_US[every], floor)
    ).rowcount


def _floor(session: Session, every: Every) -> int:
    """Return from when on windows of one length are kept."""
    row = session.connection.execute("SELECT floor FROM rollup_floor WHERE every = ?", (LENGTHS_US[every],)).fetchone()
    return FIRST_US if row is None else int(row[0])
