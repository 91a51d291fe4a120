"""Watches a store while something is done to it: how long nothing moved, and how long readings took to be readable."""

from __future__ import annotations

import sqlite3
import threading
import time

from faults.evidence import ask_file
from faults.ledger import items_of, read
from faults.stand import Sending, Stand

_EVERY_S = 0.03
_NEWEST = "SELECT sensor_id, (SELECT max(time) FROM reading WHERE reading.series = series.series) FROM series"


class Pulse:
    """Looks at the store until it is stopped. `longest_pause_s` counts only while messages waited to be stored."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pulse", daemon=True)
        self._seen: dict[str, list[tuple[float, int]]] = {}
        self.longest_pause_s = 0.0

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def lags_s(self, sending: Sending) -> list[float]:
        """Return how long each message took from being sent to being readable, longest last."""
        lags = []
        for message, sent_at, _ in read(sending.ledger):
            for item in items_of(message):
                readable = (at for at, newest in self._seen.get(item.sensor_id, ()) if newest >= item.time_us)
                at = next(readable, None)
                if at is not None and sent_at is not None:
                    lags.append(max(0.0, at - sent_at))
        return sorted(lags)

    def _watch(self) -> None:
        last, since = 0, time.monotonic()
        while not self._stopping.wait(_EVERY_S):
            done = self._stand.stored() + self._stand.dead()
            sent = sum(sending.acknowledged for sending in self._stand.sendings)
            if done != last or sent <= done:
                last, since = done, time.monotonic()
            self.longest_pause_s = max(self.longest_pause_s, time.monotonic() - since)
            self._look()

    def _look(self) -> None:
        try:
            rows = ask_file(self._stand.store_files[0], _NEWEST)
        except sqlite3.OperationalError:
            return
        at = time.time()
        for sensor_id, newest in rows:
            seen = self._seen.setdefault(sensor_id, [])
            if newest is not None and (not seen or seen[-1][1] < newest):
                seen.append((at, newest))
