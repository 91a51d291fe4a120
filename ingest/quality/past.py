"""What a sensor said: the recent past reading by reading, the longer past one reading in twelve."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from ingest.quality.limits import BUCKETS
from ingest.quality.unit_ratio import USUAL_AT_LEAST

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = datetime.min.replace(tzinfo=UTC)
_BEFORE_THE_PRESENT = 24
_FEWEST_OF_PAST = USUAL_AT_LEAST


class LongPast:
    """The first value of each of the last `BUCKETS` buckets of time. What bucket a moment is in depends on it alone."""

    __slots__ = ("_numbers", "_values", "_width", "ends_at")

    def __init__(self, width: timedelta) -> None:
        self._width = width
        self._numbers = array("q")
        self._values = array("d")
        self.ends_at = _NEVER

    def add(self, at: datetime, value: float) -> None:
        """Take the first value of a bucket; call it only with a moment not before `ends_at`, in order of time."""
        number = (at - EPOCH) // self._width
        self._numbers.append(number)
        self._values.append(value)
        try:
            self.ends_at = EPOCH + (number + 1) * self._width
        except OverflowError:
            self.ends_at = datetime.max.replace(tzinfo=UTC)
        self._forget_before(number)

    def forget(self, at: datetime) -> None:
        """Forget what is too long ago at a moment, which no later one may precede."""
        self._forget_before((at - EPOCH) // self._width)

    def _forget_before(self, number: int) -> None:
        outdated = sum(1 for old in self._numbers if old <= number - BUCKETS)
        if outdated:
            del self._numbers[:outdated]
            del self._values[:outdated]

    @property
    def values(self) -> Sequence[float]:
        """All that is remembered, in order of time."""
        return self._values

    def usual(self) -> Sequence[float]:
        """Return what the sensor used to say: the older half, once there is enough, so that a fault is not in it."""
        return self._values[: max(_FEWEST_OF_PAST, len(self._values) - _BEFORE_THE_PRESENT)]
