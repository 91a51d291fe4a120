"""The reading store of the larger installation: InfluxDB 2 behind a durable spool.

Append: a batch is committed to the spool (SQLite, WAL, `synchronous=FULL`) and is then safe; a thread carries it to
the server. Whether a reading is new, a repeat or a conflict is decided by the spool's ledger of keys; a key that is
older than the ledger reaches back is asked of the server *before* anything is stored. If the server is away just then,
nothing of the batch is stored and the caller is told to come back: a wrong "stored" or "duplicate" would be worse.
The first append to a fresh spool needs the server once, to learn up to where the bucket is filled.

Read: what the server says, overlaid with what the spool and its ledger hold, so that everything appended is seen,
forwarded or not, refused or not. The spool is asked first: a reading that moves meanwhile is seen twice, never missed.
With the server away a read raises: half an answer looks like a whole one.

The ledger knows what went through this spool. Where other spools carry readings to the same bucket, each of them must
be told so (`has_company`): then the server is asked before it is written to, and what it has is told by it alone.
Without it the same key arriving through two spools with different values would be overwritten by the later one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from twin.errors import UnavailableError
from twin.ports import AppendResult, DeadLetters, Fullness, RefusedReading, StoreStats
from twin.readings import Reading
from twin.rollups import Every, Rollup
from twin.storage import readings_table as table
from twin.storage.influx_forwarder import Forwarder
from twin.storage.influx_lines import FIRST_MOMENT
from twin.storage.influx_server import InfluxServer
from twin.storage.readings_rows import FIRST_US, from_microseconds, is_storable, to_microseconds
from twin.storage.rollup_sums import LENGTHS_US, as_rollups, summed_up, windows_within
from twin.storage.spool import Answer, Question, Spool

_POLL_S = 0.02
_MICROSECOND = timedelta(microseconds=1)
_LOOKING_BACK = (timedelta(days=1), timedelta(days=30), None)


class InfluxReadings:
    """A `twin.ports.ReadingStore` in a bucket, behind the spool file `spool_path`.

    Up to `max_waiting` readings may wait for the server, in a spool of up to `max_bytes` (None: as the disk allows);
    about `max_ledger` keys that do not wait are remembered (60 bytes each). Every request to the server is bounded by
    `timeout_s`. If it `has_company`, other spools write to the bucket too, which the spool remembers for all who open
    it; `conflicts` takes what came through one of them first with another value (see influx_rivals.py). The spool is
    opened as `ReadingsFile` says, with the same errors; the server need not be there.

    Raises:
        ConfigError: If the spool holds readings for another bucket.
    """

    def __init__(
        self,
        url: str,
        token: str,
        org: str,
        bucket: str,
        spool_path: Path,
        *,
        max_waiting: int = 5_000_000,
        max_ledger: int = 2_000_000,
        max_bytes: int | None = None,
        timeout_s: float = 30.0,
        busy_timeout_s: float = 10.0,
        has_company: bool = False,
        conflicts: DeadLetters | None = None,
    ) -> None:
        self._destination = f"bucket {bucket!r} of organisation {org!r}"
        self._timeout_s = timeout_s
        self._has_met = False
        self._meeting = threading.Lock()
        self._spool = Spool(
            spool_path,
            max_waiting=max_waiting,
            max_ledger=max_ledger,
            max_bytes=max_bytes,
            busy_timeout_s=busy_timeout_s,
        )
        self._spool.require_destination(self._destination)
        if has_company:
            self._spool.has_company()
        self._server = InfluxServer(url, token, org, bucket, timeout_s=timeout_s)
        lock_path = spool_path.with_name(f"{spool_path.name}.forwarding")
        self._forwarder = Forwarder(self._spool, self._server, lock_path, conflicts=conflicts)
        self._forwarder.start()

    def append(self, readings: Sequence[Reading]) -> AppendResult:
        """Store a batch durably in the spool, all or nothing; see `ReadingStore.append`.

        Raises:
            InputError: If a reading could not come back exactly (not finite, no sensor id).
            StorageFullError: If too many readings wait or the disk is full.
            UnavailableError: If the spool cannot be written, or a key is older than the ledger and the server is away.
        """
        table.prepared(readings)
        self._meet_bucket()
        result = self._spool.append(readings)
        while isinstance(result, Question):
            result = self._spool.append(readings, self._answer(result))
        self._forwarder.wake()
        return result

    def requalify(self, readings: Sequence[Reading]) -> int:
        """Give stored readings a new value, quality and reasons through the spool; see `ReadingStore.requalify`.

        Raises:
            InputError: If a value could not come back exactly.
            StorageFullError: If too many readings wait or the disk is full.
            UnavailableError: If the spool cannot be written, or a key is older than the ledger and the server is away.
        """
        table.prepared(readings)
        self._meet_bucket()
        changed = self._spool.requalify(readings)
        while isinstance(changed, Question):
            changed = self._spool.requalify(readings, self._answer(changed))
        self._forwarder.wake()
        return changed

    def between(
        self,
        sensor_id: str,
        start: datetime,
        end: datetime,
        *,
        known_at: datetime | None = None,
        limit: int | None = None,
    ) -> list[Reading]:
        """Return readings with start <= observed_at < end in order of time; see `ReadingStore.between`.

        Raises:
            UnavailableError: If the server is away.
        """
        if not is_storable(sensor_id) or to_microseconds(start) >= to_microseconds(end):
            return []
        here = self._spool.between(sensor_id, start, end, known_at=known_at, limit=limit)
        there = self._server.between(sensor_id, start, end, known_at=known_at, limit=limit)
        return _merged(there, here)[:limit]

    def latest(
        self,
        sensor_ids: Sequence[str],
        *,
        at: datetime,
        known_at: datetime | None = None,
        trusted_only: bool = True,
    ) -> dict[str, Reading]:
        """Return each sensor's newest reading with observed_at <= at; see `ReadingStore.latest`.

        Raises:
            UnavailableError: If the server is away.
        """
        wanted = [sensor_id for sensor_id in sensor_ids if is_storable(sensor_id)]
        here = self._spool.latest(wanted, at=at, known_at=known_at, trusted_only=trusted_only)
        withdrawn = self._spool.withdrawn(wanted, by=at) if trusted_only else set()
        there = self._server.latest(wanted, at=at, known_at=known_at, trusted_only=trusted_only)
        for sensor_id, reading in list(there.items()):
            if reading.key in withdrawn:
                del there[sensor_id]
                there.update(self._newest_trusted(sensor_id, reading.observed_at, known_at))
        newest = {reading.sensor_id: reading for reading in _merged(there.values(), here.values())}
        return {sensor_id: newest[sensor_id] for sensor_id in wanted if sensor_id in newest}

    def rollups(
        self, sensor_ids: Sequence[str], start: datetime, end: datetime, every: Every
    ) -> dict[str, list[Rollup]]:
        """Return the windows with start <= beginning < end, from the readings; see `ReadingStore.rollups`.

        Raises:
            UnavailableError: If the server is away.
        """
        first, last = windows_within(start, end, every)
        moment = cache(from_microseconds)
        found: dict[str, list[Rollup]] = {}
        for sensor_id in sensor_ids:
            readings = self.between(sensor_id, moment(first), moment(last)) if first < last else []
            rows = [(to_microseconds(r.observed_at), r.value, r.is_trusted) for r in readings]
            found[sensor_id] = as_rollups(summed_up(rows, LENGTHS_US[every]), moment)
        return found

    def stats(self) -> StoreStats:
        """Return how many readings are kept, wait and are quarantined; does not ask the server."""
        return self._spool.stats()

    def fullness(self) -> list[Fullness]:
        """Return how full the spool is by each of its limits; does not ask the server."""
        return self._spool.fullness()

    def check(self) -> None:
        """Return if the spool can be written, the bucket answers and readings flow; see `ReadingStore.check`."""
        self._spool.check()
        self._server.check()
        if self._forwarder.trouble is not None:
            raise UnavailableError(f"{self._spool.stats().pending} readings wait: {self._forwarder.trouble}")

    def flush(self, timeout_s: float) -> None:
        """Wait until nothing waits in the spool.

        Raises:
            UnavailableError: If something still waits after `timeout_s` seconds; says what and why.
        """
        end = time.monotonic() + timeout_s
        while pending := self._spool.stats().pending:
            self._forwarder.hurry()
            if time.monotonic() > end:
                trouble = self._forwarder.trouble or "the server is slow, or another process forwards this spool"
                raise UnavailableError(f"{pending} readings still wait after {timeout_s:g} s: {trouble}")
            time.sleep(_POLL_S)

    def quarantined(self, limit: int = 1000) -> list[RefusedReading]:
        """Return up to `limit` readings that the server refused, with the line sent and the server's reason."""
        return self._spool.quarantined(limit)

    def release_quarantined(self) -> int:
        """Send every quarantined reading again, after its cause was mended; return how many."""
        released = self._spool.release_quarantined()
        self._forwarder.wake()
        return released

    def close(self) -> None:
        """Stop forwarding and close; what was appended is durable and is forwarded after the next start."""
        self._forwarder.stop(self._timeout_s + 1)
        self._spool.close()
        self._server.close()

    def _answer(self, question: Question) -> Answer:
        return Answer(self._server.held(question.keys), question.forgettings)

    def _newest_trusted(self, sensor_id: str, by: datetime, known_at: datetime | None) -> dict[str, Reading]:
        """Return the newest trusted reading with observed_at <= `by` where the server's own answer is outdated."""
        for window in _LOOKING_BACK:
            start = from_microseconds(FIRST_US) if window is None else max(by, FIRST_MOMENT + window) - window
            for reading in reversed(self.between(sensor_id, start, by + _MICROSECOND, known_at=known_at)):
                if reading.is_trusted:
                    return {sensor_id: reading}
        return {}

    def _meet_bucket(self) -> None:
        """Learn once what a bucket held before this spool knew it."""
        if self._has_met:
            return
        with self._meeting:
            if self._spool.destination() is None:
                self._spool.meet(self._destination, self._server.newest_times(), self._server.count())
            self._has_met = True


def _merged(there: Iterable[Reading], here: Iterable[Reading]) -> list[Reading]:
    """Join by key, the spool's rows first in rank: they are what was acknowledged; in order of time."""
    readings = {reading.key: reading for reading in there}
    readings.update((reading.key, reading) for reading in here)
    return sorted(readings.values(), key=lambda reading: reading.observed_at)
