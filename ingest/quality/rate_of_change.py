"""Rate of change: a jump faster than the quantity can move is a spike, unless the next value confirms it.

```
value   a   a   B   a   a        B is flagged: neither neighbour supports it
value   a   a   B   B   B        only the first B is flagged: the second confirms the new state
```
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.quality.limits import RateLimit


@dataclass(slots=True)
class RateOfChange:
    """The last believed value, and the jump that waits for confirmation."""

    at: datetime
    value: float
    jumped_at: datetime | None = None
    jumped_to: float = 0.0

    def is_jump(self, at: datetime, value: float, limit: RateLimit) -> bool:
        """Whether the next value in order of time is out of reach from the last believed one and not confirmed."""
        reachable = _is_within_reach(self.at, self.value, at, value, limit)
        confirmed = self.jumped_at is not None and _is_within_reach(self.jumped_at, self.jumped_to, at, value, limit)
        if reachable or confirmed:
            self.at, self.value, self.jumped_at = at, value, None
            return False
        self.jumped_at, self.jumped_to = at, value
        return True


def _is_within_reach(start: datetime, before: float, end: datetime, after: float, limit: RateLimit) -> bool:
    return abs(after - before) <= limit.margin + limit.per_s * (end - start).total_seconds()
