"""Judges windows that late readings re-opened, beside the ingester: one process of the installation at a time.

Whoever takes readings in may do it; the lease says who does. What fails is tried again, and a window stays until the
verdicts in it are stored.
"""

from __future__ import annotations

import os
import socket
import threading

import structlog

from ingest.quality.rejudge import Rejudge
from twin.clock import Clock
from twin.errors import TwinError
from twin.ports import ReadingStore, Registry

log = structlog.get_logger()

LEASE = "rejudging"
LEASE_S = 60.0
EVERY_S = 2.0


class Rejudging:
    """A thread that looks for windows every two seconds; in an exercise it is asked to settle them instead."""

    def __init__(self, readings: ReadingStore, registry: Registry, clock: Clock) -> None:
        self._worker = Rejudge(readings, registry)
        self._registry = registry
        self._clock = clock
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rejudging", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End after the window in hand; what is not done is done by the next process."""
        self._stop.set()
        if self._thread.ident is None:
            return
        self._thread.join(10.0)
        try:
            self._registry.release_lease(LEASE, self._holder)
        except TwinError as error:
            log.warning("lease not given back", cause=str(error))

    def settle(self) -> None:
        """Judge all windows that wait, now.

        Raises:
            UnavailableError: If a store is away.
        """
        while self._worker.turn():
            pass

    def _run(self) -> None:
        told = ""
        while not self._stop.is_set():
            settled, trouble = 0, ""
            try:
                if self._registry.acquire_lease(LEASE, self._holder, ttl_s=LEASE_S, now=self._clock.now()):
                    settled = self._worker.turn(self._stop)
            except TwinError as error:
                trouble = str(error)
            except Exception as error:  # a defect of ours must not end the service
                log.exception("windows could not be judged again")
                trouble = f"unexpected {type(error).__name__}: {error}"
            if trouble and trouble != told:
                log.error("windows wait to be judged again", cause=trouble)
            told = trouble
            if not settled:
                self._stop.wait(EVERY_S)
