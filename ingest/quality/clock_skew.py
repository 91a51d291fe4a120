"""Clock skew: a gateway whose newest readings keep coming from the future has a clock that is ahead.

Then all its times are wrong, those of the readings that look plausible included. A clock that is behind cannot be told
from a slow path or a backfill: its readings are only marked late.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from datetime import timedelta
from statistics import median

from ingest.quality.limits import QualityLimits

_MOST_GATEWAYS = 10_000


class ClockSkew:
    """How far ahead each gateway's newest readings were lately. The gateway unheard for longest is forgotten first."""

    def __init__(self, limits: QualityLimits) -> None:
        self._limits = limits
        self._ahead_s: OrderedDict[str, deque[float]] = OrderedDict()

    def learn(self, newest: Mapping[str, timedelta]) -> None:
        """Take in, for each gateway heard, how far the newest reading lies after its arrival (negative: before)."""
        for gateway, ahead in newest.items():
            seen = self._ahead_s.setdefault(gateway, deque(maxlen=self._limits.skew_messages))
            seen.append(ahead.total_seconds())
            self._ahead_s.move_to_end(gateway)
        while len(self._ahead_s) > _MOST_GATEWAYS:
            self._ahead_s.popitem(last=False)

    def is_ahead(self, gateway: str) -> bool:
        """Whether the gateway's clock is ahead of ours."""
        seen = self._ahead_s.get(gateway, ())
        return len(seen) >= self._limits.skew_at_least and median(seen) > self._limits.ahead.total_seconds()
