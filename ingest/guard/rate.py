"""How fast a gateway sends, by two clocks.

A broker hands over at full speed what piled up while we were away. By the time of arrival that is a flood; by the
times at which the readings were true it is not. A gateway whose clock stands still looks like a flood by the second
and is none by the first. So a sender is over its rate only when it is so by both: each clock fills a token bucket, a
message takes a token from both, and is too much when neither has one. A bucket may be in debt, so that two clocks are
not two allowances.
"""

from __future__ import annotations

BURST_S = 10.0
"""A gateway may send the messages of so many seconds at once."""


class Pace:
    """One gateway's buckets; moments are seconds since 1970. Written out, because every message passes here."""

    __slots__ = ("_arrived_s", "_by_arrival", "_by_observation", "_full", "_observed_s", "_rate_per_s")

    def __init__(self, rate_per_s: float, received_s: float, observed_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._full = rate_per_s * BURST_S
        self._arrived_s, self._by_arrival = received_s, self._full
        self._observed_s, self._by_observation = min(observed_s, received_s), self._full

    def has_room(self, received_s: float, observed_s: float) -> bool:
        """Count a live message that was true at `observed_s` at the latest; False if it is too much.

        What is too much takes no token, so a flood does not shut out the sender's own rate. A clock that goes back adds
        nothing, and one that is ahead counts as ours. The debt is a burst at most.
        """
        if received_s > self._arrived_s:
            self._by_arrival = min(self._by_arrival + (received_s - self._arrived_s) * self._rate_per_s, self._full)
            self._arrived_s = received_s
        if observed_s > received_s:
            observed_s = received_s
        if observed_s > self._observed_s:
            grown = (observed_s - self._observed_s) * self._rate_per_s
            self._by_observation = min(self._by_observation + grown, self._full)
            self._observed_s = observed_s
        if self._by_arrival < 1.0 and self._by_observation < 1.0:
            return False
        self._by_arrival = max(self._by_arrival - 1.0, -self._full)
        self._by_observation = max(self._by_observation - 1.0, -self._full)
        return True
