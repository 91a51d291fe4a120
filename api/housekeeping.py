"""Keeps the embedded reading store in order: sums up, seals old days, lets go of what is older than is to be kept.

One process of the installation does it, under a lease. What fails is tried again at the next turn; nothing is deleted
that was not summed up (and, where days are sealed, read back from its file) before.
"""

from __future__ import annotations

import os
import socket
import threading
from datetime import datetime, timedelta

import structlog

from api.settings import Settings
from twin.clock import Clock
from twin.errors import TwinError
from twin.ports import Coordination, ReadingStore, Upkeep
from twin.rollups import Every

log = structlog.get_logger()

LEASE = "housekeeping"
LEASE_S = 3600.0
EVERY_S = 600.0
SETTLED_AFTER = timedelta(hours=1)
"""So long after midnight a day is summed up: most late readings have come by then, the others cost a little more."""


class Housekeeping:
    """A thread that takes a turn every ten minutes. A store that does not keep itself needs none."""

    def __init__(self, store: ReadingStore, registry: Coordination, settings: Settings, clock: Clock) -> None:
        self._store = store if isinstance(store, Upkeep) else None
        self._registry = registry
        self._settings = settings
        self._clock = clock
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)

    def start(self) -> None:
        """Start the thread, where there is something to keep."""
        if self._store is not None:
            self._thread.start()

    def stop(self) -> None:
        """End after the step in hand; what is not done is done by the next process."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)
            try:
                self._registry.release_lease(LEASE, self._holder)
            except TwinError as error:
                log.warning("lease not given back", cause=str(error))

    def turn(self) -> None:
        """Do what is due, if no other process does it.

        Raises:
            TwinError: If the stores do not let us.
        """
        now = self._clock.now()
        store = self._store
        if store is None or not self._registry.acquire_lease(LEASE, self._holder, ttl_s=LEASE_S, now=now):
            return
        store.roll_up(now - SETTLED_AFTER, stop=self._stop.is_set)
        if (before := _days_before(now, self._settings.seal_after_days)) is not None and not self._stop.is_set():
            self._seal(store, before, now)
        if (before := _days_before(now, self._settings.keep_readings_days)) is not None and not self._stop.is_set():
            self._told(store.drop_readings(before, now=now), "readings", before)
        for every, days in self._rollups_kept().items():
            if (before := _days_before(now, days)) is not None and not self._stop.is_set():
                self._told(store.drop_rollups(every, before), f"rollups of {every}", before)

    def _seal(self, store: Upkeep, before: datetime, now: datetime) -> None:
        sealed = store.seal(before, now=now)
        if sealed:
            log.info("days sealed", days=len(sealed), readings=sum(file.readings for file in sealed))

    def _rollups_kept(self) -> dict[Every, int | None]:
        settings = self._settings
        return {
            Every.QUARTER_HOUR: settings.keep_rollups_15m_days,
            Every.HOUR: settings.keep_rollups_1h_days,
            Every.DAY: settings.keep_rollups_1d_days,
        }

    def _told(self, count: int, what: str, before: datetime) -> None:
        if count:
            log.info("deleted as older than is kept", what=what, count=count, before=before.date().isoformat())

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.turn()
            except TwinError as error:
                log.error("housekeeping failed; it is tried again", cause=str(error))
            except Exception:  # a defect of ours must not end the service
                log.exception("housekeeping failed unexpectedly")
            self._stop.wait(EVERY_S)


def _days_before(now: datetime, days: int | None) -> datetime | None:
    return None if days is None else now - timedelta(days=days)
