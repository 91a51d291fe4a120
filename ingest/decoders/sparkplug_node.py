"""What an edge node has said of itself: its session, its counting, and what stands behind its aliases.

An edge node and its devices introduce themselves with births; from then on they send values under aliases alone. Who
missed the births, or a message, must ask for them again, and does so no more often than every `rebirth_every`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

_NUMBERS = 256


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric that somebody mapped: its external name, its datatype and its unit (None: the sensor's own)."""

    name: str
    datatype: int
    unit: str | None


Key = int | str
"""What data names a metric by: its alias, or its name."""

Definitions = dict[Key, Definition | None]
"""Metrics of a device by alias and by name; None stands for an alias that nobody mapped."""


@dataclass(slots=True)
class EdgeNode:
    """The memory of one edge node. The node's own metrics are those of the device ""."""

    is_born: bool = False
    bd_seq: int | None = None
    devices: dict[str, Definitions] = field(default_factory=dict)
    _next_seq: int | None = None
    _asked_at: datetime | None = None

    def begin(self, bd_seq: int | None, seq: int) -> None:
        """Begin a session: all devices must introduce themselves anew."""
        self.is_born = True
        self.bd_seq = bd_seq
        self.devices.clear()
        self._next_seq = (seq + 1) % _NUMBERS

    def end(self) -> None:
        """End the session: no alias means anything any more."""
        self.is_born = False
        self.devices.clear()
        self._next_seq = None

    def is_end_of_session(self, bd_seq: int | None) -> bool:
        """Whether a death is of the present session and not the late one of a session before."""
        return not self.is_born or self.bd_seq is None or bd_seq is None or bd_seq == self.bd_seq

    def follows(self, seq: int) -> bool:
        """Whether a message is the one after the last, and not one after others that were lost."""
        expected, self._next_seq = self._next_seq, (seq + 1) % _NUMBERS
        return expected is None or seq == expected

    def may_be_asked(self, at: datetime, *, every: timedelta) -> bool:
        """Whether the node may be asked for its births now; if so, it counts as asked."""
        if self._asked_at is not None and timedelta(0) <= at - self._asked_at < every:
            return False
        self._asked_at = at
        return True
