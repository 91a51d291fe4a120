"""Judges one sensor's readings in order of observed time. The streaming gate and the re-judging worker both use it.

The rule that makes the order of arrival irrelevant: what is said of a reading is a function of the readings observed
before it within `Profile.look_back` (for `spike`, also of the next one; for `gap` and the counter's faults, of the one
reading before it, however long ago, up to `LONGEST_ABSENCE`). Every check forgets what is older by itself:

| check           | looks back                                                                              |
|-----------------|-----------------------------------------------------------------------------------------|
| flat line       | the run of equal values, at most `flat_line_look_back`                                   |
| rate of change  | two readings without a pause                                                             |
| spike           | 48 readings without a pause, and the next one; 48 buckets of 12 intervals                |
| unit suspect    | 48 readings without a pause; 48 buckets of 12 intervals                                  |
| drift, step     | 48 differences without a pause; 48 buckets of differences                                |
| gap, counter    | the reading before; for reverse flow and misreads 48 readings without a pause            |

A pause is longer than `PAUSE_INTERVALS`. So whoever feeds a new judge the look-back has the same judge.
Readings that are out of range, impossible, early, or disowned by their device are no past for the others; but the
sensor was heard, so no gap begins at them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from datetime import datetime, timedelta
from math import inf

from ingest.quality.counter import is_misread, reason_of_drop
from ingest.quality.limits import LONGEST_ABSENCE, RECENT, RateLimit
from ingest.quality.past import LongPast
from ingest.quality.profile import Profile
from ingest.quality.rate_of_change import Point, is_jump
from ingest.quality.redundancy import LAST, how_it_parted, is_apart
from ingest.quality.spike import is_spike
from ingest.quality.unit_ratio import FEWEST, envelope, unit_of_past, unit_of_register, unit_of_witness
from twin.readings import Reason

Reasons = tuple[Reason, ...]
NOTHING: Reasons = ()
_GAP: Reasons = (Reason.GAP,)
_KEPT = 2 * RECENT


class Witness:
    """The last readings of a sensor that others are compared with. A value says how things are for `lasting`."""

    __slots__ = ("_forgotten_to", "_lasting", "_times", "_values")

    def __init__(self, lasting: timedelta) -> None:
        self._lasting = lasting
        self._times: list[datetime] = []
        self._values: list[float] = []
        self._forgotten_to: datetime | None = None

    def begin(self, at: datetime, value: float) -> None:
        """Begin with the newest usable reading; what was said before it is not known."""
        self.take(at, value)
        self._forgotten_to = at

    def take(self, at: datetime, value: float) -> None:
        """Take a usable reading; late ones find their place, repeats change nothing."""
        place = bisect_right(self._times, at)
        if place and self._times[place - 1] == at:
            return
        self._times.insert(place, at)
        self._values.insert(place, value)
        if len(self._times) > _KEPT:
            self._forgotten_to = self._times[RECENT - 1]
            del self._times[:RECENT], self._values[:RECENT]

    def said(self, at: datetime) -> float | None:
        """Return what it says of the moment `at`, or None."""
        place = bisect_right(self._times, at) - 1
        return self._values[place] if place >= 0 and at - self._times[place] < self._lasting else None

    def remembers(self, at: datetime) -> bool:
        """Whether nothing that it said of the moment `at` has been forgotten."""
        return self._forgotten_to is None or at - self._forgotten_to >= self._lasting

    def is_past(self, at: datetime) -> bool:
        """Whether something newer than the moment `at` is known."""
        return bool(self._times) and self._times[-1] > at


class SensorJudge:
    """The memory of one sensor's checks. `profile` and `witness` are given; readings are taken in order
    of time. `sensor` is the very object that was looked up last.

    `heard_at` is the newest reading's time, usable or not; `at` and `value` are those of the newest usable one.
    `spiked_at` is set by `take` to the time of an earlier reading that has just turned out to be a spike. `unit` says
    what mistake the newest reading looks like.
    """

    _MEMORY = (
        "_before", "_compared", "_differences", "_high", "_long", "_long_differences", "_low", "_run", "_run_since",
        "_said", "_step", "_unusable", "_values", "at", "heard_at", "value",
    )  # fmt: skip
    __slots__ = (*_MEMORY, "profile", "sensor", "spiked_at", "unit", "witness")

    def __init__(self, profile: Profile, witness: Witness | None = None) -> None:
        self.profile = profile
        self.sensor = profile.sensor
        self.witness = witness
        self.heard_at: datetime | None = None
        self.at: datetime | None = None
        self.value = 0.0
        self.spiked_at: datetime | None = None
        self.unit: str | None = None
        self._before: Point | None = None
        self._step = 0.0
        self._run = 1
        self._run_since: datetime | None = None
        self._values = array("d")
        self._unusable = array("d")
        self._long = LongPast(profile.bucket)
        self._low, self._high = -inf, inf
        self._differences = array("d")
        self._said = array("d")
        self._compared: datetime | None = None
        self._long_differences: LongPast | None = None

    @property
    def compared_at(self) -> datetime | None:
        """The time of the newest reading that was compared with the witness, or missed in vain."""
        return self._compared

    def take_unusable(self, at: datetime, value: float) -> Reasons:
        """Take note that the sensor was heard, and say what that tells of the time, and such values of the unit."""
        heard_at, self.heard_at = self.heard_at, at
        reasons = _GAP if heard_at is not None and self._is_gap(at - heard_at) else NOTHING
        if not self.profile.judges_units:
            return reasons
        if heard_at is None or at - heard_at > self.profile.pause_after:
            self._unusable = array("d")
        self._unusable = self._unusable[1 - FEWEST :]
        self._unusable.append(value)
        return reasons + self._reasons_of_unusable(at)

    def take(self, at: datetime, value: float) -> Reasons:
        """Judge the next usable reading by those before it, and remember it."""
        profile = self.profile
        heard_at, self.heard_at = self.heard_at, at
        last_at, last = self.at, self.value
        if heard_at is None:
            self._begin(at, value)
            return NOTHING
        reasons = NOTHING
        pause = at - heard_at
        if pause > profile.gap_after and pause <= LONGEST_ABSENCE:
            reasons = _GAP
        self.spiked_at = None
        if self._unusable:
            self._unusable = array("d")
        if last_at is not heard_at:  # the one heard last could not be used
            pause = at - last_at if last_at is not None else LONGEST_ABSENCE
        if last_at is None or pause > profile.pause_after:
            if profile.counts and last_at is not None and at - last_at <= LONGEST_ABSENCE:
                self._values = array("d")
                reasons += self._reasons_of_register(last, value)
            self._begin(at, value)
            return reasons
        if profile.witness is not None:
            reasons += self._reasons_of_witness(last_at, last)
        step = value - last
        if profile.counts:
            reasons += self._reasons_of_register(last, value)
        elif step == 0.0:
            if profile.flat_line is not None and value:
                self._run += 1
                reasons += self._reasons_of_run(at)
        else:
            self._run, self._run_since = 1, at
            if (step > 0.0) is not (self._step > 0.0) and abs(step) > profile.spike_floor < abs(self._step):
                self._judge_spike(last_at, last, value)
        if profile.rate is not None and abs(step) > profile.rate.margin:
            reasons += self._reasons_of_jump(at, value, (last_at, last), profile.rate)
        self._before = (last_at, last)
        self._step = step
        self._remember(at, value)
        if not self._low <= abs(value) <= self._high:
            reasons += self._reasons_of_unit()
        return reasons

    def remember_as(self, other: SensorJudge) -> None:
        """Take over all that another judge of the same sensor remembers; the witness stays."""
        for name in self._MEMORY:
            setattr(self, name, getattr(other, name))

    # ------------------------------------------------------------------------------------------------ memory

    def _begin(self, at: datetime, value: float) -> None:
        """Begin a new recent past after a pause; the long past stays."""
        self._before, self._step, self._run, self._run_since = None, 0.0, 1, at
        self._values = array("d")
        self._differences, self._said = array("d"), array("d")
        self._remember(at, value)

    def _remember(self, at: datetime, value: float) -> None:
        self.at, self.value = at, value
        values = self._values
        values.append(value)
        if len(values) > _KEPT:
            del values[:RECENT]
        if at >= self._long.ends_at and self.profile.judges_units:
            self._long.add(at, value)
            usual = envelope(self._long.usual())
            self._low, self._high = usual if usual is not None else (-inf, inf)

    def _is_gap(self, pause: timedelta) -> bool:
        return self.profile.gap_after < pause <= LONGEST_ABSENCE

    # ------------------------------------------------------------------------------------------------ checks

    def _reasons_of_run(self, at: datetime) -> Reasons:
        limit, since = self.profile.flat_line, self._run_since
        stuck = limit is not None and since is not None and self._run >= limit.values and at - since >= limit.lasting
        return (Reason.FLAT_LINE,) if stuck else NOTHING

    def _reasons_of_jump(self, at: datetime, value: float, last: Point, limit: RateLimit) -> Reasons:
        counted_down = self.profile.counts and value < last[1]  # a matter of its own
        is_too_fast = not counted_down and is_jump(at, value, last, self._before, limit)
        return (Reason.RATE_OF_CHANGE,) if is_too_fast else NOTHING

    def _judge_spike(self, last_at: datetime, last: float, value: float) -> None:
        before, longer = self._values[:-1][-RECENT:], self._long.values
        if is_spike(before, last, value, self.profile.spike_floor, longer):
            self.spiked_at = last_at

    def _reasons_of_unit(self) -> Reasons:
        self.unit = unit_of_past(self._values[-RECENT:], (self._low, self._high), self.profile.sensor.quantity)
        return (Reason.UNIT_SUSPECT,) if self.unit is not None else NOTHING

    def _reasons_of_unusable(self, at: datetime) -> Reasons:
        """Say whether values that cannot be are those of another unit; one that repeats itself is stuck instead."""
        if len(self._unusable) < FEWEST or min(self._unusable) == max(self._unusable):
            return NOTHING
        self._long.forget(at)
        usual = envelope(self._long.usual())
        self.unit = unit_of_past(self._unusable, usual, self.profile.sensor.quantity) if usual is not None else None
        return (Reason.UNIT_SUSPECT,) if self.unit is not None else NOTHING

    def _reasons_of_register(self, last: float, value: float) -> Reasons:
        if value < last:
            return self._reasons_of_drop(last, value)
        if not last or value <= 3.0 * last:
            return NOTHING
        self.unit = unit_of_register(last, value, self.profile.sensor.quantity)
        return (Reason.UNIT_SUSPECT,) if self.unit is not None else NOTHING

    def _reasons_of_drop(self, last: float, value: float) -> Reasons:
        recent = self._values[-RECENT:]
        if len(recent) >= 2 and self.at is not None and is_misread(recent[-2], last, value, recent[:-1]):
            self.spiked_at = self.at
            return NOTHING
        self.unit = unit_of_register(last, value, self.profile.sensor.quantity)
        if self.unit is not None:
            return (Reason.UNIT_SUSPECT,)
        return (reason_of_drop(last, value, recent, self.profile.sensor.rollover_at),)

    def _reasons_of_witness(self, at: datetime, value: float) -> Reasons:
        """Compare the reading before the present one with the witness, and judge the present one by all of them."""
        profile, limit = self.profile, self.profile.witness
        self._compared = at
        said = self.witness.said(at) if self.witness is not None else None
        at_rest = value == 0.0 == said  # says nothing of how far they differ at work
        if limit is None or said is None or at_rest:
            self._differences, self._said = array("d"), array("d")
            return NOTHING
        if self._long_differences is None:
            self._long_differences = LongPast(profile.bucket)
        differences, long = self._differences, self._long_differences
        differences.append(value - said)
        self._said.append(said)
        if len(differences) > _KEPT:
            del differences[:RECENT], self._said[:RECENT]
        if at >= long.ends_at:
            long.add(at, value - said)
        usual = long.usual()
        if not is_apart(differences[-LAST:], self._said[-LAST:], usual, profile.spike_floor, limit):
            return NOTHING
        values = [a + b for a, b in zip(differences[-LAST:], self._said[-LAST:], strict=True)]
        self.unit = unit_of_witness(values, self._said[-LAST:], profile.sensor.quantity)
        if self.unit is not None:
            return (Reason.UNIT_SUSPECT,)
        return (how_it_parted(differences[-RECENT:], usual),)
