"""Reads as much of a sensor's stored readings as its checks look back, and no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ingest.quality.in_order import OrderedJudgement, usable, witness_lasting
from ingest.quality.limits import LONGEST_ABSENCE, QualityLimits
from ingest.quality.own_merits import is_usable, reasons_of_itself
from ingest.quality.profile import Profile, profile_of
from ingest.quality.sensor_judge import SensorJudge
from twin.ports import ReadingStore
from twin.readings import Reading, Reason, Sensor

BEGINNING_OF_TIME = datetime(1970, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(2200, 1, 1, tzinfo=UTC)
_AT_FIRST_EARLY = timedelta(hours=1)
_FARTHER = 4
_AT_FIRST = 8
_TICK = timedelta(microseconds=1)


class StoredPast:
    """The stored readings before a moment."""

    def __init__(self, store: ReadingStore, limits: QualityLimits) -> None:
        self._store = store
        self._limits = limits
        self._ahead = limits.ahead

    def before(self, profile: Profile, moment: datetime) -> list[Reading]:
        """Return the readings of the look-back before `moment` in order of time.

        If none of them is usable, what is older is returned too, as far as the one before that is (`LONGEST_ABSENCE`).
        """
        span = profile.look_back
        found = self._between(profile, moment - span, moment)
        while not any(self._is_usable(profile, reading) for reading in found) and span < LONGEST_ABSENCE:
            older = min(span * _FARTHER, LONGEST_ABSENCE)
            found = [*self._between(profile, moment - older, moment - span), *found]
            span = older
        return found

    def newest(self, sensor_ids: list[str]) -> dict[str, Reading]:
        """Return the newest stored reading of each sensor that has one, those from the future left out."""
        latest = self._store.latest(sensor_ids, at=END_OF_TIME, trusted_only=False)
        found = ((sensor_id, self._not_early(reading)) for sensor_id, reading in latest.items())
        return {sensor_id: reading for sensor_id, reading in found if reading is not None}

    def after(self, profile: Profile, moment: datetime, wanted: int) -> list[Reading]:
        """Return the readings after `moment` up to the one that makes `wanted` usable ones, or all there are."""
        asked = _AT_FIRST
        while True:
            found = self._store.between(profile.sensor.sensor_id, moment + _TICK, END_OF_TIME, limit=asked)
            usable_at = [place for place, reading in enumerate(found) if self._is_usable(profile, reading)]
            if len(usable_at) >= wanted:
                return found[: usable_at[wanted - 1] + 1]
            if len(found) < asked:
                return found
            asked *= _FARTHER

    def within(self, sensor: Sensor, start: datetime, end: datetime) -> list[Reading]:
        """Return the readings with start <= observed_at <= end in order of time."""
        return self._store.between(sensor.sensor_id, start, end + _TICK)

    def witness(self, other: Sensor | None, start: datetime, end: datetime) -> tuple[Profile, list[Reading]] | None:
        """Return what the sensor that another is compared with said of the time from start to end."""
        if other is None:
            return None
        return profile_of(other, self._limits), self.within(other, start - witness_lasting(other), end)

    def teach(self, judge: SensorJudge, newest: datetime, other: Sensor | None) -> None:
        """Let a new judge (and its witness) know the stored past up to the newest reading.

        Raises:
            UnavailableError: If the store is away.
        """
        profile = judge.profile
        readings = [*self.before(profile, newest), *self.within(profile.sensor, newest, newest)]
        start = max(readings[0].observed_at if readings else newest, newest - profile.look_back)
        beside = self.witness(other, start, END_OF_TIME) if judge.witness is not None else None
        knowing = OrderedJudgement(profile, self._limits, beside)
        knowing.judge(readings)
        judge.remember_as(knowing.sensor_judge)
        if beside is not None and judge.witness is not None:
            for reading in usable(*beside, self._ahead):
                judge.witness.take(reading.observed_at, reading.value)

    def _between(self, profile: Profile, start: datetime, end: datetime) -> list[Reading]:
        return self._store.between(profile.sensor.sensor_id, start, end)

    def _not_early(self, newest: Reading) -> Reading | None:
        """Return the newest reading up to this one that is not from the future, however many are before it."""
        sensor_id, span = newest.sensor_id, _AT_FIRST_EARLY
        reading: Reading | None = newest
        while reading is not None and self._is_early(reading):
            end = reading.observed_at
            believed = [one for one in self._store.between(sensor_id, end - span, end) if not self._is_early(one)]
            if believed:
                return believed[-1]
            reading = self._store.latest([sensor_id], at=end - span - _TICK, trusted_only=False).get(sensor_id)
            span = min(span * _FARTHER, LONGEST_ABSENCE)
        return reading

    def _is_early(self, reading: Reading) -> bool:
        return reading.observed_at - reading.available_at > self._ahead

    def _is_usable(self, profile: Profile, reading: Reading) -> bool:
        reasons = reasons_of_itself(reading, profile, self._ahead)
        return Reason.EARLY not in reasons and is_usable(reading, reasons)
