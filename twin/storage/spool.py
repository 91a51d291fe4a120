"""The durable spool in front of a time-series server: a ledger of keys, a journal of lines, and what was refused.

Every appended reading becomes a row of the ledger and, in the same transaction, a line in the journal (see
spool_journal.py); the lines are deleted when the server has them. The ledger tells repeats and conflicts without asking
the server. It forgets its oldest keys beyond a limit and remembers, for every sensor, the floor: from there on it is
complete, below it the server must be asked. When the spool first meets a bucket, the floors are the newest times
already in there. Keys are never forgotten while they, or anything older, wait in the journal, nor while the server
refuses them.

Whoever appends below a floor gets a question for the server back, and comes again with its answer. `forgettings` counts
how often keys were forgotten: an answer from before that must be asked for again.

Nothing is ever dropped for want of room: an append is refused, and the sender comes again. The last bytes of the disk
are left to the forwarding, so that a full spool can run empty by itself; where room is short, the ledger forgets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path

from twin.errors import ConfigError, StorageFullError
from twin.ports import AppendResult, Fullness, RefusedReading, StoreStats
from twin.readings import Reading
from twin.storage import readings_table as table
from twin.storage import spool_journal as journal
from twin.storage import spool_quarantine as quarantine
from twin.storage.readings_file import ReadingsFile, Session
from twin.storage.readings_rows import FIRST_US, LAST_US, from_microseconds, to_microseconds, verdict
from twin.storage.spool_journal import Parcel
from twin.storage.spool_layout import APPLICATION_ID, LAYOUT
from twin.storage.spool_quarantine import RefusedLine
from twin.storage.spool_room import Room

_SERIES_AT_ONCE = 200
_FORGOTTEN_FOR_ROOM = 5_000
_TAKEN_OVER, _TAKEN_OVER_WHILE_SHORT = 5_000, 200

Key = tuple[str, datetime]


@dataclass(frozen=True, slots=True)
class Question:
    """Keys that only the server can decide, and the count of forgettings at which that was true."""

    keys: set[Key]
    forgettings: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server holds of the keys of a question."""

    held: Mapping[Key, Reading]
    forgettings: int


UNASKED = Answer({}, -1)


class Spool:
    """The file `path`. `max_waiting` readings may wait; about `max_ledger` keys are remembered that do not.

    A reading that is judged anew while it waits counts twice among the waiting. `max_bytes` stops the file from growing
    further (None: the disk decides). Opened as `ReadingsFile` says, with the same errors.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_waiting: int = 5_000_000,
        max_ledger: int = 2_000_000,
        max_bytes: int | None = None,
        busy_timeout_s: float = 10.0,
    ) -> None:
        self._file = ReadingsFile(
            path, application_id=APPLICATION_ID, layout=LAYOUT, busy_timeout_s=busy_timeout_s, max_bytes=max_bytes
        )
        self._room = Room(self._file)
        self._max_waiting = max_waiting
        self._max_ledger = max_ledger
        self._forgotten_until = FIRST_US

    # -------------------------------------------------------------------------------------- the bucket behind it

    def destination(self) -> str | None:
        """Return the name of the bucket this spool has met, or None before it met any."""
        with self._file.reading() as session:
            (name,) = session.connection.execute("SELECT destination FROM tally").fetchone()
            return None if name is None else str(name)

    def meet(self, destination: str, newest: Mapping[str, datetime], readings: int) -> None:
        """Remember the bucket and, per sensor, up to where it holds readings that the ledger does not know."""
        with self._file.writing() as session:
            met = session.connection.execute("SELECT destination FROM tally").fetchone()[0]
            if met is not None:
                return
            for sensor_id, moment in newest.items():
                _raise_floor(session, table.make_series(session, sensor_id), to_microseconds(moment) + 1)
            session.connection.execute(
                "UPDATE tally SET destination = ?, readings = readings + ?", (destination, readings)
            )

    def require_destination(self, destination: str) -> None:
        """Raise ConfigError if the spool has met another bucket: its keys mean nothing there."""
        met = self.destination()
        if met not in (None, destination):
            raise ConfigError(
                f"{self._file.path} holds readings for {met}, not for {destination}: set the organisation and bucket "
                "back, or let the spool run empty and then use another spool file"
            )

    def is_alone(self) -> bool:
        """Whether no other spool writes to the bucket, as far as anybody has said."""
        with self._file.reading() as session:
            return _is_alone(session)

    def has_company(self) -> None:
        """Remember for ever that other spools write to the bucket too.

        A new verdict on a reading that the ledger does not hold is a question for the server from now on, above its
        floor as well; and of what the server has, this spool tells nothing any more: another one may have judged it.
        """
        with self._file.writing() as session:
            session.connection.execute("UPDATE tally SET is_alone = 0")

    # ----------------------------------------------------------------------------------------------- coming in

    def append(self, readings: Sequence[Reading], answer: Answer = UNASKED) -> AppendResult | Question:
        """Store a batch durably, or return what must be asked of the server first; nothing is stored then.

        An answer from before keys were forgotten does not count.

        Raises:
            StorageFullError: If too many readings wait, or the disk is full. Nothing is stored then.
        """
        self._room.keep_log_short()
        with self._file.writing() as session:
            waiting, held = self._begin(session, readings, answer)
            if isinstance(held, Question):
                return held
            fresh = [reading for reading in readings if reading.key not in held] if held else readings
            rows = table.rows_of(session, fresh)
            result = table.insert_rows(session, fresh, rows)
            if result.stored:
                self._require_place(waiting, result.stored)
                journal.add(session, rows if result.stored == len(rows) else self._new_ones(rows))
                session.connection.execute(
                    "UPDATE tally SET readings = readings + ?1, waiting = waiting + ?1, ledger = ledger + ?1",
                    (result.stored,),
                )
        return table.with_known(result, readings, held) if held else result

    def requalify(self, readings: Sequence[Reading], answer: Answer = UNASKED) -> int | Question:
        """Give readings a new value, quality and reasons, here or at the server, which is told in turn.

        What was refused stays in quarantine, with its new verdict. Return how many changed, or what must be
        asked of the server first.

        Raises:
            StorageFullError: If too many readings wait, or the disk is full. Nothing is changed then.
        """
        self._room.keep_log_short()
        changed = fetched = 0
        told: list[table.Row] = []
        with self._file.writing() as session:
            waiting, elsewhere = self._begin(session, readings, answer, is_complete=_is_alone(session))
            if isinstance(elsewhere, Question):
                return elsewhere
            for reading in table.by_key(readings).values():
                if not table.requalify(session, [reading]):
                    old = elsewhere.get(reading.key)
                    if old is None or verdict(old) == verdict(reading):
                        continue
                    fetched += table.insert(session, [_judged_as(old, reading)]).stored
                changed += 1
                key = (table.make_series(session, reading.sensor_id), to_microseconds(reading.observed_at))
                if not quarantine.holds(session, *key):
                    told += table.raw_rows(session, "WHERE series = ? AND time = ?", key)
            if told:
                self._require_place(waiting, len(told))
                journal.add(session, told, judged_anew=True)
                session.connection.execute(
                    "UPDATE tally SET waiting = waiting + ?, ledger = ledger + ?", (len(told), fetched)
                )
        return changed

    def _begin(
        self, session: Session, readings: Sequence[Reading], answer: Answer, *, is_complete: bool = True
    ) -> tuple[int, Mapping[Key, Reading] | Question]:
        """Return how many readings wait, and what the server holds of a batch beyond the ledger, or what to ask it.

        Unless the ledger `is_complete` from the floors on, the server is asked for whatever it does not hold.
        """
        self._room.require_reserve(session)
        waiting, forgettings, floor = session.connection.execute(
            "SELECT waiting, forgettings, floor FROM tally"
        ).fetchone()
        oldest = table.oldest(readings)
        if oldest is None or (is_complete and to_microseconds(oldest) >= floor):
            return waiting, {}
        keys = _undecidable(session, readings, is_complete=is_complete)
        if keys and answer.forgettings != forgettings:
            return waiting, Question(keys, forgettings)
        return waiting, {key: reading for key, reading in answer.held.items() if key in keys}

    # ------------------------------------------------------------------------------------------------ going out

    def next_parcel(self, limit: int) -> Parcel | None:
        """Return the lines that are to be sent next, about `limit` of them; None if nothing waits."""
        with self._file.reading() as session:
            parcel = journal.next_parcel(session, limit)
            if parcel is not None or not journal.inherits(session):
                return parcel
        with self._file.writing() as session:
            journal.take_over(session, self._portion_to_take_over())
            return journal.next_parcel(session, limit)

    def judged_anew(self, parcel: Parcel) -> set[Key]:
        """Return the keys of a parcel's lines that bring a new verdict on a reading."""
        with self._file.reading() as session:
            return {
                (table.sensor_of(session, series), from_microseconds(time))
                for series, time in journal.judged_anew(session, parcel.last)
            }

    def delivered(self, parcel: Parcel, refused: Sequence[RefusedLine] = (), firsts: Collection[Reading] = ()) -> None:
        """Note that the server has a parcel, and quarantine those of its lines that it refused.

        `firsts` are what the server holds in place of some of its lines: they take the place of ours in the ledger. A
        reading that was judged anew since is neither quarantined nor replaced: its new line comes later. If a power
        cut undoes this, the parcel is sent again, which changes nothing; so the disk need not be waited for.
        """
        self._room.keep_log_short()
        with self._file.writing(durable=bool(refused)) as session:
            for item in refused:
                if not journal.waits_again(session, *quarantine.key_in(session, item), after=parcel.last):
                    quarantine.hold(session, item)
            for first in firsts:
                key = (table.make_series(session, first.sensor_id), to_microseconds(first.observed_at))
                if not journal.waits_again(session, *key, after=parcel.last):
                    table.delete(session, *key, key[1] + 1)
                    table.insert(session, [first])
            if refused:
                session.connection.execute("UPDATE tally SET quarantined = ?", (quarantine.count(session),))
            session.connection.execute(
                "UPDATE tally SET waiting = waiting - ?", (journal.remove(session, parcel.last),)
            )
            if journal.inherits(session):
                journal.take_over(session, self._portion_to_take_over())

    def quarantined(self, limit: int = 1000) -> list[RefusedReading]:
        """Return up to `limit` refused readings with their reasons."""
        with self._file.reading() as session:
            return quarantine.held(session, limit)

    def release_quarantined(self) -> int:
        """Let every refused reading be sent again (after the cause was mended); return how many."""
        with self._file.writing() as session:
            rows = quarantine.release(session)
            journal.add(session, rows, judged_anew=True)
            session.connection.execute("UPDATE tally SET waiting = waiting + ?, quarantined = 0", (len(rows),))
            return len(rows)

    def forget_oldest(self) -> int:
        """Forget the oldest keys if the ledger is over its limit or room is short; return how many were forgotten.

        Over the limit a tenth goes, for want of room a portion.
        """
        with self._file.reading() as session:
            is_short = self._room.is_short(session)
            ledger, waiting, refused = session.connection.execute(
                "SELECT ledger, waiting, quarantined FROM tally"
            ).fetchone()
            forgettable = ledger - waiting - refused
            if forgettable <= 0 or (forgettable <= self._max_ledger and not is_short):
                return 0
            bound = _last_forgettable(session)
            if bound <= self._forgotten_until:
                return 0
            surplus = _FORGOTTEN_FOR_ROOM if is_short else forgettable - self._max_ledger + self._max_ledger // 10
            (until,) = session.connection.execute(
                "SELECT max(time) FROM (SELECT time FROM reading ORDER BY time LIMIT ?)", (surplus + refused,)
            ).fetchone()
            self._forgotten_until = min(until, bound)
            series = table.all_series(session)
        return sum(
            self._forget(series[first : first + _SERIES_AT_ONCE], self._forgotten_until)
            for first in range(0, len(series), _SERIES_AT_ONCE)
        )

    # ------------------------------------------------------------------------------------------------- being asked

    def between(
        self, sensor_id: str, start: datetime, end: datetime, *, known_at: datetime | None, limit: int | None
    ) -> list[Reading]:
        """Return what the spool and its ledger hold; as `ReadingStore.between`."""
        with self._file.reading() as session:
            held = table.between(session, sensor_id, start, end, known_at=known_at, limit=limit)
            return held if _is_alone(session) else _lacking(session, held)

    def latest(
        self, sensor_ids: Sequence[str], *, at: datetime, known_at: datetime | None, trusted_only: bool
    ) -> dict[str, Reading]:
        """Return the newest that the spool and its ledger hold; as `ReadingStore.latest`."""
        with self._file.reading() as session:
            held = table.latest(session, sensor_ids, at=at, known_at=known_at, trusted_only=trusted_only)
            if _is_alone(session):
                return held
            return {reading.sensor_id: reading for reading in _lacking(session, held.values())}

    def withdrawn(self, sensor_ids: Sequence[str], *, by: datetime) -> set[Key]:
        """Return the keys (observed_at <= by) that are not trusted and that the server may still call trusted."""
        until = to_microseconds(by)
        with self._file.reading() as session:
            numbers = [(sensor_id, table.series_of(session, sensor_id)) for sensor_id in sensor_ids]
            return {
                (sensor_id, from_microseconds(time))
                for sensor_id, series in numbers
                if series is not None
                for time in journal.withdrawn(session, series, until)
            }

    def stats(self) -> StoreStats:
        """Return the counts of all readings, of the waiting and of the quarantined."""
        with self._file.reading() as session:
            return StoreStats(
                *session.connection.execute("SELECT readings, waiting, quarantined FROM tally").fetchone()
            )

    def fullness(self) -> list[Fullness]:
        """Return how much of each limit is used up; see `twin.ports.Limited`."""
        with self._file.reading() as session:
            (waiting,) = session.connection.execute("SELECT waiting FROM tally").fetchone()
        return [Fullness("waiting", waiting, self._max_waiting), *self._file.fullness()]

    def check(self) -> None:
        """Write and commit a row that changes nothing; raise StorageFullError when no more readings may wait."""
        self._room.keep_log_short()
        with self._file.writing() as session:
            self._room.require_reserve(session)
            session.connection.execute("UPDATE tally SET readings = readings")
            (waiting,) = session.connection.execute("SELECT waiting FROM tally").fetchone()
        if waiting >= self._max_waiting:
            raise StorageFullError(f"{waiting} readings wait for InfluxDB in {self._file.path}: no more may")

    def close(self) -> None:
        """Close the file; everything in it stays durable."""
        self._file.close()

    def _new_ones(self, rows: Sequence[table.Row]) -> list[table.Row]:
        """Return the rows, the first of each key, that others do not see yet: those this transaction inserted."""
        first: dict[table.Row, table.Row] = {}
        for row in rows:
            first.setdefault(row[:2], row)
        with self._file.reading() as before:
            return [row for row in first.values() if not table.has_row(before, row[0], row[1])]

    def _require_place(self, waiting: int, more: int) -> None:
        """Raise StorageFullError if so many more may not wait."""
        if waiting + more > self._max_waiting:
            raise StorageFullError(
                f"{waiting} readings wait for InfluxDB in {self._file.path}, at most {self._max_waiting} may: "
                "bring InfluxDB back (h2twin doctor says what is wrong); nothing of this batch was stored"
            )

    def _portion_to_take_over(self) -> int:
        return _TAKEN_OVER_WHILE_SHORT if self._room.is_disk_short() else _TAKEN_OVER

    def _forget(self, series: Collection[int], until: int) -> int:
        self._room.keep_log_short()
        with self._file.writing() as session:
            until = min(until, _last_forgettable(session))
            forgotten = sum(_forget(session, number, until) for number in series)
            session.connection.execute(
                "UPDATE tally SET ledger = ledger - ?, forgettings = forgettings + ?",
                (forgotten, 1 if forgotten else 0),
            )
        return forgotten


def _is_alone(session: Session) -> bool:
    return bool(session.connection.execute("SELECT is_alone FROM tally").fetchone()[0])


def _lacking(session: Session, readings: Iterable[Reading]) -> list[Reading]:
    """Return those of the ledger's readings that the server may lack: since the oldest that waits, or refused."""
    delivered = _last_forgettable(session)
    return [
        reading
        for reading in readings
        if (time := to_microseconds(reading.observed_at)) > delivered
        or quarantine.holds(session, table.make_series(session, reading.sensor_id), time)
    ]


def _last_forgettable(session: Session) -> int:
    """Return the time up to which nothing waits."""
    if journal.inherits(session):
        return FIRST_US
    oldest = journal.oldest_waiting(session)
    return LAST_US if oldest is None else oldest - 1


def _forget(session: Session, series: int, until: int) -> int:
    """Delete a series' rows up to a time, but those that are quarantined; return how many."""
    rows = session.connection.execute(
        "DELETE FROM reading WHERE series = ?1 AND time <= ?2 "
        "AND time NOT IN (SELECT time FROM quarantine WHERE series = ?1)",
        (series, until),
    ).rowcount
    if rows:
        _raise_floor(session, series, until + 1)
    return rows


def _judged_as(reading: Reading, judged: Reading) -> Reading:
    return replace(reading, value=judged.value, quality=judged.quality, reasons=judged.reasons)


def _undecidable(session: Session, readings: Sequence[Reading], *, is_complete: bool) -> set[Key]:
    """Return the keys of a batch that the ledger does not hold, where it is not complete: below the sensor's floor."""
    floor = cache(partial(_floor, session))
    return {
        reading.key
        for reading in readings
        if (not is_complete or to_microseconds(reading.observed_at) < floor(reading.sensor_id))
        and not table.holds(session, reading)
    }


def _floor(session: Session, sensor_id: str) -> int:
    series = table.series_of(session, sensor_id)
    row = session.connection.execute("SELECT floor FROM series WHERE series = ?", (series,)).fetchone()
    return int(row[0]) if row else FIRST_US


def _raise_floor(session: Session, series: int, floor: int) -> None:
    """Let the ledger be complete from a time on; the tally keeps the highest of all floors."""
    session.connection.execute("UPDATE series SET floor = max(floor, ?) WHERE series = ?", (floor, series))
    session.connection.execute("UPDATE tally SET floor = max(floor, ?)", (floor,))
