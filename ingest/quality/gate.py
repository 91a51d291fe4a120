"""The gate every reading passes: it asks the checks and turns their answers into quality and reasons.

| reason           | quality | meaning                                                                     |
|------------------|---------|-----------------------------------------------------------------------------|
| `out_of_range`   | bad     | outside the sensor's plausible limits                                       |
| `early`          | bad     | from the future: nobody can tell when it was true                           |
| `flat_line`      | suspect | the sensor is stuck                                                         |
| `rate_of_change` | suspect | a jump no water makes, not confirmed by the next value                      |
| `clock_skew`     | suspect | the gateway's clock is ahead, so this reading's time is wrong too           |
| `counter_reset`  | suspect | a meter that only counts up went down: reset or replaced, not negative use  |
| `late`           | good    | true, but known late; replay "as known then" does not see it before it came |

Checks with a memory (flat line, rate of change, counter) go by the order of `observed_at`. A reading that is not newer
than the newest one seen, or that is itself early or out of range, is judged alone and leaves their memory untouched.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from ingest.quality.clock_skew import ClockSkew
from ingest.quality.flat_line import FlatLine
from ingest.quality.limits import QualityLimits
from ingest.quality.rate_of_change import RateOfChange
from twin.readings import Kind, Quality, Reading, Reason, Sensor

_QUALITY = {
    Reason.OUT_OF_RANGE: Quality.BAD,
    Reason.EARLY: Quality.BAD,
    Reason.FLAT_LINE: Quality.SUSPECT,
    Reason.RATE_OF_CHANGE: Quality.SUSPECT,
    Reason.CLOCK_SKEW: Quality.SUSPECT,
    Reason.COUNTER_RESET: Quality.SUSPECT,
    Reason.LATE: Quality.GOOD,
}
_FROM_WORST = (Quality.BAD, Quality.SUSPECT, Quality.GOOD)


class Sensors(Protocol):
    """Where the gate looks a sensor up; a dictionary will do."""

    def get(self, sensor_id: str, /) -> Sensor | None:
        """Return the sensor or None."""
        ...


@dataclass(slots=True)
class _Memory:
    """What the checks remember of one sensor: the newest reading's time, and what each check keeps."""

    at: datetime
    value: float
    flat_line: FlatLine
    rate: RateOfChange


class QualityGate:
    """Judges readings as they come. Its memory holds at most `most_sensors` sensors, the longest unheard goes first."""

    def __init__(self, sensors: Sensors, limits: QualityLimits | None = None, *, most_sensors: int = 500_000) -> None:
        self._sensors = sensors
        self._limits = limits or QualityLimits()
        self._most_sensors = most_sensors
        self._memory: OrderedDict[str, _Memory] = OrderedDict()
        self._skew = ClockSkew(self._limits)

    def judge(self, readings: Sequence[Reading], gateways: Sequence[str] | None = None) -> list[Reading]:
        """Return the readings with their quality and reasons, in the same order; values are never touched.

        `gateways` names who sent each reading; without it no clock is judged. Readings of unknown sensors and readings
        that somebody judged before (their quality is not good) keep what they have and are added to.
        """
        if gateways is not None:
            self._skew.learn(_newest_ahead(readings, gateways))
        senders: Sequence[str | None] = gateways if gateways is not None else [None] * len(readings)
        judged = [self._judge_one(reading, sender) for reading, sender in zip(readings, senders, strict=True)]
        while len(self._memory) > self._most_sensors:
            self._memory.popitem(last=False)
        return judged

    def _judge_one(self, reading: Reading, gateway: str | None) -> Reading:
        sensor = self._sensors.get(reading.sensor_id)
        reasons = self._reasons_of_itself(reading, sensor)
        if gateway is not None and self._skew.is_ahead(gateway):
            reasons.append(Reason.CLOCK_SKEW)
        if sensor is not None and Reason.OUT_OF_RANGE not in reasons and Reason.EARLY not in reasons:
            reasons += self._reasons_of_order(reading, sensor)
        return _flagged(reading, reasons) if reasons else reading

    def _reasons_of_itself(self, reading: Reading, sensor: Sensor | None) -> list[Reason]:
        reasons = []
        if sensor is not None and not _is_in_range(reading.value, sensor):
            reasons.append(Reason.OUT_OF_RANGE)
        delay = reading.available_at - reading.observed_at
        if -delay > self._limits.ahead:
            reasons.append(Reason.EARLY)
        if sensor is not None and delay.total_seconds() > self._limits.late_periods * sensor.expected_every_s:
            reasons.append(Reason.LATE)
        return reasons

    def _reasons_of_order(self, reading: Reading, sensor: Sensor) -> list[Reason]:
        at, value = reading.observed_at, reading.value
        memory = self._memory.get(sensor.sensor_id)
        if memory is None:
            self._memory[sensor.sensor_id] = _Memory(at, value, FlatLine(at, value), RateOfChange(at, value))
            return []
        if at <= memory.at:
            return []
        before, memory.at, memory.value = memory.value, at, value
        self._memory.move_to_end(sensor.sensor_id)
        if sensor.kind is not Kind.INSTANT:
            dropped = sensor.kind is Kind.TOTAL_INCREASING and value < before
            return [Reason.COUNTER_RESET] if dropped else []
        reasons = []
        flat_line, rate = self._limits.flat_lines.get(sensor.quantity), self._limits.rates.get(sensor.quantity)
        if flat_line is not None and memory.flat_line.is_stuck(at, value, flat_line):
            reasons.append(Reason.FLAT_LINE)
        if rate is not None and memory.rate.is_jump(at, value, rate):
            reasons.append(Reason.RATE_OF_CHANGE)
        return reasons


def _is_in_range(value: float, sensor: Sensor) -> bool:
    return (sensor.low is None or value >= sensor.low) and (sensor.high is None or value <= sensor.high)


def _flagged(reading: Reading, reasons: Sequence[Reason]) -> Reading:
    known = (*reading.reasons, *(reason for reason in reasons if reason not in reading.reasons))
    found = [_QUALITY[reason] for reason in reasons]
    worst = next((quality for quality in _FROM_WORST if quality in found), Quality.GOOD)
    if worst is Quality.GOOD or reading.quality is Quality.BAD:
        worst = reading.quality
    return replace(reading, quality=worst, reasons=tuple(known))


def _newest_ahead(readings: Sequence[Reading], gateways: Sequence[str]) -> Mapping[str, timedelta]:
    newest: dict[str, timedelta] = {}
    for reading, gateway in zip(readings, gateways, strict=True):
        ahead = reading.observed_at - reading.available_at
        if gateway not in newest or ahead > newest[gateway]:
            newest[gateway] = ahead
    return newest
