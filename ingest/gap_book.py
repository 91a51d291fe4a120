"""Holds the ledger of gaps against the stored readings, which are the truth, and puts it right where they differ."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from ingest.gap_watch import END_OF_TIME
from twin.clock import Clock
from twin.gaps import WAITING, Gap, GapState, gaps_among, is_counted, reconciled
from twin.ports import GapLedger, ReadingStore
from twin.readings import Reading, Sensor

_INSTANT = timedelta(microseconds=1)
_AT_ONCE = 5_000
_NEIGHBOURS = 20
UNSTORED_FOR = timedelta(hours=1)
"""A gap is noted before the reading after it is stored; one that is not stored by then never will be."""


class GapBook:
    """Looks gaps up in the store. Doing so twice, or from two processes at once, changes nothing."""

    def __init__(self, store: ReadingStore, ledger: GapLedger, clock: Clock) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock

    def settle(self, sensor: Sensor, gateway_id: str, start: datetime, end: datetime) -> None:
        """Make the ledger right around the readings from `start` to `end`, up to the neighbours on both sides.

        Raises:
            UnavailableError: If store or registry is away; then nothing is changed, or all.
        """
        before, after = self._before(sensor.sensor_id, start), self._after(sensor.sensor_id, end)
        start = before.observed_at if before is not None else start
        end = after.observed_at if after is not None else end
        around = self._ledger.gaps(sensor_id=sensor.sensor_id, states=WAITING, end=start, limit=1).items
        if around and around[0].end > start:
            start, end = around[0].start, max(end, around[0].end)
        self._put_right(sensor, gateway_id, start, end)

    def recheck(self, gap: Gap, sensor: Sensor) -> list[Gap]:
        """Make the ledger right within one gap; return what of it is still missing, as it is kept now.

        Nothing is returned, or changed, while the readings around it are not stored yet.

        Raises:
            UnavailableError: If store or registry is away.
        """
        if not self._is_stored(gap.sensor_id, gap.start) or not self._is_stored(gap.sensor_id, gap.end):
            if self._clock.now() - gap.found_at < UNSTORED_FOR:
                return []
            self.settle(sensor, gap.gateway_id, gap.start, gap.end)
        else:
            self._put_right(sensor, gap.gateway_id, gap.start, gap.end)
        around = self._known(gap.sensor_id, gap.start, gap.end)
        return [held for held in around if held.state is not GapState.CLOSED]

    def is_stored(self, sensor_id: str, at: datetime) -> bool:
        """Whether any reading of the sensor is stored for this very moment."""
        return bool(self._store.between(sensor_id, at, at + _INSTANT))

    def _put_right(self, sensor: Sensor, gateway_id: str, start: datetime, end: datetime) -> None:
        """Compare ledger and store from `start` to `end`, and on to where gaps that begin there end."""
        now = self._clock.now()
        known = self._known(sensor.sensor_id, start, end)
        while (reach := max((gap.end for gap in known if gap.state in WAITING), default=end)) > end:
            end = reach
            known = self._known(sensor.sensor_id, start, end)
        readings = self._readings(sensor.sensor_id, start, end + _INSTANT)
        every_s = sensor.expected_every_s
        found = list(gaps_among(readings, every_s=every_s, gateway_id=gateway_id, found_at=now))
        changed = reconciled(known, found, at=now)
        if changed:
            self._ledger.save_gaps(changed)

    def _known(self, sensor_id: str, start: datetime, end: datetime) -> list[Gap]:
        found: list[Gap] = []
        cursor = None
        while True:
            page = self._ledger.gaps(sensor_id=sensor_id, start=start, end=end, limit=1000, cursor=cursor)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                return found

    def _readings(self, sensor_id: str, start: datetime, end: datetime) -> Iterator[Reading]:
        """Yield readings in order of time without holding a year of them in memory."""
        while True:
            part = self._store.between(sensor_id, start, end, limit=_AT_ONCE)
            yield from part
            if len(part) < _AT_ONCE:
                return
            start = part[-1].observed_at + _INSTANT

    def _is_stored(self, sensor_id: str, at: datetime) -> bool:
        return any(is_counted(reading) for reading in self._store.between(sensor_id, at, at + _INSTANT))

    def _before(self, sensor_id: str, at: datetime) -> Reading | None:
        """Return the nearest counted reading before a moment."""
        for _ in range(_NEIGHBOURS):
            found = self._store.latest([sensor_id], at=at - _INSTANT, trusted_only=False).get(sensor_id)
            if found is None or is_counted(found):
                return found
            at = found.observed_at
        return None

    def _after(self, sensor_id: str, at: datetime) -> Reading | None:
        """Return the nearest counted reading after a moment."""
        following = self._store.between(sensor_id, at + _INSTANT, END_OF_TIME, limit=_NEIGHBOURS)
        return next(filter(is_counted, following), None)
