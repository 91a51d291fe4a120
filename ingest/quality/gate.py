"""The gate every reading passes on its way in: it asks the checks and turns their answers into quality and reasons.

Verdicts follow the order of `observed_at`, never that of arrival. The gate is quick for readings that come in order:
each sensor's judge (`ingest.quality.sensor_judge`) remembers what it needs. A reading that is not newer than the newest
one seen is judged by itself alone, and its window of time is noted to be judged again from the store
(`ingest.quality.rejudge`): it may change the verdicts on those after it. So is a reading that its successor shows to
be a spike. `take_notes` hands the windows over; they must be kept with the readings.

Readings that are early (from the future) are judged alone and are nobody's past.

With a `history` (the reading store) a sensor's memory is read from it when the sensor is first seen, so that a restart
changes no verdict; a sensor whose past cannot be read quickly enough is judged alone and its windows are noted, until
it can. Where several ingesters share a subscription no gate sees the whole order: `shared` notes every window.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from ingest.notes import Notes
from ingest.observed_order import in_observed_order
from ingest.quality.clock_skew import ClockSkew
from ingest.quality.in_order import witness_lasting
from ingest.quality.limits import QualityLimits
from ingest.quality.own_merits import is_usable, reasons_of_itself
from ingest.quality.profile import profile_of
from ingest.quality.sensor_judge import NOTHING, Reasons, SensorJudge, Witness
from ingest.quality.stored_past import BEGINNING_OF_TIME, END_OF_TIME, StoredPast
from ingest.quality.verdict import flagged
from twin.errors import UnavailableError
from twin.events import Event, EventKind, event
from twin.ports import ReadingStore
from twin.readings import Reading, Reason, Sensor
from twin.windows import Window, merged

_TELL_UNIT_EVERY = timedelta(minutes=30)
_FORGET_SHARE = 0.1
_LATE: Reasons = (Reason.LATE,)


class Sensors(Protocol):
    """Where the gate looks a sensor up; a dictionary will do."""

    def get(self, sensor_id: str, /) -> Sensor | None:
        """Return the sensor or None."""
        ...

    def values(self) -> Iterable[Sensor]:
        """Return all sensors."""
        ...


class QualityGate:
    """Judges readings as they come. It remembers at most `most_sensors` sensors; those longest unheard go first.

    What one call has judged must be stored before the next call, which may read it from the `history`. At most
    `warm_up_s` seconds of each call are spent on that.
    """

    def __init__(
        self,
        sensors: Sensors,
        limits: QualityLimits | None = None,
        *,
        history: ReadingStore | None = None,
        shared: bool = False,
        most_sensors: int = 200_000,
        warm_up_s: float = 0.25,
    ) -> None:
        self._sensors = sensors
        self._limits = limits or QualityLimits()
        self._past = None if history is None else StoredPast(history, self._limits)
        self._shared = shared
        self._most_sensors = most_sensors
        self._warm_up_s = warm_up_s
        self._warm_until: float | None = None
        self._judges: dict[str, SensorJudge] = {}
        self._unsure_until: dict[str, datetime] = {}
        self._unsure_now: set[str] = set()
        self._witnesses: dict[str, Witness] = {}
        self._watchers: dict[str, set[str]] = {}
        self._skew = ClockSkew(self._limits)
        self._windows: list[Window] = []
        self._events: list[Event] = []
        self._unit_told: dict[str, datetime] = {}

    def judge(self, readings: Sequence[Reading], gateways: Sequence[str] | None = None) -> list[Reading]:
        """Return the readings with their quality and reasons, as they are given; values are never touched.

        Readings that come out of order within the call are judged in order of observed time.
        `gateways` names who sent each reading; without it no clock is judged. What was said of a reading before it
        came here (by its sender, for instance) stays and is added to.
        """
        skewed = self._skewed(readings, gateways) if gateways is not None else frozenset()
        sensor_of, judges = self._sensors.get, self._judges
        unsure, watchers, windows = self._unsure_until, self._watchers, self._windows
        from_future = -self._limits.ahead
        self._unsure_now.clear()
        self._warm_until = None
        judged = list(readings)
        for place in in_observed_order(readings):
            reading = readings[place]
            sensor_id, at = reading.sensor_id, reading.observed_at
            judge = judges.get(sensor_id)
            if judge is None or judge.sensor is not sensor_of(sensor_id):
                judge = self._judge_of(reading, readings)
            if (
                judge is None
                or judge.heard_at is None
                or at <= judge.heard_at
                or reading.reasons
                or judge.witness is not None
                or sensor_id in unsure
                or self._shared
                or not judge.profile.trusted_low <= reading.value <= judge.profile.trusted_high
                or (delay := reading.available_at - at) < from_future
            ):
                judged[place] = self._judge_carefully(reading, judge)
                continue
            reasons = judge.take(at, reading.value)
            if delay > judge.profile.late_after:
                reasons += _LATE
            if judge.spiked_at is not None:
                windows.append(Window(sensor_id, judge.spiked_at, at))
            if sensor_id in watchers:
                self._tell_watchers(sensor_id, at, reading.value)
            if reasons:
                judged[place] = self._with(reading, reasons, judge)
        if skewed and gateways is not None:
            judged = [
                flagged(reading, [Reason.CLOCK_SKEW]) if gateway in skewed else reading
                for reading, gateway in zip(judged, gateways, strict=True)
            ]
        if len(judges) > self._most_sensors:
            self._forget()
        return judged

    def take_notes(self) -> Notes:
        """Return what is to be kept with the readings judged since the last call: windows to judge again, events."""
        notes = Notes(events=list(self._events), windows=merged(self._windows))
        self._events.clear()
        self._windows.clear()
        return notes

    # ---------------------------------------------------------------------------------------- one reading

    def _judge_carefully(self, reading: Reading, judge: SensorJudge | None) -> Reading:
        """Judge a reading that is not simply the next good one of its sensor."""
        if judge is not None and reading.sensor_id in self._unsure_until and _is_next(reading, judge):
            judge = self._made_sure(judge, reading)
        reasons = reasons_of_itself(reading, judge.profile if judge is not None else None, self._limits.ahead)
        if judge is not None and Reason.EARLY not in reasons:
            reasons += self._reasons_of_order(reading, judge, usable=is_usable(reading, reasons))
        return self._with(reading, reasons, judge) if reasons or reading.reasons else reading

    def _reasons_of_order(self, reading: Reading, judge: SensorJudge, *, usable: bool) -> Reasons:
        sensor_id, at = reading.sensor_id, reading.observed_at
        is_next = _is_next(reading, judge)
        if not is_next or self._shared or sensor_id in self._unsure_until:
            self._windows.append(Window(sensor_id, at, at + judge.profile.look_back))
        if not is_next:
            if at != judge.heard_at:
                self._be_unsure(sensor_id, at + judge.profile.look_back)
            if usable and sensor_id in self._watchers:
                self._tell_watchers(sensor_id, at, reading.value)
            return NOTHING
        if judge.witness is not None and not _can_compare(judge, judge.witness, at):
            self._windows.append(Window(sensor_id, at, at + judge.profile.look_back))
            self._be_unsure(sensor_id, at + judge.profile.look_back)
        if not usable:
            return judge.take_unusable(at, reading.value)
        reasons = judge.take(at, reading.value)
        if judge.spiked_at is not None:
            self._windows.append(Window(sensor_id, judge.spiked_at, at))
        if sensor_id in self._watchers:
            self._tell_watchers(sensor_id, at, reading.value)
        return reasons

    def _with(self, reading: Reading, reasons: Iterable[Reason], judge: SensorJudge | None) -> Reading:
        found = flagged(reading, reasons)
        if judge is not None and judge.unit is not None and Reason.UNIT_SUSPECT in found.reasons:
            told_at = self._unit_told.get(reading.sensor_id)
            if told_at is None or reading.available_at - told_at >= _TELL_UNIT_EVERY:
                self._unit_told[reading.sensor_id] = reading.available_at
                self._events.append(unit_event(reading, judge.unit))
        return found

    def _tell_watchers(self, sensor_id: str, at: datetime, value: float) -> None:
        """Let those that are compared with this sensor know; who has compared that moment already is judged again."""
        if sensor_id in self._witnesses:
            self._witnesses[sensor_id].take(at, value)
        if not self._watchers[sensor_id] <= self._judges.keys():
            self._open(set(self._watchers[sensor_id]))
        for watcher_id in self._watchers[sensor_id]:
            watcher = self._judges.get(watcher_id)
            if watcher is None:
                continue
            has_compared = watcher.compared_at is not None and watcher.compared_at >= at
            if has_compared or watcher_id in self._unsure_until:
                end = at + watcher.profile.look_back
                self._windows.append(Window(watcher_id, at, end))
                self._be_unsure(watcher_id, end)

    def _skewed(self, readings: Sequence[Reading], gateways: Sequence[str]) -> frozenset[str]:
        """Learn from how long the newest reading of each message took, and return the gateways whose clock is wrong."""
        messages: dict[str, list[tuple[timedelta, datetime]]] = {}
        for reading, gateway in zip(readings, gateways, strict=True):
            at = reading.available_at
            took = at - reading.observed_at
            known = messages.get(gateway)
            if known is None:
                messages[gateway] = [(took, at)]
            elif known[-1][1] != at:
                known.append((took, at))
            elif took < known[-1][0]:
                known[-1] = (took, at)
        self._events += self._skew.learn(messages)
        return frozenset(gateway for gateway in messages if self._skew.offset_s(gateway))

    # ---------------------------------------------------------------------------------------- memory

    def _judge_of(self, reading: Reading, batch: Sequence[Reading]) -> SensorJudge | None:
        """Return the judge of a reading's sensor as it is registered now; None if it is not registered."""
        sensor = self._sensors.get(reading.sensor_id)
        if sensor is None:
            self._judges.pop(reading.sensor_id, None)
            return None
        judge = self._judges.get(sensor.sensor_id)
        lacks_witness = judge is not None and judge.witness is None and sensor.redundant_with in self._judges
        if judge is not None and judge.profile.sensor == sensor and not lacks_witness:
            judge.sensor = sensor
            return judge
        self._judges.pop(sensor.sensor_id, None)
        self._open({sensor.sensor_id, *(other.sensor_id for other in batch if other.sensor_id not in self._judges)})
        return self._judges[sensor.sensor_id]

    def _open(self, sensor_ids: set[str]) -> None:
        """Begin to judge sensors, and those that are compared with them, with their past where there is a history."""
        for sensor in self._sensors.values():
            if sensor.redundant_with:
                self._watchers.setdefault(sensor.redundant_with, set()).add(sensor.sensor_id)
        wanted = sensor_ids.union(*(self._watchers.get(sensor_id, ()) for sensor_id in sensor_ids))
        known = (self._sensors.get(sensor_id) for sensor_id in sorted(wanted) if sensor_id not in self._judges)
        sensors = [sensor for sensor in known if sensor is not None]
        newest: Mapping[str, Reading] | None = {}
        if self._past is not None:
            try:
                newest = self._past.newest([sensor.sensor_id for sensor in sensors])
            except UnavailableError:
                newest = None
        for sensor in sensors:
            try:
                judge = SensorJudge(profile_of(sensor, self._limits), self._witness_of(sensor))
            except UnavailableError:
                judge, newest = SensorJudge(profile_of(sensor, self._limits)), None
            self._judges[sensor.sensor_id] = judge
            self._unsure_until.pop(sensor.sensor_id, None)
            if newest is None or (sensor.sensor_id in newest and not self._warm(judge, newest[sensor.sensor_id])):
                self._be_unsure(sensor.sensor_id, END_OF_TIME)

    def _made_sure(self, judge: SensorJudge, reading: Reading) -> SensorJudge:
        """Return the judge, with its memory mended from the history if that can be done now."""
        sensor_id = reading.sensor_id
        if self._past is not None and sensor_id not in self._unsure_now and self._has_time():
            try:
                newest = self._past.newest([sensor_id]).get(sensor_id)
            except UnavailableError:
                return judge
            mended = SensorJudge(judge.profile, judge.witness)
            mended.sensor = judge.sensor
            if newest is None or self._warm(mended, newest):
                self._judges[sensor_id] = mended
                del self._unsure_until[sensor_id]
                return mended
        elif judge.heard_at is not None and judge.heard_at > self._unsure_until[sensor_id]:
            del self._unsure_until[sensor_id]
        return judge

    def _warm(self, judge: SensorJudge, newest: Reading) -> bool:
        """Let a new judge take what is stored of its sensor up to the newest; False if there is no time for it."""
        if self._past is None or not self._has_time():
            return False
        try:
            self._past.teach(judge, newest.observed_at, self._sensors.get(judge.sensor.redundant_with))
        except UnavailableError:
            return False
        return True

    def _witness_of(self, sensor: Sensor) -> Witness | None:
        """Return the running past of the sensor that another is compared with, from the history if it is new."""
        other = self._sensors.get(sensor.redundant_with) if sensor.redundant_with else None
        if other is None:
            return None
        witness = self._witnesses.get(other.sensor_id)
        if witness is None:
            witness = self._witnesses[other.sensor_id] = Witness(witness_lasting(other))
            judge = self._judges.get(other.sensor_id)
            if judge is not None and judge.at is not None:
                witness.begin(judge.at, judge.value)
            elif judge is None and self._past is not None:
                newest = self._past.newest([other.sensor_id]).get(other.sensor_id)
                if newest is not None:
                    witness.begin(newest.observed_at, newest.value)
        return witness

    def _be_unsure(self, sensor_id: str, until: datetime) -> None:
        """From now on note the window of every reading of a sensor, until its memory is mended or `until` is past."""
        self._unsure_now.add(sensor_id)
        self._unsure_until[sensor_id] = max(until, self._unsure_until.get(sensor_id, until))

    def _has_time(self) -> bool:
        now = time.monotonic()
        if self._warm_until is None:
            self._warm_until = now + self._warm_up_s
        return now < self._warm_until

    def _forget(self) -> None:
        """Forget a tenth of the sensors, those longest unheard."""
        by_age = sorted(self._judges, key=lambda sensor_id: self._judges[sensor_id].heard_at or BEGINNING_OF_TIME)
        for sensor_id in by_age[: len(by_age) - self._most_sensors + int(_FORGET_SHARE * self._most_sensors)]:
            for memory in (self._judges, self._unsure_until, self._unit_told):
                memory.pop(sensor_id, None)


def _is_next(reading: Reading, judge: SensorJudge) -> bool:
    return judge.heard_at is None or reading.observed_at > judge.heard_at


def _can_compare(judge: SensorJudge, witness: Witness, at: datetime) -> bool:
    """Whether the witness still knows what it said when the judge's sensor spoke last."""
    return not witness.is_past(at) if judge.at is None else witness.remembers(judge.at)


def unit_event(reading: Reading, mistake: str) -> Event:
    """Return the event that a sensor seems to send another unit than it is registered with."""
    detail = f"values look like {mistake}; compare the sensor's unit in the registry with what the device sends"
    return event(EventKind.UNIT_SUSPECT, reading.sensor_id, reading.available_at, detail)
