"""Counter faults: what it means that a meter's register went down.

```
register  998  999  0.4            rollover (with `rollover_at` 1000)   the value is right
register  420  421  0.3  0.9       counter_reset                        0.3 is flagged: reset, or the meter replaced
register  420  421  420.99         reverse_flow                         420.99 is flagged: water ran back
register  420  921  421            spike                                921 is flagged: a misread, not a reset
```
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from twin.readings import Reason

_NEAR_ROLLOVER = 0.9
_LARGEST_BACKFLOW = 3.0  # times the largest increment lately, plus:
_SMALL_M3 = 0.05


def reason_of_drop(before: float, value: float, recent: Sequence[float], rollover_at: float | None) -> Reason:
    """Return why a register went down from `before` to `value`; `recent` holds its readings in order of time."""
    if (
        rollover_at is not None
        and before >= _NEAR_ROLLOVER * rollover_at
        and value <= (1 - _NEAR_ROLLOVER) * rollover_at
    ):
        return Reason.ROLLOVER
    if before - value <= _LARGEST_BACKFLOW * largest_increment(recent) + _SMALL_M3 and value > 0.5 * before:
        return Reason.REVERSE_FLOW
    return Reason.COUNTER_RESET


def is_misread(before: float, value: float, after: float, recent: Sequence[float]) -> bool:
    """Whether a register that rose from `before` to `value` and fell back to `after` was merely misread."""
    backflow = _LARGEST_BACKFLOW * largest_increment(recent) + _SMALL_M3
    return after >= before and value - after > backflow


def largest_increment(recent: Sequence[float]) -> float:
    """Return the most a register rose from one of the readings to the next; 0 where it never did."""
    return max((b - a for a, b in pairwise(recent)), default=0.0)
