"""Watches what comes in for jumps of `seq` and pauses, and says where gaps are or may have been filled.

It remembers of each sensor its newest reading; of a sensor it has not met yet, the newest that is stored, so a gap
across our own downtime is found too. A jump forward is a gap at once: it is noted before the reading is stored. Whether
anything else changed a gap (a late reading, several ingesters that share one sensor's readings) cannot be seen from
here, so the place is put down as a `Place` to be looked at again in the store, which is the truth (`ingest.gap_book`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from ingest.notes import Notes
from ingest.observed_order import in_observed_order
from twin.errors import UnavailableError
from twin.events import EPISODE, EventKind, event
from twin.gaps import gap_between, is_counted, is_restart
from twin.ports import ReadingStore
from twin.readings import Reading, Sensor

END_OF_TIME = datetime(2200, 1, 1, tzinfo=UTC)
"""No reading lies behind it (`ingest.decoders.times`)."""
SETTLED_AFTER_S = 1.0
SHARED_SETTLED_AFTER_S = 10.0
"""So long what the other ingesters have of a sensor may take to be stored."""
SHARED_LOOK_BACK = timedelta(minutes=15)
"""With several ingesters, what one of them had put down and not looked at when it was killed is looked at again."""


class Sensors(Protocol):
    """Where the watch looks a sensor up."""

    def get(self, sensor_id: str, /) -> Sensor | None:
        """Return the sensor or None."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """A sensor's time in which gaps must be looked up again: around the readings from `start` to `end`.

    `due_s` and `since_s` are seconds of the watch's own clock: when to look, and when it was first put down.
    """

    sensor_id: str
    gateway_id: str
    start: datetime
    end: datetime
    due_s: float
    since_s: float


class GapWatch:
    """An `Observer`. Its memory holds at most `most_sensors` sensors, the longest unheard goes first.

    `shared` says that other ingesters may get readings of the same sensors.
    """

    def __init__(
        self,
        store: ReadingStore,
        sensors: Sensors,
        *,
        shared: bool = False,
        most_sensors: int = 500_000,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._sensors = sensors
        self._shared = shared
        self._most_sensors = most_sensors
        self._seconds = seconds
        self._newest: dict[str, Reading] = {}
        self._unmet: set[str] = set()  # heard, but the reading before their first one is not known
        self._restart_noted_at: dict[str, datetime] = {}
        self._wait_s = SHARED_SETTLED_AFTER_S if shared else SETTLED_AFTER_S
        self._places: dict[tuple[str, date], dict[float, Place]] = {}  # by when they are due
        self._lock = threading.Lock()

    def observe(self, readings: Sequence[Reading], gateways: Sequence[str]) -> Notes:
        """Return the gaps and restarts that these readings show; never raises because the store is away."""
        notes = Notes()
        newest, alone = self._newest, not self._shared
        unknown = {reading.sensor_id for reading in readings if reading.sensor_id not in newest} - self._unmet
        if unknown:
            self._meet(unknown)
        for place in in_observed_order(readings):
            reading = readings[place]
            before = newest.get(reading.sensor_id)
            if reading.reasons and not is_counted(reading):
                continue
            if before is not None and alone and reading.observed_at > before.observed_at:
                seq, seq_before = reading.seq, before.seq
                if seq is not None and seq_before is not None and seq == seq_before + 1:  # as nearly always
                    newest[reading.sensor_id] = reading
                    continue
            self._see(reading, before, gateways[place], notes)
        self._unmet.update(sensor_id for sensor_id in unknown if sensor_id not in newest)
        if len(newest) + len(self._unmet) > self._most_sensors:
            self._forget_some()
        return notes

    def take_due(self) -> list[Place]:
        """Hand over the places whose time has come; whoever takes them looks at them or puts them back."""
        now = self._seconds()
        due = []
        with self._lock:
            for key, places in list(self._places.items()):
                due += [places.pop(due_s) for due_s in list(places) if due_s <= now]
                if not places:
                    del self._places[key]
        return due

    def put_back(self, place: Place, *, wait_s: float) -> None:
        """Put a place down again, to be looked at after a while."""
        self._put(replace(place, due_s=self._due_s(wait_s)))

    def age_s(self, place: Place) -> float:
        """Return since when the place was put down."""
        return self._seconds() - place.since_s

    def _see(self, reading: Reading, before: Reading | None, gateway: str, notes: Notes) -> None:
        sensor_id = reading.sensor_id
        if before is None:
            self._newest[sensor_id] = reading
            if self._shared or sensor_id in self._unmet:
                self._unmet.discard(sensor_id)
                self._look_again(reading, gateway)
        elif reading.observed_at > before.observed_at:
            self._newest[sensor_id] = reading
            self._compare(before, reading, gateway, notes)
        elif reading.observed_at < before.observed_at:
            self._look_again(reading, gateway)

    def _compare(self, before: Reading, reading: Reading, gateway: str, notes: Notes) -> None:
        sensor = self._sensors.get(reading.sensor_id)
        if sensor is None:
            self._look_again(reading, gateway)
            return
        now = reading.available_at
        gap = gap_between(before, reading, every_s=sensor.expected_every_s, gateway_id=gateway, found_at=now)
        if self._shared:
            if gap is not None or _may_fill_a_gap(reading):
                self._look_again(reading, gateway)
            return
        if gap is not None:
            notes.gaps.append(gap)
        if is_restart(before, reading):
            self._note_restart(before, reading, notes)

    def _note_restart(self, before: Reading, reading: Reading, notes: Notes) -> None:
        """Note it once an episode: a device that counts badly must not fill the log."""
        now, noted_at = reading.available_at, self._restart_noted_at.get(reading.sensor_id)
        if noted_at is None or now - noted_at > EPISODE:
            self._restart_noted_at[reading.sensor_id] = now
            detail = f"began to count anew: seq {reading.seq} after {before.seq}"
            notes.events.append(event(EventKind.DEVICE_STATUS, reading.sensor_id, now, detail))

    def _meet(self, sensor_ids: set[str]) -> None:
        """Remember the newest stored reading of sensors that are heard for the first time.

        Where the store is away, or the newest one is from the future of its time, the place around their first reading
        is looked at later.
        """
        try:
            found = self._store.latest(sorted(sensor_ids), at=END_OF_TIME, trusted_only=False)
        except UnavailableError:
            self._unmet |= sensor_ids
            return
        for sensor_id, reading in found.items():
            if not is_counted(reading):
                self._unmet.add(sensor_id)
                continue
            self._newest[sensor_id] = reading
            if self._shared:
                self._look_again(reading, "", back=SHARED_LOOK_BACK)

    def _forget_some(self) -> None:
        """Forget those of whom no reading could be counted, and the longest unheard tenth."""
        self._unmet.clear()
        by_age = sorted(self._newest.values(), key=lambda reading: reading.available_at)
        for reading in by_age[: max(0, len(by_age) - self._most_sensors * 9 // 10)]:
            del self._newest[reading.sensor_id]
            self._restart_noted_at.pop(reading.sensor_id, None)

    def _look_again(self, reading: Reading, gateway: str, *, back: timedelta = timedelta(0)) -> None:
        at = reading.observed_at
        self._put(Place(reading.sensor_id, gateway, at - back, at, self._due_s(self._wait_s), self._seconds()))

    def _due_s(self, wait_s: float) -> float:
        """Return when to look: not before the wait is over, and at whole waits, so that places can be joined."""
        return (math.floor((self._seconds() + wait_s) / self._wait_s) + 1) * self._wait_s

    def _put(self, place: Place) -> None:
        """Put a place down, joined with what is down already for the sensor's same day and is due at the same time.

        What is overdue is joined too: where looking takes longer than waiting, a few stay for each day and no more.
        """
        now = self._seconds()
        with self._lock:
            places = self._places.setdefault((place.sensor_id, place.start.date()), {})
            first, *later = sorted(due_s for due_s in places if due_s <= now) or [now]
            for due_s in later:
                places[first] = _joined(places[first], places.pop(due_s))
            held = places.get(place.due_s)
            places[place.due_s] = place if held is None else _joined(held, place)


def _joined(held: Place, more: Place) -> Place:
    return replace(
        more,
        gateway_id=held.gateway_id or more.gateway_id,
        start=min(held.start, more.start),
        end=max(held.end, more.end),
        since_s=max(held.since_s, more.since_s),
    )


def _may_fill_a_gap(reading: Reading) -> bool:
    """Whether a gap around this reading may stand in the ledger, found by another ingester.

    That one waited `SHARED_SETTLED_AFTER_S` after a newer reading before it believed in a gap; so late is this one.
    """
    return (reading.available_at - reading.observed_at).total_seconds() > SHARED_SETTLED_AFTER_S / 2
