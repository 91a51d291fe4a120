"""Flat line: a sensor that repeats one value for longer than water can stand still is stuck."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ingest.quality.limits import FlatLineLimit


@dataclass(slots=True)
class FlatLine:
    """The run of equal values a sensor is in: since when, which value, how many."""

    since: datetime
    value: float
    count: int = 1

    def is_stuck(self, at: datetime, value: float, limit: FlatLineLimit) -> bool:
        """Whether the sensor is stuck with the next value in order of time, which joins the run or begins a new one."""
        if value == 0.0 or abs(value - self.value) > limit.tolerance:
            self.since, self.value, self.count = at, value, 1
            return False
        self.count += 1
        return self.count >= limit.values and at - self.since >= limit.lasting
