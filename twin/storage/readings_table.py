"""The table of readings in SQLite: one row per (series, time), and the questions asked of it.

Sensor ids and repeated words (units, reasons) are kept once and referred to by number. Everything here runs inside a
transaction that the caller holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from twin.errors import InputError, NaiveDatetimeError
from twin.ports import AppendResult
from twin.readings import TRUSTED, Quality, Reading
from twin.storage.readings_file import Session
from twin.storage.readings_rows import (
    QUALITIES,
    QUALITY_CODES,
    from_microseconds,
    is_storable,
    reasons_to_text,
    require_exact,
    text_to_reasons,
    to_microseconds,
)
from twin.storage.sealed_files import SealedRow

WORDS_LAYOUT = "CREATE TABLE word (word INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"
SERIES_LAYOUT = "CREATE TABLE series (series INTEGER PRIMARY KEY, sensor_id TEXT NOT NULL UNIQUE)"
READING_COLUMNS = """
    series INTEGER NOT NULL, time INTEGER NOT NULL, available INTEGER NOT NULL,
    value REAL NOT NULL, unit INTEGER NOT NULL, raw_value REAL NOT NULL, raw_unit INTEGER NOT NULL,
    quality INTEGER NOT NULL, reasons INTEGER NOT NULL, seq INTEGER
"""

_INSERT = """
    INSERT INTO reading (series, time, available, value, unit, raw_value, raw_unit, quality, reasons, seq)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_REQUALIFY = """
    UPDATE reading SET value = ?1, quality = ?2, reasons = ?3
    WHERE series = ?4 AND time = ?5 AND (value <> ?1 OR quality <> ?2 OR reasons <> ?3)
"""
_SELECT = "SELECT time, available, value, unit, raw_value, raw_unit, quality, reasons, seq FROM reading"
_TRUSTED_CODES = ", ".join(str(QUALITY_CODES[quality]) for quality in sorted(TRUSTED))
UNTRUSTED = f"quality NOT IN ({_TRUSTED_CODES})"
"""The SQL condition of rows that models and KPIs must not use."""

Row = tuple[Any, ...]
_series_in = itemgetter(0)
Fingerprint = tuple[int, int | None, float | None]
"""The number of rows, and sums over their verdicts and values."""
Touch = Callable[[Session, Sequence[tuple[int, int]]], None]


def insert(session: Session, readings: Sequence[Reading], *, touch: Touch | None = None) -> AppendResult:
    """Insert what is new; tell exact repeats from conflicts by what the table holds afterwards. The first wins.

    `touch` is told the (series, time) of the rows if anything was stored.
    """
    rows = rows_of(session, readings)
    result = insert_rows(session, readings, rows)
    if result.stored and touch is not None:
        touch(session, [row[:2] for row in rows])
    return result


def insert_rows(session: Session, readings: Sequence[Reading], rows: Sequence[Row]) -> AppendResult:
    """Insert those of the rows of `readings` that are new; as `insert`.

    Series by series, each in the order given: that touches every page of the table once.
    """
    stored = session.connection.executemany(_INSERT, sorted(rows, key=_series_in)).rowcount if rows else 0
    if stored == len(rows):
        return AppendResult(stored, 0)
    conflicts = tuple(
        reading for reading, row in zip(readings, rows, strict=True) if _held_raw(session, row) != (row[5], row[6])
    )
    return AppendResult(stored, len(rows) - stored - len(conflicts), conflicts)


def with_known(
    result: AppendResult, readings: Sequence[Reading], elsewhere: Mapping[tuple[str, datetime], Reading]
) -> AppendResult:
    """Return the result of a batch of which those with keys `elsewhere` were not inserted: repeats and conflicts."""
    known = [reading for reading in readings if reading.key in elsewhere]
    differing = {id(reading) for reading in result.conflicts}
    for reading in known:
        held = elsewhere[reading.key]
        if (held.raw_value, held.raw_unit) != (reading.raw_value, reading.raw_unit):
            differing.add(id(reading))
    conflicts = tuple(reading for reading in readings if id(reading) in differing)
    return AppendResult(result.stored, len(readings) - result.stored - len(conflicts), conflicts)


def is_repeat(session: Session, reading: Reading) -> bool:
    """Whether a row has the key of a reading and its raw value and unit."""
    key = (series_of(session, reading.sensor_id), to_microseconds(reading.observed_at))
    row = session.connection.execute(
        "SELECT raw_value, raw_unit FROM reading WHERE series = ? AND time = ?", key
    ).fetchone()
    return row is not None and (row[0], text_of(session, row[1])) == (reading.raw_value, reading.raw_unit)


def holds(session: Session, reading: Reading) -> bool:
    """Whether a row has the key of a reading."""
    return has_row(session, series_of(session, reading.sensor_id), to_microseconds(reading.observed_at))


def has_row(session: Session, series: int | None, time: int) -> bool:
    """Whether there is a row of a series at a time."""
    found = session.connection.execute("SELECT 1 FROM reading WHERE series = ? AND time = ?", (series, time))
    return found.fetchone() is not None


def requalify(session: Session, readings: Sequence[Reading], *, touch: Touch | None = None) -> int:
    """Give rows with the keys of `readings` their value, quality and reasons; return how many changed."""
    rows = []
    for reading in by_key(readings).values():
        series = series_of(session, reading.sensor_id)
        if series is not None:
            rows.append((*verdict_of(session, reading), series, to_microseconds(reading.observed_at)))
    changed = session.connection.executemany(_REQUALIFY, rows).rowcount if rows else 0
    if changed and touch is not None:
        touch(session, [row[3:] for row in rows])
    return changed


def figures(session: Session, series: int, start: int, end: int) -> list[tuple[int, float, int]]:
    """Return (time, value, whether it is trusted) of a series' rows with start <= time < end, in order of time."""
    question = f"""
        SELECT time, value, quality IN ({_TRUSTED_CODES}) FROM reading
        WHERE series = ? AND time >= ? AND time < ? ORDER BY time
    """
    return session.connection.execute(question, (series, start, end)).fetchall()


def first_time(session: Session, series: int, start: int) -> int | None:
    """Return the time of the first row of a series from `start` on."""
    (time,) = session.connection.execute(
        "SELECT min(time) FROM reading WHERE series = ? AND time >= ?", (series, start)
    ).fetchone()
    return None if time is None else int(time)


def by_key(readings: Iterable[Reading]) -> dict[tuple[str, datetime], Reading]:
    """Return the last of the readings with each key."""
    return {reading.key: reading for reading in readings}


def verdict_of(session: Session, reading: Reading) -> tuple[float, int, int]:
    """Return value, quality and reasons of a reading as a row holds them."""
    return (
        float(reading.value),
        QUALITY_CODES[reading.quality],
        _reasons(session, reading.reasons),
    )


def between(
    session: Session,
    sensor_id: str,
    start: datetime,
    end: datetime,
    *,
    known_at: datetime | None = None,
    limit: int | None = None,
) -> list[Reading]:
    """Return readings with start <= observed_at < end in order of time, as `ReadingStore.between`."""
    bounds = [to_microseconds(start), to_microseconds(end)]
    known, known_bound = _known(known_at)
    series = series_of(session, sensor_id)
    if series is None:
        return []
    rows = session.connection.execute(
        f"{_SELECT} WHERE series = ? AND time >= ? AND time < ?{known} ORDER BY time LIMIT ?",
        (series, *bounds, *known_bound, -1 if limit is None else limit),
    ).fetchall()
    return [_reading(session, sensor_id, row) for row in rows]


def latest(
    session: Session,
    sensor_ids: Iterable[str],
    *,
    at: datetime,
    known_at: datetime | None = None,
    trusted_only: bool = True,
) -> dict[str, Reading]:
    """Return each sensor's newest reading with observed_at <= at, as `ReadingStore.latest`."""
    known, known_bound = _known(known_at)
    trust = f" AND quality IN ({_TRUSTED_CODES})" if trusted_only else ""
    question = f"{_SELECT} WHERE series = ? AND time <= ?{known}{trust} ORDER BY time DESC LIMIT 1"
    moment = to_microseconds(at)
    found = {}
    for sensor_id in sensor_ids:
        series = series_of(session, sensor_id)
        row = series and session.connection.execute(question, (series, moment, *known_bound)).fetchone()
        if row:
            found[sensor_id] = _reading(session, sensor_id, row)
    return found


def times(session: Session, series: int, start: int, end: int) -> list[int]:
    """Return the times of a series' rows with start <= time < end."""
    question = "SELECT time FROM reading WHERE series = ? AND time >= ? AND time < ?"
    return [time for (time,) in session.connection.execute(question, (series, start, end))]


def delete(session: Session, series: int, start: int, end: int) -> int:
    """Delete a series' rows with start <= time < end; return how many there were."""
    return session.connection.execute(
        "DELETE FROM reading WHERE series = ? AND time >= ? AND time < ?", (series, start, end)
    ).rowcount


def fingerprint(session: Session, series: int, start: int, end: int) -> Fingerprint:
    """Return what tells whether rows with start <= time < end were added or judged anew.

    A verdict counts with its row's moment: two rows that change places with theirs differ too.
    """
    question = """
        SELECT count(*), sum((1 + abs(time % 1000003)) * (4 * reasons + quality)), total((1 + abs(time % 1009)) * value)
        FROM reading WHERE series = ? AND time >= ? AND time < ?
    """
    found: Fingerprint = session.connection.execute(question, (series, start, end)).fetchone()
    return found


def sealable(session: Session, sensor_id: str, series: int, start: int, end: int) -> list[SealedRow]:
    """Return a series' rows with start <= time < end as they are sealed, in order of time."""
    question = f"{_SELECT} WHERE series = ? AND time >= ? AND time < ? ORDER BY time"
    rows = []
    for time, available, value, unit, raw_value, raw_unit, quality, reasons, seq in session.connection.execute(
        question, (series, start, end)
    ).fetchall():
        words = (text_of(session, unit), raw_value, text_of(session, raw_unit))
        trust = (str(QUALITIES[quality]), text_of(session, reasons))
        rows.append(SealedRow(sensor_id, time, available, value, *words, *trust, seq))
    return rows


def all_series(session: Session) -> list[int]:
    """Return the numbers of all sensors."""
    return [series for (series,) in session.connection.execute("SELECT series FROM series ORDER BY series")]


def series_by_sensor(session: Session) -> list[tuple[str, int]]:
    """Return every sensor with its number, in order of the sensors' names."""
    return session.connection.execute("SELECT sensor_id, series FROM series ORDER BY sensor_id").fetchall()


def rows_where(session: Session, condition: str, values: Sequence[object] = ()) -> Iterator[tuple[int, Reading]]:
    """Yield (series, reading) for the rows that fulfil an SQL condition of this package's own making."""
    names: dict[int, str] = {}
    for series, *row in raw_rows(session, condition, values):
        if series not in names:
            names[series] = sensor_of(session, series)
        yield series, _reading(session, names[series], row)


def raw_rows(session: Session, condition: str, values: Sequence[object] = ()) -> list[Row]:
    """Return the rows that fulfil an SQL condition of this package's own making, as `rows_of` writes them."""
    question = _SELECT.replace("SELECT", "SELECT series,", 1)
    return session.connection.execute(f"{question} {condition}", tuple(values)).fetchall()


def series_of(session: Session, sensor_id: str) -> int | None:
    """Return the sensor's number, or None if nothing was ever stored of it."""
    series = session.series.get(sensor_id)
    if series is None and is_storable(sensor_id):
        row = session.connection.execute("SELECT series FROM series WHERE sensor_id = ?", (sensor_id,)).fetchone()
        if row:
            series = session.series[sensor_id] = int(row[0])
    return series


def make_series(session: Session, sensor_id: str) -> int:
    """Return the sensor's number, giving it one if it is new."""
    series = series_of(session, sensor_id)
    if series is None:
        _require_storable(sensor_id)
        series = session.connection.execute("INSERT INTO series (sensor_id) VALUES (?)", (sensor_id,)).lastrowid
        assert series is not None  # an INSERT that did not raise has a row id
        session.series[sensor_id] = series
    return series


def prepared(readings: Sequence[Reading]) -> None:
    """Check a batch before any lock is taken: one bad reading refuses the batch, and nothing is written.

    Raises:
        InputError: If a reading could not come back exactly (see `require_exact`).
    """
    for reading in readings:
        require_exact(reading)


def oldest(readings: Sequence[Reading]) -> datetime | None:
    """Return the earliest observed_at of a batch, None of an empty one.

    Raises:
        NaiveDatetimeError: If one of them has no zone.
    """
    try:
        return min((reading.observed_at for reading in readings), default=None)
    except TypeError as error:
        raise NaiveDatetimeError("a reading's observed_at has no zone; a reading's times are aware") from error


def rows_of(session: Session, readings: Sequence[Reading]) -> list[Row]:
    """Write readings as rows. Neighbours in a batch often became available together: that moment is written once."""
    series, words = session.series, session.words
    available_at, available = None, 0
    no_reasons = words.get("") or _word(session, "")
    good, good_code = Quality.GOOD, QUALITY_CODES[Quality.GOOD]
    rows = []
    for reading in readings:
        if reading.available_at is not available_at:
            available_at = reading.available_at
            available = to_microseconds(available_at)
        quality = reading.quality
        rows.append(
            (
                series.get(reading.sensor_id) or make_series(session, reading.sensor_id),
                to_microseconds(reading.observed_at),
                available,
                float(reading.value),
                words.get(reading.unit) or _word(session, reading.unit),
                float(reading.raw_value),
                words.get(reading.raw_unit) or _word(session, reading.raw_unit),
                good_code if quality is good else QUALITY_CODES[quality],
                _reasons(session, reading.reasons) if reading.reasons else no_reasons,
                reading.seq,
            )
        )
    return rows


def _held_raw(session: Session, row: Row) -> tuple[float, int]:
    held: tuple[float, int] = session.connection.execute(
        "SELECT raw_value, raw_unit FROM reading WHERE series = ? AND time = ?", row[:2]
    ).fetchone()
    return held


def _reading(session: Session, sensor_id: str, row: Sequence[Any]) -> Reading:
    time, available, value, unit, raw_value, raw_unit, quality, reasons, seq = row
    return Reading(
        sensor_id=sensor_id,
        observed_at=from_microseconds(time),
        available_at=from_microseconds(available),
        value=value,
        unit=text_of(session, unit),
        raw_value=raw_value,
        raw_unit=text_of(session, raw_unit),
        quality=QUALITIES[quality],
        reasons=text_to_reasons(text_of(session, reasons)),
        seq=seq,
    )


def _reasons(session: Session, reasons: tuple[str, ...]) -> int:
    text = reasons_to_text(reasons)
    return session.words.get(text) or _word(session, text)


def _word(session: Session, text: str) -> int:
    _require_storable(text)
    session.connection.execute("INSERT INTO word (text) VALUES (?) ON CONFLICT DO NOTHING", (text,))
    (word,) = session.connection.execute("SELECT word FROM word WHERE text = ?", (text,)).fetchone()
    session.words[text] = int(word)
    return int(word)


def text_of(session: Session, word: int) -> str:
    """Return the word whose number it is."""
    text = session.texts.get(word)
    if text is None:
        (text,) = session.connection.execute("SELECT text FROM word WHERE word = ?", (word,)).fetchone()
        session.texts[word] = text
    return str(text)


def sensor_of(session: Session, series: int) -> str:
    """Return the sensor whose number it is."""
    (sensor_id,) = session.connection.execute("SELECT sensor_id FROM series WHERE series = ?", (series,)).fetchone()
    return str(sensor_id)


def _known(known_at: datetime | None) -> tuple[str, tuple[int, ...]]:
    return ("", ()) if known_at is None else (" AND available <= ?", (to_microseconds(known_at),))


def _require_storable(text: str) -> None:
    if not is_storable(text):
        raise InputError(f"{text!r} holds control characters or is no text: it cannot name a sensor, unit or reason")
