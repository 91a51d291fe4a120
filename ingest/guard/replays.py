"""Recordings that are played again: many readings older than what their sender had sent before, that nobody asked for.

They are not refused: an exact repeat is absorbed by the store, another value under a known time becomes a conflict, and
neither can do harm. But a person should know.

What cannot be found this way: a recording that is played before the sender has spoken to this process (after a
restart, or to another one of several), one that is newer than all that was sent before, one that is thinned out
between more than twice as many new readings, and one played under another name, which is the broker's to prevent. A
logger that sends overlapping days of its own accord looks the same, and is reported too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from ingest.decoders.base import Decoded
from ingest.guard.backfill import OpenGaps
from ingest.guard.recent import Recent
from ingest.message import Message
from twin.events import Event, EventKind, event

WINDOW = timedelta(hours=1)
MANY = 200
"""So many old readings within the window, and at least half as many as new ones, are a recording and no hiccup."""

_MOST_SENSORS = 100_000
_MOST_GATEWAYS = 10_000


@dataclass(slots=True)
class _Sent:
    """What a gateway sent within a window."""

    since: datetime
    until: datetime
    new: int = 0
    old: int = 0
    told: bool = False


class ReplayWatch:
    """Remembers the newest reading of every sensor, and counts what comes behind it."""

    def __init__(self, gaps: OpenGaps) -> None:
        self._gaps = gaps
        self._newest: Recent[tuple[str, str], datetime] = Recent(_MOST_SENSORS)
        self._sent: Recent[str, _Sent] = Recent(_MOST_GATEWAYS)
        self.old = 0
        """Readings that came behind a newer one of their sensor, unasked for."""

    def look_at(self, message: Message, decoded: Decoded) -> Event | None:
        """Count a message; return the event where a gateway's recording becomes apparent."""
        gateway, now = decoded.gateway, message.received_at
        sent = self._sent.young.get(gateway) or self._sent.get(gateway)
        if sent is None or not sent.since <= now < sent.until:
            sent = _Sent(now, now + WINDOW)
            self._sent.put(gateway, sent)
        for raw in decoded.readings:
            observed_at = raw.observed_at
            if observed_at is None:
                continue
            key = (gateway, raw.name)
            newest = self._newest.young.get(key) or self._newest.get(key)
            if newest is None:
                self._newest.put(key, observed_at)
                sent.new += 1
            elif observed_at > newest:
                self._newest.young[key] = observed_at  # where it is, once it was asked for
                sent.new += 1
            elif observed_at < newest and not message.is_redelivery and not self._gaps.hold(gateway, raw, now):
                sent.old += 1
                self.old += 1
        if sent.told or sent.old < MANY or 2 * sent.old < sent.new:
            return None
        sent.told = True
        detail = (
            f"within an hour {gateway!r} sent {sent.old} readings that are older than what it had sent before and that "
            "nobody asked for; repeats are absorbed, other values are dead letters (conflict)"
        )
        return event(EventKind.REPLAYED, gateway, now, detail)
