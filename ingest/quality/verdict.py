"""From reasons to a verdict: what each reason means for a reading's quality, and which of them are judged anew.

| reason           | quality | meaning                                                                     |
|------------------|---------|-----------------------------------------------------------------------------|
| `out_of_range`   | bad     | outside the sensor's plausible limits                                       |
| `non_physical`   | bad     | water cannot do that: backwards through a one-way meter, above the overflow |
| `early`          | bad     | from the future: nobody can tell when it was true                           |
| `flat_line`      | suspect | the sensor is stuck                                                         |
| `rate_of_change` | suspect | a jump no water makes, not confirmed by the next value                      |
| `spike`          | suspect | one reading far off, its neighbours on both sides not                       |
| `drift`, `step`  | suspect | the sensor has parted from another that measures the same                   |
| `unit_suspect`   | suspect | off by exactly the ratio of two units                                       |
| `clock_skew`     | suspect | the gateway's clock is wrong, so this reading's time is wrong too           |
| `counter_reset`  | suspect | a meter that only counts up went down: reset or replaced, not negative use  |
| `reverse_flow`   | suspect | a meter ran back a little                                                   |
| `device_alarm`   | suspect | the device itself says that something is wrong with it                      |
| `implausible`    | suspect | against the mass balance and the model (`twin.plausibility`)                |
| `late`           | good    | true, but known late; replay "as known then" does not see it before it came |
| `gap`            | good    | the first value after intervals that nobody sent                            |
| `rollover`       | good    | a meter passed its last number and began at 0 again                         |
| `historical`     | good    | the sender says that it kept the value for some time: it is not late        |
| `device_status`  | good    | the device says something of itself that does not touch the value           |
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from twin.readings import Quality, Reading, Reason

QUALITY = {
    Reason.OUT_OF_RANGE: Quality.BAD,
    Reason.NON_PHYSICAL: Quality.BAD,
    Reason.EARLY: Quality.BAD,
    Reason.FLAT_LINE: Quality.SUSPECT,
    Reason.RATE_OF_CHANGE: Quality.SUSPECT,
    Reason.SPIKE: Quality.SUSPECT,
    Reason.DRIFT: Quality.SUSPECT,
    Reason.STEP: Quality.SUSPECT,
    Reason.UNIT_SUSPECT: Quality.SUSPECT,
    Reason.CLOCK_SKEW: Quality.SUSPECT,
    Reason.COUNTER_RESET: Quality.SUSPECT,
    Reason.REVERSE_FLOW: Quality.SUSPECT,
    Reason.DEVICE_ALARM: Quality.SUSPECT,
    Reason.IMPLAUSIBLE: Quality.SUSPECT,
}
"""What a reason makes of a reading; all others leave it as it is."""

JUDGED_ANEW = frozenset(
    {
        Reason.OUT_OF_RANGE, Reason.NON_PHYSICAL, Reason.EARLY, Reason.LATE, Reason.GAP, Reason.FLAT_LINE,
        Reason.RATE_OF_CHANGE, Reason.SPIKE, Reason.DRIFT, Reason.STEP, Reason.UNIT_SUSPECT, Reason.COUNTER_RESET,
        Reason.REVERSE_FLOW, Reason.ROLLOVER,
    }
)  # fmt: skip
"""The reasons that follow from the readings themselves. All others were said by somebody else and stay."""

_ORDER = {str(reason): place for place, reason in enumerate(Reason)}


def flagged(reading: Reading, reasons: Iterable[Reason]) -> Reading:
    """Return the reading with more reasons and the quality that follows; the value is never touched.

    A quality that is worse already stays. An estimate stays one unless a reason speaks against it.
    """
    quality, known = _verdict(reading.quality, (*reading.reasons, *reasons))
    return Reading(
        reading.sensor_id,
        reading.observed_at,
        reading.available_at,
        reading.value,
        reading.unit,
        reading.raw_value,
        reading.raw_unit,
        quality,
        known,
        reading.seq,
    )


def as_sent(reading: Reading) -> Reading:
    """Return the reading without the reasons that are judged anew, and with the quality that the others leave it."""
    kept = tuple(reason for reason in reading.reasons if reason not in JUDGED_ANEW)
    quality = Quality.ESTIMATED if reading.quality is Quality.ESTIMATED else Quality.GOOD
    return flagged(replace(reading, quality=quality, reasons=kept), ()) if reading.reasons else reading


@lru_cache(maxsize=4096)
def _verdict(quality: Quality, reasons: tuple[str, ...]) -> tuple[Quality, tuple[str, ...]]:
    """Return the quality that reasons leave of a quality, and the reasons in order and once each."""
    ordered = tuple(sorted({str(reason) for reason in reasons}, key=lambda reason: (_ORDER.get(reason, -1), reason)))
    found = {QUALITY.get(reason) for reason in map(_reason, ordered) if reason is not None}
    if Quality.BAD in found or quality is Quality.BAD:
        return Quality.BAD, ordered
    return Quality.SUSPECT if Quality.SUSPECT in found else quality, ordered


def _reason(slug: str) -> Reason | None:
    try:
        return Reason(slug)
    except ValueError:
        return None
