"""From a meter's register to the water used: pure functions from readings to volumes per interval.

A register only counts up. Between two readings of it in order of time lies a span:

| what the register does         | volume of the span                    | said of it                                  |
|--------------------------------|---------------------------------------|---------------------------------------------|
| rises                          | the rise                              |                                             |
| passes `rollover_at`           | the rest up to it, and what follows   | `rollover`                                  |
| falls by a little              | the fall, negative: water came back   | `reverse_flow`                              |
| begins again at about 0        | what it shows since: a lower bound    | `counter_reset`, estimated                  |
| jumps as no water makes it     | unknown: the meter was replaced       | `counter_reset`, the span is not covered    |

Within a span the volume is spread evenly over the time, so that the intervals add up to the register exactly,
whatever is missing. What lies in a span longer than 1.5 times the cadence (or the interval, where that is shorter) is
interpolated, and says so. Only the set of readings counts, never the order in which they came.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from twin.errors import InputError
from twin.gaps import LONGEST_PAUSE_INTERVALS
from twin.readings import Kind, Quality, Reading, Reason, Sensor
from twin.units import Quantity

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

HOUSEHOLD_MAX_M3S = 5.0 / 3600
"""The overload flow of a household meter (ISO 4064: Q4 = 5 m3/h at Q3 = 4 m3/h), where the registry says nothing."""

REVERSE_AT_MOST_M3 = 0.5
"""A fall of the register by more than this is no water that came back through a connection."""

_ROUNDING_M3 = 1e-6  # 2.462 - 1.962 is a little more than a half

ROLLOVER_WITHIN = 0.1
"""A rollover that would mean more than this share of the whole register in one span is taken for a reset."""

STRAYS_AT_MOST = 96
"""A register that comes back to its course after so many readings was misread; later it is taken at its word."""

USABLE_WHEN_SUSPECT = frozenset(
    str(reason)
    for reason in (
        Reason.COUNTER_RESET,
        Reason.ROLLOVER,
        Reason.REVERSE_FLOW,
        Reason.FLAT_LINE,
        Reason.GAP,
        Reason.LATE,
        Reason.HISTORICAL,
        Reason.DEVICE_STATUS,
    )
)
"""Reasons that say something of the register's course, or of nothing used: its value is still what the meter shows."""


class Interval(StrEnum):
    """The lengths that consumption is given in; days are those of UTC."""

    QUARTER = "15min"
    HOUR = "1h"
    DAY = "1d"

    @property
    def length(self) -> timedelta:
        """The time from start to end."""
        return _LENGTHS[self]

    def floor(self, moment: datetime) -> datetime:
        """Return the beginning of the interval that a moment lies in."""
        return EPOCH + (moment - EPOCH) // self.length * self.length


_LENGTHS = {
    Interval.QUARTER: timedelta(minutes=15),
    Interval.HOUR: timedelta(hours=1),
    Interval.DAY: timedelta(days=1),
}


@dataclass(frozen=True, slots=True)
class Span:
    """What passed a meter between two readings; `volume_m3` is None where nobody can tell."""

    start: datetime
    end: datetime
    volume_m3: float | None
    reason: Reason | None = None

    @property
    def length(self) -> timedelta:
        """The time from start to end."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Consumption:
    """The water that passed a meter in one interval.

    `volume_m3` is None unless the whole interval is covered by spans of known volume; `counted_m3` is what is known of
    it. `coverage` and `interpolated` are shares of the interval's time, `interpolated_m3` is the part of `counted_m3`
    that was spread over a gap (or over a span longer than the interval).
    """

    start: datetime
    end: datetime
    volume_m3: float | None
    counted_m3: float
    coverage: float
    interpolated: float
    interpolated_m3: float
    quality: Quality
    reasons: tuple[str, ...] = ()


def is_meter(sensor: Sensor) -> bool:
    """Whether a sensor is a register of water whose consumption can be told."""
    return sensor.kind is Kind.TOTAL_INCREASING and sensor.quantity is Quantity.VOLUME


def is_household(sensor: Sensor) -> bool:
    """Whether a sensor measures what one connection uses: what it says is personal."""
    return bool(sensor.connection_id)


# ------------------------------------------------------------------------------------------------------- spans


def spans(sensor: Sensor, readings: Iterable[Reading]) -> list[Span]:
    """Return what passed between the usable readings of a meter, in order of time and without holes.

    Raises:
        InputError: If the sensor is no meter of water.
    """
    if not is_meter(sensor):
        what = f"{sensor.quantity}, kind {sensor.kind}"
        raise InputError(f"{sensor.sensor_id} is no meter, it measures {what}: a meter is volume, total_increasing")
    used = _without_strays(sensor, sorted((r for r in readings if is_usable(r)), key=lambda r: r.observed_at))
    return [_span(sensor, before, after) for before, after in pairwise(used)]


def is_usable(reading: Reading) -> bool:
    """Whether a reading's value is what the meter shows, whatever else is odd about it."""
    if reading.quality is Quality.SUSPECT:
        return USABLE_WHEN_SUSPECT.issuperset(reading.reasons)
    return reading.is_trusted


def _without_strays(sensor: Sensor, readings: Sequence[Reading]) -> list[Reading]:
    """Leave out runs of misread values: the register left its course and came back to it within `STRAYS_AT_MOST`.

    ```
    100  600  601  100.2        it rose, and fell back to where it could have been: 600 and 601 are strays
    100    0    0  100.2        it fell, and one step brought it back: the zeros are strays
    100    0  0.1    0.2        it fell and counts from there: a reset, nothing is left out
    ```
    """
    strays: set[int] = set()
    for i in range(1, len(readings)):
        rise = readings[i].value - readings[i - 1].value
        if rise >= 0 or i - 1 in strays or _is_reverse(rise, readings[i - 1]):
            continue
        strays.update(_risen(sensor, readings, i) or _fallen(sensor, readings, i))
    return [reading for i, reading in enumerate(readings) if i not in strays]


def _risen(sensor: Sensor, readings: Sequence[Reading], fall: int) -> range:
    """Return the readings before a fall that rose off a course which goes on with the fall."""
    for i in range(fall - 1, max(fall - STRAYS_AT_MOST, 0) - 1, -1):
        if readings[i].value <= readings[fall].value:
            goes_on = i < fall - 1 and _is_possible(sensor, readings[i], readings[fall])
            return range(i + 1, fall) if goes_on else range(0)
    return range(0)


def _fallen(sensor: Sensor, readings: Sequence[Reading], fall: int) -> range:
    """Return the readings from a fall on until one step brings the register back that can be no water."""
    before = readings[fall - 1]
    for i in range(fall + 1, min(fall + STRAYS_AT_MOST, len(readings))):
        if readings[i].value >= before.value:
            step, fell = readings[i].value - readings[i - 1].value, before.value - readings[fall].value
            is_water = _is_possible(sensor, readings[i - 1], readings[i]) if _rate_m3s(sensor) else step < fell / 2
            return range(0) if is_water or not _is_possible(sensor, before, readings[i]) else range(fall, i)
    return range(0)


def _span(sensor: Sensor, before: Reading, after: Reading) -> Span:
    start, end, rise = before.observed_at, after.observed_at, after.value - before.value
    if rise >= 0:
        possible = _is_possible(sensor, before, after)
        return Span(start, end, rise) if possible else Span(start, end, None, Reason.COUNTER_RESET)
    if sensor.rollover_at is not None:
        wrapped = sensor.rollover_at - before.value + after.value
        if 0 <= wrapped <= min(ROLLOVER_WITHIN * sensor.rollover_at, _most_m3(sensor, end - start)):
            return Span(start, end, wrapped, Reason.ROLLOVER)
    if _is_reverse(rise, before):
        return Span(start, end, rise, Reason.REVERSE_FLOW)
    if 0 <= after.value <= _most_since_reset_m3(sensor, end - start):
        return Span(start, end, after.value, Reason.COUNTER_RESET)
    return Span(start, end, None, Reason.COUNTER_RESET)


def _is_reverse(rise: float, before: Reading) -> bool:
    """Whether a fall is small, and not most of what the register showed (that would be a new beginning)."""
    return -min(REVERSE_AT_MOST_M3, before.value / 2) - _ROUNDING_M3 <= rise < 0


def _is_possible(sensor: Sensor, before: Reading, after: Reading) -> bool:
    return after.value - before.value <= _most_m3(sensor, after.observed_at - before.observed_at)


def _most_m3(sensor: Sensor, lasting: timedelta) -> float:
    """Return what can pass the meter in a time; without end for a large meter of which nobody said it."""
    rate = _rate_m3s(sensor)
    return float("inf") if rate is None else rate * lasting.total_seconds()


def _most_since_reset_m3(sensor: Sensor, lasting: timedelta) -> float:
    rate = _rate_m3s(sensor) or HOUSEHOLD_MAX_M3S  # a large meter that nobody limited: rather unknown than wrong
    return rate * lasting.total_seconds()


def _rate_m3s(sensor: Sensor) -> float | None:
    return sensor.max_rate_per_s or (HOUSEHOLD_MAX_M3S if is_household(sensor) else None)


# --------------------------------------------------------------------------------------------------- intervals


def consumption(
    sensor: Sensor, readings: Iterable[Reading], *, start: datetime, end: datetime, interval: Interval
) -> list[Consumption]:
    """Return the consumption of every interval that overlaps [start, end), whole intervals, in order of time.

    `readings` must reach beyond both ends for the intervals there to be covered.

    Raises:
        InputError: If the sensor is no meter of water.
    """
    passed = spans(sensor, readings)
    ends = [span.end for span in passed]
    direct = LONGEST_PAUSE_INTERVALS * min(timedelta(seconds=sensor.expected_every_s), interval.length)
    found = []
    first = interval.floor(start)
    while first < end:
        last = first + interval.length
        found.append(_in_interval(passed[bisect_right(ends, first) :], first, last, direct))
        first = last
    return found


def _in_interval(passed: Sequence[Span], start: datetime, end: datetime, direct: timedelta) -> Consumption:
    counted = spread = 0.0
    known = interpolated = timedelta(0)
    reasons: list[Reason] = []
    for span in passed:
        if span.start >= end:
            break
        lasting = min(span.end, end) - max(span.start, start)
        if span.reason is not None and span.reason not in reasons:
            reasons.append(span.reason)
        if span.volume_m3 is None:
            continue
        volume_m3 = _until(span, end) - _until(span, start)
        counted, known = counted + volume_m3, known + lasting
        if span.length > direct:
            spread, interpolated = spread + volume_m3, interpolated + lasting
    if interpolated:
        reasons.append(Reason.INTERPOLATED)
    length = end - start
    is_whole = known == length
    estimated = bool(interpolated) or Reason.COUNTER_RESET in reasons
    return Consumption(
        start=start,
        end=end,
        volume_m3=counted if is_whole else None,
        counted_m3=counted,
        coverage=known / length,
        interpolated=interpolated / length,
        interpolated_m3=spread,
        quality=Quality.BAD if not is_whole else Quality.ESTIMATED if estimated else Quality.GOOD,
        reasons=tuple(str(reason) for reason in reasons),
    )


def _until(span: Span, moment: datetime) -> float:
    """Return how much of a span's volume had passed by a moment; nothing before it, all of it after."""
    if span.volume_m3 is None or moment <= span.start:
        return 0.0
    if moment >= span.end:
        return span.volume_m3
    return span.volume_m3 * ((moment - span.start) / span.length)
