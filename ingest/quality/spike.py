"""Spike: one reading far off, its neighbours on both sides not, by the measure of what the sensor did lately.

```
value   5 6 5 4 5  19  5      19 is a spike: 14 away from both neighbours, and nothing lately moved by more than 1
value   5 6 5 4 5  19  18     no spike: the next reading confirms it (a pump started, a main burst)
value   0 0 0 0 0  19  0      no spike: a pump that stood still may run for one reading
value   5 5 5 5 5  19  5      a spike, if it used to move between 4 and 9 some days ago
```
So a verdict needs the next reading: the newest one is never a spike, and is judged once more when it has a successor.
The measure is the largest step and the range of the recent readings. The median would know only the state that lasts
longest, and call every pump's start a spike. Calibrated on the first halves of tests/benchmarks/bench_trust.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

FEWEST = 24
"""With fewer readings before it nobody knows what is usual."""

_BEYOND_STEP = 1.0  # times the largest step lately
_BEYOND_NOISE = 6.0  # times the usual step lately: of noise that never rests one reading in 48 is the largest
_BEYOND_RANGE = 0.15  # of the recent range above its top (or below its bottom)
_STILL = 0.125  # a range smaller than this share of the excursion is that of a sensor at rest


def is_spike(before: Sequence[float], value: float, after: float, floor: float, longer: Sequence[float] = ()) -> bool:
    """Whether `value` stands alone between the readings `before` (in order of time) and the one `after` it.

    Of a sensor that hardly moved lately `longer`, some readings of a longer time (the last may be `value` itself),
    says how far it moves at times.
    """
    if len(before) < FEWEST:
        return False
    rise, fall = value - before[-1], value - after
    excursion = min(abs(rise), abs(fall))
    if rise * fall <= 0 or excursion <= floor:
        return False
    lowest, highest = min(before), max(before)
    if highest - lowest < _STILL * excursion and len(longer) > 1:
        lowest, highest = min(lowest, *longer[:-1]), max(highest, *longer[:-1])
    usual_range = highest - lowest
    if usual_range < _STILL * excursion:
        return False
    beyond = value - highest if rise > 0 else lowest - value
    if not beyond > _BEYOND_RANGE * usual_range:
        return False
    steps = [abs(b - a) for a, b in pairwise(before)]
    return excursion > _BEYOND_STEP * max(steps) and excursion > _BEYOND_NOISE * median(steps)
