"""What keeps the ledger of gaps in an ingest role: the watch over what comes in, and the keeper that asks gateways."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from api import bootstrap
from twin.clock import Clock
from twin.errors import TwinError, UnavailableError
from twin.gaps import GapState
from twin.ports import ReadingStore, Registry

if TYPE_CHECKING:
    from ingest.gap_keeper import GapKeeper, Publish
    from ingest.sensors import SensorTable

LEASE = "gaps"
LEASE_S = 60.0
ASK_WITHIN_S = 15.0


class GapKeeping:
    """A watch and its keeper, on the stores of one installation.

    With `asks` False nobody is asked to send again: in an exercise everything was sent. `shared` says that other
    ingesters may get readings of the same sensors.
    """

    def __init__(
        self, memory: bootstrap.Memory, clock: Clock, broker_url: str, *, asks: bool = True, shared: bool = False
    ) -> None:
        from ingest.gap_book import GapBook
        from ingest.gap_keeper import GapKeeper
        from ingest.gap_watch import GapWatch

        self._registry = memory.registry
        self._clock = clock
        self._holder = f"{socket.gethostname()}-{os.getpid()}"
        sensors = _sensors(memory)
        self.watch = GapWatch(memory.readings, sensors, shared=shared)
        self._keeper = GapKeeper(
            self.watch,
            GapBook(memory.readings, memory.registry, clock),
            memory.registry,
            sensors,
            clock,
            publish=_publish_to(broker_url) if asks else None,
            may_ask=self._may_ask,
        )

    def start(self) -> None:
        """Begin to look and to ask."""
        self._keeper.start()

    def stop(self) -> None:
        """End, and let another process ask."""
        self._keeper.stop()
        with contextlib.suppress(TwinError):  # it runs out by itself
            self._registry.release_lease(LEASE, self._holder)

    def _may_ask(self) -> bool:
        return self._registry.acquire_lease(LEASE, self._holder, ttl_s=LEASE_S, now=self._clock.now())


def asking_keeper(here: bootstrap.Offline) -> GapKeeper:
    """Return a keeper for one command: it asks at once, and watches nothing.

    Raises:
        ConfigError: If no broker is known.
    """
    from ingest.gap_book import GapBook
    from ingest.gap_keeper import GapKeeper
    from ingest.gap_watch import GapWatch

    memory = bootstrap.Memory(here.open_readings(), here.registry)
    sensors = _sensors(memory)
    return GapKeeper(
        GapWatch(memory.readings, sensors),
        GapBook(memory.readings, memory.registry, here.clock),
        memory.registry,
        sensors,
        here.clock,
        publish=_publish_to(bootstrap.broker_url(here.settings)),
    )


def close_filled_gaps(store: ReadingStore, registry: Registry, clock: Clock) -> None:
    """Hold every gap that is not closed against the stored readings: for readings that did not come through a role."""
    from ingest.gap_book import GapBook

    book, sensors, cursor = GapBook(store, registry, clock), registry.sensors(), None
    states = [state for state in GapState if state is not GapState.CLOSED]
    while True:
        page = registry.gaps(states=states, limit=1000, cursor=cursor)
        for gap in page.items:
            if gap.sensor_id in sensors:
                book.recheck(gap, sensors[gap.sensor_id])
        cursor = page.next_cursor
        if cursor is None:
            return


def _sensors(memory: bootstrap.Memory) -> SensorTable:
    from ingest.sensors import SensorTable

    sensors = SensorTable(memory.registry, stale_after_s=60.0)
    with contextlib.suppress(UnavailableError):  # the keeper reads them as soon as it can
        sensors.refresh()
    return sensors


def _publish_to(broker_url: str) -> Publish:
    """Return a function that connects only when there is something to ask."""

    def publish(messages: Sequence[tuple[str, bytes]]) -> int:
        from ingest.publisher import Publisher

        with Publisher(broker_url, timeout_s=ASK_WITHIN_S) as publisher:
            return publisher.publish_all(messages)

    return publish
