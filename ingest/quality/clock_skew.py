"""Clock skew: how far a gateway's clock is off, told from the shortest way its messages took lately.

A message cannot arrive before it was sent. So a gateway whose newest readings keep coming from the future has a clock
that is ahead, by at least so much. A clock that is behind makes every message seem slow by the same amount, which a
slow path may do as well. It is only called wrong when even the quickest of the last messages took far longer than
this gateway's usually do, all of them equally long, and that for two minutes: a queue that empties hands over messages
of a minute within a moment, and each took less long than the one before it.

A wrong clock makes all times wrong, those of the readings that look plausible included.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from ingest.quality.limits import QualityLimits
from twin.events import Event, EventKind, event

_MOST_GATEWAYS = 10_000
_USUAL_EVERY = timedelta(hours=1)
_USUAL_KEPT = 168
_USUAL_AT_LEAST = 5
_EQUALLY_LONG_S = 60.0
_EQUALLY_LONG_FOR = timedelta(minutes=2)
_TELL_EVERY = timedelta(minutes=30)


@dataclass(slots=True)
class _Way:
    """How long (s) the newest readings of the last messages took; and usually: once an hour, while all is well."""

    last_s: deque[float]
    usual_s: deque[float] = field(default_factory=lambda: deque(maxlen=_USUAL_KEPT))
    usual_at: datetime | None = None
    told_at: datetime | None = None
    offset_s: float = 0.0
    steady_s: float = 0.0
    steady_since: datetime | None = None

    def add(self, took_s: float, at: datetime) -> None:
        """Take in a message, and note since when all have taken about as long as the first of them."""
        self.last_s.append(took_s)
        if self.steady_since is None or abs(took_s - self.steady_s) > _EQUALLY_LONG_S:
            self.steady_s, self.steady_since = took_s, at

    def is_steady(self, at: datetime) -> bool:
        """Whether messages have long taken equally long."""
        return self.steady_since is not None and at - self.steady_since >= _EQUALLY_LONG_FOR


class ClockSkew:
    """How far off each gateway's clock is. The gateway unheard for longest is forgotten first."""

    def __init__(self, limits: QualityLimits) -> None:
        self._limits = limits
        self._ways: OrderedDict[str, _Way] = OrderedDict()

    def learn(self, messages: Mapping[str, Sequence[tuple[timedelta, datetime]]]) -> list[Event]:
        """Take in each gateway's messages in order of arrival; return what there is to tell.

        Of each message: how long its newest reading took, and when it came.
        """
        told = []
        for gateway, took_and_at in messages.items():
            took, at = took_and_at[-1]
            way = self._ways.get(gateway)
            if way is None:
                way = self._ways[gateway] = _Way(deque(maxlen=self._limits.skew_messages))
            for one_took, one_at in took_and_at[-self._limits.skew_messages :]:
                way.add(one_took.total_seconds(), one_at)
            way.offset_s = self._offset_s(way, at)
            if not way.offset_s and (way.usual_at is None or at - way.usual_at >= _USUAL_EVERY):
                way.usual_s.append(took.total_seconds())
                way.usual_at = at
            if way.offset_s and (way.told_at is None or at - way.told_at >= _TELL_EVERY):
                told.append(event(EventKind.CLOCK_SKEW, gateway, at, _in_words(way.offset_s)))
                way.told_at = at
            self._ways.move_to_end(gateway)
        while len(self._ways) > _MOST_GATEWAYS:
            self._ways.popitem(last=False)
        return told

    def offset_s(self, gateway: str) -> float:
        """Return by how many seconds the gateway's clock is ahead (negative: behind); 0 while it is believed."""
        way = self._ways.get(gateway)
        return way.offset_s if way is not None else 0.0

    def _offset_s(self, way: _Way, at: datetime) -> float:
        if len(way.last_s) < self._limits.skew_at_least:
            return 0.0
        alarm_s = self._limits.ahead.total_seconds()
        ahead_s = -median(way.last_s)
        if ahead_s > alarm_s:
            return -min(way.last_s)
        if len(way.usual_s) < _USUAL_AT_LEAST:
            return 0.0
        last = list(way.last_s)[-self._limits.skew_at_least :]
        behind_s = min(last) - median(way.usual_s)
        equally_long = max(last) - min(last) <= _EQUALLY_LONG_S and way.is_steady(at)
        return -behind_s if behind_s > alarm_s and equally_long else 0.0


def _in_words(offset_s: float) -> str:
    size = f"{abs(offset_s):.0f} s"
    if offset_s > 0:
        return f"its clock is at least {size} ahead: readings come from the future"
    return f"its clock seems {size} behind: even its quickest messages take so much longer than usual"
