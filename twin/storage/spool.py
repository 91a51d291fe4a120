"""The durable spool in front of a time-series server: what is waiting, what was refused, and the keys of late.

Every appended reading is a row in the state WAITING until the server has it, then FORWARDED; one that the server
refuses is QUARANTINED with the reason and stays. Forwarded rows are kept as a ledger of keys, so that a repeat or a
conflict is seen without asking the server. The ledger forgets its oldest keys beyond a limit and remembers, for every
sensor, the floor: from there on it is complete, below it the server must be asked. When the spool first meets a
bucket, the floors are the newest times already in there.

`forgettings` counts how often keys were forgotten: who asked the server before that must ask again.

Nothing is ever dropped for want of room: an append is refused, and the sender comes again. The last bytes of the disk
are left to the forwarding, so that a full spool can run empty by itself; where room is short, the ledger forgets.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from twin.errors import ConfigError, StorageFullError
from twin.ports import AppendResult, Fullness, RefusedReading, StoreStats
from twin.readings import Reading
from twin.storage import readings_table as table
from twin.storage.readings_file import ReadingsFile, Session
from twin.storage.readings_rows import FIRST_US, to_microseconds, verdict

WAITING, FORWARDED, QUARANTINED = 0, 1, 2

APPLICATION_ID = 0x48325350  # "H2SP"
LAYOUT = (
    f"""
    CREATE TABLE series (
        series INTEGER PRIMARY KEY, sensor_id TEXT NOT NULL UNIQUE, floor INTEGER NOT NULL DEFAULT {FIRST_US}
    );
    {table.WORDS_LAYOUT};
    CREATE TABLE reading (
        {table.READING_COLUMNS}, state INTEGER NOT NULL DEFAULT {WAITING}, PRIMARY KEY (series, time)
    ) WITHOUT ROWID;
    CREATE INDEX waiting ON reading (series, time) WHERE state = {WAITING};
    CREATE TABLE quarantine (
        series INTEGER NOT NULL, time INTEGER NOT NULL, line TEXT NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (series, time)
    ) WITHOUT ROWID;
    CREATE TABLE tally (
        readings INTEGER NOT NULL, waiting INTEGER NOT NULL, quarantined INTEGER NOT NULL, ledger INTEGER NOT NULL,
        forgettings INTEGER NOT NULL, destination TEXT
    );
    INSERT INTO tally VALUES (0, 0, 0, 0, 0, NULL)
    """,
)
"""The script of each version of the file, oldest first: add to the end, never change what was released."""

_SERIES_AT_ONCE = 200
_FORGOTTEN_FOR_ROOM = 5_000
_AT_ONCE_WHILE_SHORT = 200

Key = tuple[str, datetime]
Raw = tuple[float, str]


class Spool:
    """The file `path`. `max_waiting` readings may wait; about `max_ledger` forwarded keys are remembered.

    `max_bytes` stops the file from growing further (None: the disk decides). Opened as `ReadingsFile` says, with the
    same errors.
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
        self._max_waiting = max_waiting
        self._max_ledger = max_ledger

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

    # ----------------------------------------------------------------------------------------------- coming in

    def undecidable(self, readings: Sequence[Reading]) -> tuple[set[Key], int]:
        """Return the keys that only the server can decide, and the count of forgettings at which that was true."""
        with self._file.reading() as session:
            (forgettings,) = session.connection.execute("SELECT forgettings FROM tally").fetchone()
            floors: dict[str, int] = {}
            keys = set()
            for reading in readings:
                sensor_id, time = reading.sensor_id, to_microseconds(reading.observed_at)
                if sensor_id not in floors:
                    floors[sensor_id] = _floor(session, sensor_id)
                if time < floors[sensor_id] and not _holds(session, sensor_id, time):
                    keys.add(reading.key)
            return keys, int(forgettings)

    def append(
        self, readings: Sequence[Reading], *, elsewhere: Mapping[Key, Raw], forgettings: int
    ) -> AppendResult | None:
        """Store a batch durably, given what the server holds `elsewhere`; None if keys were forgotten since.

        Raises:
            StorageFullError: If too many readings wait, or the disk is full. Nothing is stored then.
        """
        self._require_reserve()
        fresh = [reading for reading in readings if reading.key not in elsewhere]
        known = [reading for reading in readings if reading.key in elsewhere]
        conflicts = [reading for reading in known if elsewhere[reading.key] != (reading.raw_value, reading.raw_unit)]
        with self._file.writing() as session:
            waiting, now = session.connection.execute("SELECT waiting, forgettings FROM tally").fetchone()
            if now != forgettings:
                return None
            result = table.insert(session, fresh)
            if waiting + result.stored > self._max_waiting and result.stored:
                raise self._too_many(waiting)
            session.connection.execute(
                "UPDATE tally SET readings = readings + ?1, waiting = waiting + ?1", (result.stored,)
            )
        differing = {id(reading) for reading in (*result.conflicts, *conflicts)}
        return AppendResult(
            stored=result.stored,
            duplicates=result.duplicates + len(known) - len(conflicts),
            conflicts=tuple(reading for reading in readings if id(reading) in differing),
        )

    def requalify(
        self, readings: Sequence[Reading], *, elsewhere: Mapping[Key, Reading], forgettings: int
    ) -> int | None:
        """Give readings a new value, quality and reasons, here or `elsewhere`, and let those the server has wait again.

        What was refused stays in quarantine, with its new verdict. Return how many changed; None if keys were
        forgotten since.

        Raises:
            StorageFullError: If too many readings wait, or the disk is full. Nothing is changed then.
        """
        changed = woken = fetched = 0
        with self._file.writing() as session:
            waiting, now = session.connection.execute("SELECT waiting, forgettings FROM tally").fetchone()
            if now != forgettings:
                return None
            for reading in table.by_key(readings).values():
                held = _state_of(session, reading)
                old = elsewhere.get(reading.key)
                if held is None and old is not None and verdict(old) != verdict(reading):
                    table.insert(session, [_judged_as(old, reading)])
                    fetched += 1
                elif held is not None and table.requalify(session, [reading]):
                    changed += 1
                    woken += held == FORWARDED
                    _let_wait(session, reading)
            if waiting + woken + fetched > self._max_waiting and woken + fetched:
                raise self._too_many(waiting)
            session.connection.execute(
                "UPDATE tally SET waiting = waiting + ?1 + ?2, ledger = ledger - ?1", (woken, fetched)
            )
        return changed + fetched

    # ------------------------------------------------------------------------------------------------ going out

    def waiting(self, limit: int) -> list[Reading]:
        """Return up to `limit` readings that the server does not have yet."""
        with self._file.reading() as session:
            condition = f"INDEXED BY waiting WHERE state = {WAITING} ORDER BY series, time LIMIT ?"
            return [reading for _, reading in table.rows_where(session, condition, (limit,))]

    def forwarded(self, readings: Sequence[Reading], refused: Sequence[RefusedReading]) -> None:
        """Note that the server has `readings`, and quarantine those it refused.

        A reading that was judged anew since it was sent waits on: the server has the old verdict.
        """
        portion = len(readings) or 1
        if self._is_disk_short():
            portion = _AT_ONCE_WHILE_SHORT
        for first in range(0, len(readings), portion):
            self._forwarded(readings[first : first + portion], ())
        if refused:
            self._forwarded((), refused)

    def _forwarded(self, readings: Sequence[Reading], refused: Sequence[RefusedReading]) -> None:
        self._make_room_for_journal()
        with self._file.writing() as session:
            taken = _move(session, readings, FORWARDED)
            held_back = 0
            for item in refused:
                if not _move(session, [item.reading], QUARANTINED):
                    continue
                held_back += 1
                session.connection.execute(
                    "INSERT OR REPLACE INTO quarantine (series, time, line, reason) VALUES (?, ?, ?, ?)",
                    (*_key(session, item.reading), item.line, item.reason),
                )
            session.connection.execute(
                "UPDATE tally SET waiting = waiting - ?1 - ?2, ledger = ledger + ?1, quarantined = quarantined + ?2",
                (taken, held_back),
            )

    def quarantined(self, limit: int = 1000) -> list[RefusedReading]:
        """Return up to `limit` refused readings with their reasons."""
        with self._file.reading() as session:
            found = table.rows_where(session, f"WHERE state = {QUARANTINED} ORDER BY series, time LIMIT ?", (limit,))
            return [RefusedReading(reading, *_reason(session, reading)) for _, reading in found]

    def release_quarantined(self) -> int:
        """Let every refused reading be sent again (after the cause was mended); return how many."""
        with self._file.writing() as session:
            released = session.connection.execute(
                f"UPDATE reading SET state = {WAITING} WHERE (series, time) IN (SELECT series, time FROM quarantine)"
            ).rowcount
            session.connection.execute("DELETE FROM quarantine")
            session.connection.execute(
                "UPDATE tally SET waiting = waiting + ?1, quarantined = quarantined - ?1", (released,)
            )
            return released

    def forget_oldest(self) -> int:
        """Forget the oldest keys if the ledger is over its limit or room is short; return how many were forgotten.

        Over the limit a tenth goes, for want of room a portion. Readings that wait or are quarantined never do.
        """
        is_short = self._file.room_bytes() < 2 * self._file.reserve_bytes()
        with self._file.reading() as session:
            (ledger,) = session.connection.execute("SELECT ledger FROM tally").fetchone()
            if ledger == 0 or (ledger <= self._max_ledger and not is_short):
                return 0
            surplus = _FORGOTTEN_FOR_ROOM if is_short else ledger - self._max_ledger + self._max_ledger // 10
            (until,) = session.connection.execute(
                f"SELECT max(time) FROM (SELECT time FROM reading WHERE state = {FORWARDED} ORDER BY time LIMIT ?)",
                (surplus,),
            ).fetchone()
            series = [row[0] for row in session.connection.execute("SELECT series FROM series")]
        return sum(
            self._forget(series[first : first + _SERIES_AT_ONCE], until)
            for first in range(0, len(series), _SERIES_AT_ONCE)
        )

    # ------------------------------------------------------------------------------------------------- being asked

    def between(
        self, sensor_id: str, start: datetime, end: datetime, *, known_at: datetime | None, limit: int | None
    ) -> list[Reading]:
        """Return what the spool and its ledger hold; as `ReadingStore.between`."""
        with self._file.reading() as session:
            return table.between(session, sensor_id, start, end, known_at=known_at, limit=limit)

    def latest(
        self, sensor_ids: Sequence[str], *, at: datetime, known_at: datetime | None, trusted_only: bool
    ) -> dict[str, Reading]:
        """Return the newest that the spool and its ledger hold; as `ReadingStore.latest`."""
        with self._file.reading() as session:
            return table.latest(session, sensor_ids, at=at, known_at=known_at, trusted_only=trusted_only)

    def withdrawn(self, sensor_ids: Sequence[str], *, by: datetime) -> set[Key]:
        """Return the keys (observed_at <= by) that are not trusted and that the server may still call trusted."""
        question = (
            f"INDEXED BY waiting WHERE state = {WAITING} AND series = ? AND time <= ? AND {table.UNTRUSTED}",
            f"WHERE (series, time) IN (SELECT series, time FROM quarantine WHERE series = ? AND time <= ?) "
            f"AND {table.UNTRUSTED}",
        )
        keys: set[Key] = set()
        with self._file.reading() as session:
            for sensor_id in sensor_ids:
                values = (table.series_of(session, sensor_id), to_microseconds(by))
                for condition in question:
                    keys.update(reading.key for _, reading in table.rows_where(session, condition, values))
        return keys

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
        self._require_reserve()
        with self._file.writing() as session:
            session.connection.execute("UPDATE tally SET readings = readings")
            (waiting,) = session.connection.execute("SELECT waiting FROM tally").fetchone()
        if waiting >= self._max_waiting:
            raise StorageFullError(f"{waiting} readings wait for InfluxDB in {self._file.path}: no more may")

    def close(self) -> None:
        """Close the file; everything in it stays durable."""
        self._file.close()

    def _too_many(self, waiting: int) -> StorageFullError:
        return StorageFullError(
            f"{waiting} readings wait for InfluxDB in {self._file.path}, at most {self._max_waiting} may: "
            "bring InfluxDB back (h2twin doctor says what is wrong); nothing of this batch was stored"
        )

    def _require_reserve(self) -> None:
        """Raise StorageFullError when only the room is left that forwarding needs to empty the spool."""
        reserve = self._file.reserve_bytes()
        self._make_room_for_journal()
        if self._file.room_bytes() < reserve or self._file.free_on_disk() < reserve / 2:
            raise StorageFullError(
                f"no room left for {self._file.path}: the last {reserve / 1e6:.0f} MB are kept for emptying it; free "
                "disk space, raise its limit, or bring InfluxDB back; nothing was stored"
            )

    def _is_disk_short(self) -> bool:
        """Whether the disk could soon not hold what is in the journal: the file may grow by all of it."""
        return self._file.free_on_disk() < 2 * self._file.reserve_bytes() + self._file.journal_bytes()

    def _make_room_for_journal(self) -> None:
        """Every change goes to the journal first, also one that makes room: keep the journal short while room is."""
        if self._is_disk_short():
            self._file.give_back()

    def _forget(self, series: Collection[int], until: int) -> int:
        forgotten = 0
        self._make_room_for_journal()
        with self._file.writing() as session:
            for number in series:
                rows = session.connection.execute(
                    f"DELETE FROM reading WHERE series = ? AND time <= ? AND state = {FORWARDED}", (number, until)
                ).rowcount
                if rows:
                    _raise_floor(session, number, until + 1)
                forgotten += rows
            session.connection.execute(
                "UPDATE tally SET ledger = ledger - ?, forgettings = forgettings + ?",
                (forgotten, 1 if forgotten else 0),
            )
        return forgotten


def _move(session: Session, readings: Sequence[Reading], state: int) -> int:
    """Move readings that still wait, judged as they are here, to `state`; return how many did."""
    statement = f"""
        UPDATE reading SET state = {state}
        WHERE series = ? AND time = ? AND state = {WAITING} AND value = ? AND quality = ? AND reasons = ?
    """
    rows = [(*_key(session, reading), *table.verdict_of(session, reading)) for reading in readings]
    return session.connection.executemany(statement, rows).rowcount if rows else 0


def _state_of(session: Session, reading: Reading) -> int | None:
    series = table.series_of(session, reading.sensor_id)
    row = session.connection.execute(
        "SELECT state FROM reading WHERE series = ? AND time = ?", (series, to_microseconds(reading.observed_at))
    ).fetchone()
    return None if row is None else int(row[0])


def _let_wait(session: Session, reading: Reading) -> None:
    session.connection.execute(
        f"UPDATE reading SET state = {WAITING} WHERE series = ? AND time = ? AND state = {FORWARDED}",
        _key(session, reading),
    )


def _judged_as(reading: Reading, judged: Reading) -> Reading:
    return replace(reading, value=judged.value, quality=judged.quality, reasons=judged.reasons)


def _key(session: Session, reading: Reading) -> tuple[int, int]:
    return table.make_series(session, reading.sensor_id), to_microseconds(reading.observed_at)


def _reason(session: Session, reading: Reading) -> tuple[str, str]:
    line, reason = session.connection.execute(
        "SELECT line, reason FROM quarantine WHERE series = ? AND time = ?", _key(session, reading)
    ).fetchone()
    return str(line), str(reason)


def _floor(session: Session, sensor_id: str) -> int:
    series = table.series_of(session, sensor_id)
    row = session.connection.execute("SELECT floor FROM series WHERE series = ?", (series,)).fetchone()
    return int(row[0]) if row else FIRST_US


def _raise_floor(session: Session, series: int, floor: int) -> None:
    session.connection.execute("UPDATE series SET floor = max(floor, ?) WHERE series = ?", (floor, series))


def _holds(session: Session, sensor_id: str, time: int) -> bool:
    series = table.series_of(session, sensor_id)
    row = session.connection.execute("SELECT 1 FROM reading WHERE series = ? AND time = ?", (series, time)).fetchone()
    return row is not None
