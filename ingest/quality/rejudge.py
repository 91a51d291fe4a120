"""Judges windows of the past again, from the store, in order of observed time: so the order of arrival does no harm.

A window is kept by the gate's notes before the readings it is about are stored, and once more after; it is settled
here when the verdicts are stored. So a crash anywhere leaves a window too many, never one too few.

Read are the sensor's readings in the window, its look-back before, and after it up to the second usable one (the next
reading's verdict rests on the one before it, and whether it is a spike on the one after). A window of a sensor that
others are compared with is theirs too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from ingest.quality.gate import unit_event
from ingest.quality.in_order import OrderedJudgement
from ingest.quality.limits import QualityLimits
from ingest.quality.profile import Profile, profile_of
from ingest.quality.stored_past import StoredPast
from twin.events import Event
from twin.ports import EventLog, ReadingStore, SensorRegistry, WindowLog
from twin.readings import Reading, Reason, Sensor
from twin.windows import Window, merged

_INTERVALS_AT_ONCE = 10_000


class Memory(WindowLog, SensorRegistry, EventLog, Protocol):
    """Where windows wait, sensors are known and events are kept; the registry is one."""


class Rejudge:
    """Takes the windows that wait, and mends the verdicts of what is stored in them."""

    def __init__(
        self, readings: ReadingStore, memory: Memory, *, limits: QualityLimits | None = None, at_once: int = 500
    ) -> None:
        self._readings = readings
        self._memory = memory
        self._limits = limits or QualityLimits()
        self._past = StoredPast(readings, self._limits)
        self._at_once = at_once

    def turn(self, stop: threading.Event | None = None) -> int:
        """Judge the windows that wait (at most `at_once` of them) and settle them; return how many.

        Told to `stop` meanwhile, it ends after the window in hand and settles none: all are judged again.

        Raises:
            UnavailableError: If a store is away; what was not settled waits on.
        """
        windows = self._memory.reopened(self._at_once)
        if not windows:
            return 0
        sensors = self._memory.sensors()
        for window in merged([*windows, *self._of_watchers(windows, sensors)]):
            if stop is not None and stop.is_set():
                return 0
            sensor = sensors.get(window.sensor_id)
            if sensor is not None:
                self._mend(sensor, window, sensors.get(sensor.redundant_with))
        self._memory.settle(windows)
        return len(windows)

    def _of_watchers(self, windows: Iterable[Window], sensors: Mapping[str, Sensor]) -> Iterator[Window]:
        watchers: dict[str, list[Sensor]] = {}
        for sensor in sensors.values():
            if sensor.redundant_with:
                watchers.setdefault(sensor.redundant_with, []).append(sensor)
        for window in windows:
            for watcher in watchers.get(window.sensor_id, ()):
                reach = self._profile(watcher).look_back + (window.end - window.start)
                yield Window(watcher.sensor_id, window.start, window.start + reach)

    def _mend(self, sensor: Sensor, window: Window, other: Sensor | None) -> None:
        profile = self._profile(sensor)
        longest = timedelta(seconds=_INTERVALS_AT_ONCE * sensor.expected_every_s)
        start = window.start
        while True:
            end = min(window.end, start + longest)
            self._mend_part(profile, start, end, other)
            if end >= window.end:
                return
            start = end

    def _mend_part(self, profile: Profile, start: datetime, end: datetime, other: Sensor | None) -> None:
        """Judge from a pause before `start` (the reading before it may be a spike) to the next reading after `end`."""
        begin = start - profile.pause_after
        inside = self._past.within(profile.sensor, begin, end)
        after = self._past.after(profile, end, wanted=2)
        if not inside and not after:
            return
        past = self._past.before(profile, begin)
        readings = [*past, *inside, *after]
        since = max(readings[0].observed_at, begin - profile.look_back)
        witness = self._past.witness(other, since, readings[-1].observed_at)
        judged = OrderedJudgement(profile, self._limits, witness).judge(readings)
        certain = len(readings) - (len(after) > 1)  # whether the last is a spike is not known here
        self._store(readings[len(past) : certain], judged[len(past) : certain])

    def _store(self, before: Sequence[Reading], judged: Sequence[Reading]) -> None:
        changed = [new for old, new in zip(before, judged, strict=True) if new != old]
        if changed:
            self._readings.requalify(changed)
            self._memory.log_events(list(_unit_events(before, changed)))

    def _profile(self, sensor: Sensor) -> Profile:
        return profile_of(sensor, self._limits)


def _unit_events(before: Sequence[Reading], changed: Sequence[Reading]) -> Iterator[Event]:
    """Yield one event if readings turned out to be in another unit, and none of them was known to be."""
    known = any(Reason.UNIT_SUSPECT in reading.reasons for reading in before)
    first = next((reading for reading in changed if Reason.UNIT_SUSPECT in reading.reasons), None)
    if first is not None and not known:
        yield unit_event(first, "those of another unit")
