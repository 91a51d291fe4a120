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
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from ingest.notes import Notes
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


@dataclass(slots=True)
class _Memory:
    """The newest reading of a sensor, and when it was last said to have begun to count anew."""

    newest: Reading | None
    restart_noted_at: datetime | None = None


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
        self._memory: OrderedDict[str, _Memory] = OrderedDict()
        self._wait_s = SHARED_SETTLED_AFTER_S if shared else SETTLED_AFTER_S
        self._places: dict[tuple[str, date, float], Place] = {}
        self._lock = threading.Lock()

    def observe(self, readings: Sequence[Reading], gateways: Sequence[str]) -> Notes:
        """Return the gaps and restarts that these readings show; never raises because the store is away."""
        notes = Notes()
        self._meet_new_ones(readings)
        for reading, gateway in zip(readings, gateways, strict=True):
            if is_counted(reading):
                self._see(reading, gateway, notes)
        while len(self._memory) > self._most_sensors:
            self._memory.popitem(last=False)
        return notes

    def take_due(self) -> list[Place]:
        """Hand over the places whose time has come; whoever takes them looks at them or puts them back."""
        now = self._seconds()
        with self._lock:
            due = {key: place for key, place in self._places.items() if place.due_s <= now}
            for key in due:
                del self._places[key]
        return list(due.values())

    def put_back(self, place: Place, *, wait_s: float) -> None:
        """Put a place down again, to be looked at after a while."""
        self._put(replace(place, due_s=self._due_s(wait_s)))

    def age_s(self, place: Place) -> float:
        """Return since when the place was put down."""
        return self._seconds() - place.since_s

    def _see(self, reading: Reading, gateway: str, notes: Notes) -> None:
        memory = self._memory.get(reading.sensor_id)
        if memory is None:  # it could not be looked up: the store was away
            self._memory[reading.sensor_id] = _Memory(reading)
            self._look_again(reading, gateway)
            return
        before = memory.newest
        if before is not None and reading.observed_at <= before.observed_at:
            if reading.observed_at < before.observed_at:
                self._look_again(reading, gateway)
            return
        memory.newest = reading
        self._memory.move_to_end(reading.sensor_id)
        if before is not None:
            self._compare(before, reading, gateway, memory, notes)
        elif self._shared:
            self._look_again(reading, gateway)

    def _compare(self, before: Reading, reading: Reading, gateway: str, memory: _Memory, notes: Notes) -> None:
        sensor = self._sensors.get(reading.sensor_id)
        if sensor is None:
            self._look_again(reading, gateway)
            return
        now = reading.available_at
        gap = gap_between(before, reading, every_s=sensor.expected_every_s, gateway_id=gateway, found_at=now)
        if gap is not None and self._shared:
            self._look_again(reading, gateway)
        elif gap is not None:
            notes.gaps.append(gap)
        noted = memory.restart_noted_at
        if not self._shared and is_restart(before, reading) and (noted is None or now - noted > EPISODE):
            memory.restart_noted_at = now
            detail = f"began to count anew: seq {reading.seq} after {before.seq}"
            notes.events.append(event(EventKind.DEVICE_STATUS, reading.sensor_id, now, detail))

    def _meet_new_ones(self, readings: Sequence[Reading]) -> None:
        """Remember the newest stored reading of sensors that are heard for the first time."""
        first = {r.sensor_id for r in readings if r.sensor_id not in self._memory and is_counted(r)}
        if not first:
            return
        try:
            newest = self._store.latest(sorted(first), at=END_OF_TIME, trusted_only=False)
        except UnavailableError:
            return
        for sensor_id in first:
            known = newest.get(sensor_id)
            if known is not None and not is_counted(known):
                continue  # it is from the future of its time: the place around the reading is looked at instead
            self._memory[sensor_id] = _Memory(known)
            if self._shared and known is not None:
                self._look_again(known, "", back=SHARED_LOOK_BACK)

    def _look_again(self, reading: Reading, gateway: str, *, back: timedelta = timedelta(0)) -> None:
        at = reading.observed_at
        self._put(Place(reading.sensor_id, gateway, at - back, at, self._due_s(self._wait_s), self._seconds()))

    def _due_s(self, wait_s: float) -> float:
        """Return when to look: not before the wait is over, and at whole waits, so that places can be joined."""
        return (math.floor((self._seconds() + wait_s) / self._wait_s) + 1) * self._wait_s

    def _put(self, place: Place) -> None:
        """Put a place down, joined with what is down already for the sensor's same day and is due at the same time."""
        key = (place.sensor_id, place.start.date(), place.due_s)
        with self._lock:
            held = self._places.get(key, place)
            self._places[key] = replace(
                place,
                gateway_id=held.gateway_id or place.gateway_id,
                start=min(held.start, place.start),
                end=max(held.end, place.end),
                since_s=max(held.since_s, place.since_s),
            )
