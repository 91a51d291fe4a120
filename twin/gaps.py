"""Missing intervals: what a sensor should have said and did not, until it is filled or given up.

A gap is found in two ways: a jump in `seq` says exactly how many readings are missing; a pause of more than
`LONGEST_PAUSE_INTERVALS` of the declared cadence says about how many.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

LONGEST_PAUSE_INTERVALS = 1.5


class GapState(StrEnum):
    """What has become of a gap."""

    OPEN = "open"
    REQUESTED = "requested"  # the gateway was asked to send again
    CLOSED = "closed"  # the late readings came
    GIVEN_UP = "given_up"  # asked often enough in vain


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings of one sensor that are missing between two that came: `start` < observed_at < `end`.

    `missing` is how many are lacking still, `missing_at_first` how many were when it was found. `by_seq` says that the
    count is exact: `first_seq` to `last_seq` (inclusive) are lacking.
    """

    sensor_id: str
    gateway_id: str
    start: datetime
    end: datetime
    missing: int
    missing_at_first: int
    found_at: datetime
    state: GapState = GapState.OPEN
    first_seq: int | None = None
    last_seq: int | None = None
    requests: int = 0
    requested_at: datetime | None = None
    closed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, datetime]:
        """What makes a gap unique: the sensor and the last reading before it."""
        return (self.sensor_id, self.start)

    @property
    def by_seq(self) -> bool:
        """Whether numbers, not the cadence, told of it."""
        return self.first_seq is not None
