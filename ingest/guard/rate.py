"""How fast a gateway sends, by two clocks.

A broker hands over at full speed what piled up while we were away. By the time of arrival that is a flood; by the
times at which the readings were true it is not. A gateway whose clock stands still looks like a flood by the second
and is none by the first. So a sender is over its rate only when it is so by both: each clock fills a token bucket, a
message takes a token from both, and is too much when neither has one. A bucket may be in debt, so that two clocks are
not two allowances.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

BURST_S = 10.0
"""A gateway may send the messages of so many seconds at once."""


@dataclass(slots=True)
class _Bucket:
    """Tokens that grow with one clock."""

    tokens: float
    newest: datetime

    def fill(self, now: datetime, rate_per_s: float) -> None:
        """Add what has grown since the newest moment seen; a clock that goes back adds nothing."""
        if now > self.newest:
            grown = (now - self.newest).total_seconds() * rate_per_s
            self.tokens = min(self.tokens + grown, rate_per_s * BURST_S)
            self.newest = now

    def take(self, rate_per_s: float) -> None:
        """Take one, down to a burst's debt."""
        self.tokens = max(self.tokens - 1.0, -rate_per_s * BURST_S)


class Pace:
    """One gateway's buckets."""

    __slots__ = ("_arrival", "_observation")

    def __init__(self, rate_per_s: float, received_at: datetime, observed_at: datetime) -> None:
        self._arrival = _Bucket(rate_per_s * BURST_S, received_at)
        self._observation = _Bucket(rate_per_s * BURST_S, observed_at)

    def has_room(self, rate_per_s: float, received_at: datetime, observed_at: datetime) -> bool:
        """Count a live message that was true at `observed_at` at the latest; False if it is too much.

        What is too much takes no token, so a flood does not shut out the sender's own rate.
        """
        self._arrival.fill(received_at, rate_per_s)
        self._observation.fill(min(observed_at, received_at), rate_per_s)
        if self._arrival.tokens < 1.0 and self._observation.tokens < 1.0:
            return False
        self._arrival.take(rate_per_s)
        self._observation.take(rate_per_s)
        return True
