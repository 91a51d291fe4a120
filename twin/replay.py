"""Replay: the past once more, step by step, through the same path as live readings.

Each step is a moment and the rows that became true up to it. The clock is moved to the moment, the rows are published
to the broker, and the cycle turns when all of them have come back through the ingester. So a replay at any speed gives
the same answers, and nothing is known before its time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from twin.clock import ReplayClock
from twin.cycle import Cycle, CycleOutcome
from twin.errors import UnavailableError
from twin.readings import Reading


@dataclass(frozen=True, slots=True)
class Row:
    """One reading as a gateway sends it."""

    sensor_id: str
    observed_at: datetime
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Step:
    """The rows that are published when the replay reaches `at`."""

    at: datetime
    rows: tuple[Row, ...]


class Gateway(Protocol):
    """Publishes rows to the broker."""

    def publish(self, rows: Sequence[Row]) -> int:
        """Publish rows; return how many the broker has acknowledged."""
        ...


class Taken(Protocol):
    """Tells how many readings the ingester has dealt with, for good or ill."""

    def __call__(self) -> int:
        """Return the number of readings stored, absorbed or buried so far."""
        ...


class Replay:
    """Relives steps on a `ReplayClock`. `settle` ends what the ingester does beside, before the cycle turns."""

    def __init__(
        self,
        clock: ReplayClock,
        gateway: Gateway,
        taken: Taken,
        cycle: Cycle,
        *,
        patience_s: float = 60.0,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._gateway = gateway
        self._taken = taken
        self._cycle = cycle
        self._patience_s = patience_s
        self._settle = settle
        self.published = 0

    def play(
        self,
        steps: Iterable[Step],
        *,
        speed: float | None,
        stop: threading.Event,
        on_turn: Callable[[CycleOutcome], None],
    ) -> None:
        """Relive the steps, `speed` times as fast as they were (None: as fast as the machine can).

        Raises:
            UnavailableError: If the broker or the ingester does not keep up within the patience.
        """
        began, first = time.monotonic(), None
        for step in steps:
            first = first or step.at
            if speed is not None:
                due = began + (step.at - first).total_seconds() / speed
                stop.wait(max(0.0, due - time.monotonic()))
            if stop.is_set():
                return
            self._clock.advance_to(step.at)
            self._bring_in(step.rows)
            self._settle()
            on_turn(self._cycle.turn())

    def _bring_in(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        acknowledged = self._gateway.publish(rows)
        if acknowledged != len(rows):
            raise UnavailableError(f"the broker acknowledged {acknowledged} of {len(rows)} readings")
        self.published += acknowledged
        end = time.monotonic() + self._patience_s
        pause = threading.Event()
        while self._taken() < self.published:
            if time.monotonic() > end:
                raise UnavailableError(
                    f"the ingester has dealt with {self._taken()} of {self.published} readings "
                    f"after {self._patience_s:g} s"
                )
            pause.wait(0.005)


def when_known(reading: Reading) -> datetime:
    """Return when a replay shows the reading: not before it was true, and not before it was known."""
    return max(reading.observed_at, reading.available_at)


def steps_from_readings(
    readings: Iterable[Reading],
    *,
    every_s: float,
    start: datetime,
    moment: Callable[[Reading], datetime] = when_known,
) -> Iterator[Step]:
    """Group readings, in order of their `moment`, into steps of `every_s` seconds after `start`.

    A reading that came late is shown late: what was decided then was decided without it. Quiet steps are empty.
    """
    period = timedelta(seconds=every_s)
    at = start + period
    rows: list[Row] = []
    for reading in readings:
        while moment(reading) > at:
            yield Step(at, tuple(rows))
            at, rows = at + period, []
        rows.append(Row(reading.sensor_id, reading.observed_at, reading.raw_value, reading.raw_unit))
    if rows:
        yield Step(at, tuple(rows))
