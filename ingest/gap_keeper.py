"""Keeps the ledger of gaps: looks again where something came late, asks gateways to send again, gives up in the end.

One thread. Every process that takes readings in settles the places that its own watch has put down; only one of them
(`may_ask`, a lease) goes through the waiting gaps and asks. Each gap is held against the store before it is asked for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ingest.backfill import MOST_IN_ONE, encode_request
from ingest.decoders.native import backfill_topic, fits_topic
from ingest.gap_book import GapBook
from ingest.gap_watch import GapWatch, Place
from ingest.sensors import SensorTable
from twin.clock import Clock
from twin.errors import TwinError, UnavailableError
from twin.gaps import Gap, GapState
from twin.ports import GapLedger

_LOG = logging.getLogger(__name__)
_TICK_S = 0.5
_NEVER_STORED_S = 600.0
_BUSY_SHARE = 0.05
_UNASKABLE_AGAIN = timedelta(minutes=10)

Publish = Callable[[Sequence[tuple[str, bytes]]], int]
"""Publishes messages and returns how many of them, from the first on, the broker has acknowledged."""


@dataclass(frozen=True, slots=True)
class GapRules:
    """When gateways are asked: so long after the gap was found, then so long after each request; the last wait is that
    before the gap is given up. `look_every_s` is how often the waiting gaps are gone through.
    """

    ask_after: tuple[timedelta, ...] = (
        timedelta(seconds=5),
        timedelta(minutes=1),
        timedelta(minutes=5),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(hours=8),
        timedelta(days=1),
    )
    look_every_s: float = 5.0

    def due_at(self, gap: Gap) -> datetime:
        """Return when the next step with a waiting gap is due."""
        waits = min(gap.requests, len(self.ask_after) - 1)
        return (gap.requested_at or gap.found_at) + self.ask_after[waits]

    def is_last(self, gap: Gap) -> bool:
        """Whether the next step is to give up."""
        return gap.requests >= len(self.ask_after) - 1


class GapKeeper:
    """Settles, asks and gives up until it is stopped. Without `publish` nobody is asked and nothing given up."""

    def __init__(
        self,
        watch: GapWatch,
        book: GapBook,
        ledger: GapLedger,
        sensors: SensorTable,
        clock: Clock,
        *,
        publish: Publish | None = None,
        may_ask: Callable[[], bool] = lambda: True,
        rules: GapRules | None = None,
    ) -> None:
        self._watch = watch
        self._book = book
        self._ledger = ledger
        self._sensors = sensors
        self._clock = clock
        self._publish = publish
        self._may_ask = may_ask
        self._rules = rules or GapRules()
        self._put_off: dict[tuple[str, datetime], datetime] = {}
        self._look_at_s = 0.0
        self._trouble = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gap-keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(10.0)

    def settle_places(self) -> None:
        """Look at the places that the watch has put down and whose time has come.

        Raises:
            UnavailableError: If store or registry is away; what was not looked at is put down again.
        """
        places = deque(self._watch.take_due())
        try:
            while places and not self._stop.is_set():
                self._settle(places[0])
                places.popleft()
        finally:
            places.rotate(-1)  # what could not be looked at waits behind the others
            for place in places:
                self._watch.put_back(place, wait_s=2.0)

    def ask(self, gaps: Iterable[Gap], *, at_once: bool = False) -> list[Gap]:
        """Hold waiting gaps against the store and ask for those that are due (`at_once`: all); return those asked for.

        Gaps that were asked for often enough are given up. Gaps whose sender cannot be asked are only looked at.

        Raises:
            UnavailableError: If store, registry or broker is away; what was not asked for stays due.
        """
        now = self._clock.now()
        by_gateway: dict[str, list[Gap]] = defaultdict(list)
        for gap in gaps:
            if self._stop.is_set():
                break
            if not at_once and max(self._rules.due_at(gap), self._put_off.get(gap.key, gap.found_at)) > now:
                continue
            for missing in self._recheck(gap, now):
                if at_once or not self._rules.is_last(missing):
                    by_gateway[missing.gateway_id].append(missing)
                else:
                    self._ledger.save_gaps([replace(missing, state=GapState.GIVEN_UP)])
        return [asked for gateway_id, missing in by_gateway.items() for asked in self._request(gateway_id, missing)]

    def _settle(self, place: Place) -> None:
        sensor = self._sensors.get(place.sensor_id)
        if sensor is None:
            self._sensors.refresh(missing=True)
            sensor = self._sensors.get(place.sensor_id)
        if sensor is not None:
            self._book.settle(sensor, place.gateway_id, place.start, place.end)
        waits = sensor is None or not self._book.is_stored(place.sensor_id, place.end)
        if waits and self._watch.age_s(place) < _NEVER_STORED_S:
            self._watch.put_back(place, wait_s=2.0)

    def _recheck(self, gap: Gap, now: datetime) -> list[Gap]:
        """Return what of the gap is missing and can be asked for."""
        sensor = self._sensors.get(gap.sensor_id)
        missing = self._book.recheck(gap, sensor) if sensor is not None else []
        askable = [one for one in missing if fits_topic(one.gateway_id)]
        if not askable:
            self._put_off[gap.key] = now + (_UNASKABLE_AGAIN if missing or sensor is None else timedelta(seconds=2))
        else:
            self._put_off.pop(gap.key, None)
        return askable

    def _request(self, gateway_id: str, gaps: Sequence[Gap]) -> list[Gap]:
        if self._publish is None:
            return []
        asked: list[Gap] = []
        topic = backfill_topic(gateway_id)
        for start in range(0, len(gaps), MOST_IN_ONE):
            part = gaps[start : start + MOST_IN_ONE]
            if self._publish([(topic, encode_request(part))]) < 1:
                raise UnavailableError("the broker did not take a backfill request in time; it is asked again")
            now = self._clock.now()
            marked = [
                replace(gap, state=GapState.REQUESTED, requests=gap.requests + 1, requested_at=now) for gap in part
            ]
            self._ledger.save_gaps(marked)
            asked += marked
        return asked

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            try:
                self._sensors.refresh()
                self.settle_places()
                self._go_through_waiting()
            except TwinError as error:
                self._say(str(error))
            except Exception as error:  # a defect of ours must not end the thread: gaps would go unseen
                if not self._trouble:
                    _LOG.exception("the ledger of gaps cannot be kept")
                self._say(f"unexpected {type(error).__name__}: {error}")
            else:
                self._trouble = ""

    def _go_through_waiting(self) -> None:
        started = time.monotonic()
        if self._publish is None or started < self._look_at_s or not self._may_ask():
            return
        waiting = self._ledger.open_gaps()
        self._put_off = {gap.key: self._put_off[gap.key] for gap in waiting if gap.key in self._put_off}
        self._look_at_s = started + self._rules.look_every_s
        self.ask(waiting)
        took_s = time.monotonic() - started
        self._look_at_s = time.monotonic() + max(self._rules.look_every_s, took_s / _BUSY_SHARE)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            _LOG.warning("gaps: %s", trouble)
        self._trouble = trouble
