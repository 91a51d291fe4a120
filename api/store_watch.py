"""Looks after the readings' store from where its spool is: only the ingest role sees what waits in it.

It says what is wrong with the store, and how full it is. From 70 % of any limit on there is an event, from 95 % on
another one: an episode each, prolonged for as long as it lasts. A store that is full pauses the ingest; it drops
nothing, so the time to act is before that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from twin.clock import Clock
from twin.errors import TwinError
from twin.events import EPISODE, Event, EventKind, event
from twin.ports import EventLog, Fullness, Limited, ReadingStore

log = structlog.get_logger()

LOOK_EVERY_S = 10.0
FILLING, NEARLY_FULL = 0.70, 0.95
"""Shares of a limit from which there is an event; from the second on the service is not ready."""

FULLNESS_FIGURE = "store_full_"
"""With these words begins the figure of each limit in the ingest role's sign of life."""

_TOLD_AGAIN_AFTER = EPISODE / 2
_UNIT = {"waiting": (1.0, "readings wait"), "file": (1e6, "MB in the file"), "disk": (1e6, "MB on the disk")}


class StoreWatch:
    """Watches one store; `figures` are those of the last look."""

    def __init__(self, store: ReadingStore, events: EventLog, clock: Clock, *, every_s: float = LOOK_EVERY_S) -> None:
        self._store = store
        self._events = events
        self._clock = clock
        self._every_s = every_s
        self._looked_at: float | None = None
        self._trouble = ""
        self._told_at: dict[str, datetime] = {}
        self.figures: Mapping[str, float] = {}

    def trouble(self) -> str:
        """Return what is wrong with the store, looked at no more often than it needs; empty: nothing."""
        if self._looked_at is not None and time.monotonic() - self._looked_at < self._every_s:
            return self._trouble
        self._looked_at = time.monotonic()
        try:
            self._look_at_fullness()
            self._store.check()
            self._trouble = ""
        except TwinError as error:
            self._trouble = f"readings: {error}"
        return self._trouble

    def _look_at_fullness(self) -> None:
        stats = self._store.stats()
        limits = self._store.fullness() if isinstance(self._store, Limited) else []
        self.figures = {
            "spool_pending": stats.pending,
            "spool_quarantined": stats.quarantined,
            **{FULLNESS_FIGURE + limit.of: limit.share for limit in limits},
        }
        self._tell([told for limit in limits if (told := self._event_of(limit)) is not None])

    def _event_of(self, limit: Fullness) -> Event | None:
        level = next((level for level in (NEARLY_FULL, FILLING) if limit.share >= level), None)
        if level is None:
            return None
        subject = f"readings: {limit.of} from {level:.0%}"
        now = self._clock.now()
        told_at = self._told_at.get(subject)
        if told_at is not None and timedelta(0) <= now - told_at < _TOLD_AGAIN_AFTER:
            return None
        return event(EventKind.STORE_FILLING, subject, now, filling(limit))

    def _tell(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            self._events.log_events(events)
        except TwinError as error:  # it is told at the next look; the store itself must be looked at all the same
            log.warning("an event was not kept", cause=str(error))
            return
        for told in events:
            self._told_at[told.subject] = told.first_at
            log.warning("the store is filling up", subject=told.subject, detail=told.detail)


def filling(limit: Fullness) -> str:
    """Say how full a limit is, and what to do, in one sentence."""
    scale, unit = _UNIT.get(limit.of, (1.0, limit.of))
    what_to_do = {
        "waiting": "bring InfluxDB back, or raise TWIN_SPOOL_READINGS",
        "file": "seal or export old days, or raise TWIN_STORE_MAX_MB",
        "disk": "free disk space, or move the data folder to a larger disk",
    }.get(limit.of, "make room")
    used, most = limit.used / scale, limit.most / scale
    return f"{used:.0f} of {most:.0f} {unit} ({limit.share:.0%}); at 100 % ingest pauses: {what_to_do}"
