"""Clock skew: how far a gateway's clock is off, told from how long the quickest of its messages took.

A message cannot arrive before it was sent. So a gateway whose newest readings keep coming from the future has a clock
that is ahead, by at least so much. A clock that is behind makes every message seem slow by the same amount, which a
queue, a slow path or an outage may do as well. Two signs tell them apart, and one is enough once every message takes
longer than the quickest usually do by more than a clock may be off:

- The same times come again: for two minutes nothing is newer than what came before. No queue can do that, whose
  messages come in the order in which they were sent; a clock that was set back does until it has caught up.
- It stays so: the quickest message of five windows in a row (20 minutes each, longer where messages are rare) took
  equally long. A queue that empties hands over each message sooner than the one before it. Where the quickest do not
  take equally long usually (a mobile network), they may differ by more, but more windows must agree.

A clock once found behind is not believed until a message is quick again. A path that takes minutes longer from one day
on, and then always, looks the same: from here nobody can tell.

A wrong clock makes all times wrong, those of the readings that look plausible included.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil, inf
from statistics import median

from ingest.quality.limits import QualityLimits
from twin.events import Event, EventKind, event

_MOST_GATEWAYS = 10_000
_WINDOW_S = 20 * 60.0
_USUAL_WINDOWS = 168
_USUAL_AT_LEAST = 5
_AGREEING_AT_LEAST = 5
_EQUALLY_LONG_S = 60.0
_TIMES_USUAL_SPREAD = 2.0
_REPEATS_FOR_S = 120.0
_RIGHT_AGAIN = 3
_TELL_EVERY = timedelta(minutes=30)
_ZONE_S = 30 * 60.0
_MOST_ZONES = 28


class _Way:
    """How long (s) a gateway's messages take: the last ones, and the quickest of each window of time."""

    __slots__ = (
        "_agreeing", "_alarm_s", "_at_least", "_ends_s", "_equal_s", "_equal_since_s", "_last_s", "_newest_s",
        "_quickest_s", "_repeats", "_repeats_itself", "_since_early", "_slow_s", "_tolerance_s", "_usual_s",
        "_usually_s", "offset_s", "told_at",
    )  # fmt: skip

    def __init__(self, limits: QualityLimits) -> None:
        self.offset_s = 0.0
        self.told_at: datetime | None = None
        self._alarm_s = limits.ahead.total_seconds()
        self._at_least = limits.skew_at_least
        self._last_s: deque[float] = deque(maxlen=limits.skew_messages)
        self._since_early = _RIGHT_AGAIN
        self._usual_s: deque[float] = deque(maxlen=_USUAL_WINDOWS)
        self._slow_s: deque[float] = deque(maxlen=_USUAL_WINDOWS)
        self._usually_s = inf
        self._tolerance_s = _EQUALLY_LONG_S
        self._agreeing = _AGREEING_AT_LEAST
        self._quickest_s = inf
        self._ends_s = inf
        self._newest_s = -inf
        self._equal_s = self._equal_since_s = -inf
        self._repeats = 0
        self._repeats_itself = False

    def take(self, took: timedelta, at: datetime) -> None:
        """Take in the next message: how long its newest reading took, and when it came."""
        took_s, at_s = took.total_seconds(), at.timestamp()
        self._last_s.append(took_s)
        if took_s < -self._alarm_s:  # from the future: it says nothing of the path
            self._since_early = 0
            return
        self._since_early += 1
        if at_s >= self._ends_s:
            self._end_window()
        if self._quickest_s == inf:
            self._ends_s = at_s + _WINDOW_S
        self._quickest_s = min(self._quickest_s, took_s)
        if not self._too_slow_s(took_s):
            self._slow_s.clear()
        self._note_repeats(took_s, at_s)
        if self._repeats_itself and self._too_slow_s(self._equal_s):
            self._quickest_s = self._equal_s  # what was quicker came before the clock was set back

    def judge(self) -> float:
        """Return by how much the clock is ahead (negative: behind) as it looks now; 0 if it is believed."""
        self.offset_s = self._ahead_s() or -self._behind_s()
        return self.offset_s

    def _ahead_s(self) -> float:
        if self._since_early >= _RIGHT_AGAIN or len(self._last_s) < self._at_least:
            return 0.0
        return -min(self._last_s) if -median(self._last_s) > self._alarm_s else 0.0

    def _behind_s(self) -> float:
        if not self._too_slow_s(self._quickest_s):
            return 0.0
        slow = [*self._slow_s, self._quickest_s][-self._agreeing :]
        stays = len(slow) == self._agreeing and max(slow) - min(slow) <= self._tolerance_s
        return self._too_slow_s(min(slow)) if stays or self._repeats_itself or self.offset_s < 0 else 0.0

    def _too_slow_s(self, took_s: float) -> float:
        longer_s = took_s - self._usually_s
        return longer_s if longer_s > self._alarm_s else 0.0

    def _end_window(self) -> None:
        if self._too_slow_s(self._quickest_s):
            self._slow_s.append(self._quickest_s)
        else:
            self._usual_s.append(self._quickest_s)
            self._know_the_usual()
        self._quickest_s = inf

    def _know_the_usual(self) -> None:
        if len(self._usual_s) < _USUAL_AT_LEAST:
            return
        usual = sorted(self._usual_s)
        tenth = len(usual) // 10
        self._usually_s = usual[tenth]
        self._tolerance_s = max(_EQUALLY_LONG_S, _TIMES_USUAL_SPREAD * (usual[-1 - tenth] - usual[tenth]))
        self._agreeing = min(ceil(_AGREEING_AT_LEAST * self._tolerance_s / _EQUALLY_LONG_S), _USUAL_WINDOWS)

    def _note_repeats(self, took_s: float, at_s: float) -> None:
        """Note whether messages that took equally long have told nothing newer for some time."""
        observed_s = at_s - took_s
        if observed_s > self._newest_s or abs(took_s - self._equal_s) > _EQUALLY_LONG_S:
            self._equal_s, self._equal_since_s, self._repeats = took_s, at_s, 0
        else:
            self._repeats += 1
        self._repeats_itself = self._repeats >= self._at_least and at_s - self._equal_since_s >= _REPEATS_FOR_S
        self._newest_s = max(self._newest_s, observed_s)


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
            way = self._ways.get(gateway)
            if way is None:
                way = self._ways[gateway] = _Way(self._limits)
            for took, at in took_and_at[-self._limits.skew_messages :]:
                way.take(took, at)
            if way.judge() and (way.told_at is None or at - way.told_at >= _TELL_EVERY):
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


def _in_words(offset_s: float) -> str:
    size = f"{abs(offset_s):.0f} s{_why(abs(offset_s))}"
    if offset_s > 0:
        return f"its clock is at least {size} ahead: readings come from the future"
    return f"its clock seems {size} behind: even its quickest messages take so much longer than usual"


def _why(size_s: float) -> str:
    zones = round(size_s / _ZONE_S)
    is_a_zone = 1 <= zones <= _MOST_ZONES and abs(size_s - zones * _ZONE_S) <= _EQUALLY_LONG_S
    return " (a wrong time zone, or summer time?)" if is_a_zone else ""
