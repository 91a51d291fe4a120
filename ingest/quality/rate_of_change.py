"""Rate of change: a jump faster than the quantity can move, out of reach of both readings before it.

```
value   a   a   B   a   a        B is flagged; the a after it is within reach of the a before it
value   a   a   B   B   B        only the first B is flagged: the next is within reach of the first
```
"""

from __future__ import annotations

from datetime import datetime

from ingest.quality.limits import RateLimit

Point = tuple[datetime, float]


def is_jump(at: datetime, value: float, before: Point, before_that: Point | None, limit: RateLimit) -> bool:
    """Whether a value is out of reach from the reading before it and, where there is one, the one before that."""
    if _is_within_reach(before, at, value, limit):
        return False
    return before_that is None or not _is_within_reach(before_that, at, value, limit)


def _is_within_reach(start: Point, end: datetime, value: float, limit: RateLimit) -> bool:
    return abs(value - start[1]) <= limit.margin + limit.per_s * (end - start[0]).total_seconds()
