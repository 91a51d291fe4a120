"""The sensor table in memory, so that a reading costs no database query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from twin.errors import UnavailableError
from twin.ports import SensorRegistry
from twin.readings import Sensor

_SHARE = 0.05


class SensorTable:
    """Sensors by id, read again from the registry when it is `stale_after_s` old or somebody unknown is asked for.

    A flood of wrong topics must not become a flood of queries: asking for unknown sensors spends at most a twentieth of
    the time on reading, and never waits longer than `patience_s`. So a small table knows a new sensor at once, and one
    of 100,000 sensors within two seconds; until then its readings are dead letters, to be requeued.
    """

    def __init__(
        self,
        registry: SensorRegistry,
        *,
        stale_after_s: float = 10.0,
        patience_s: float = 2.0,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._stale_after_s = stale_after_s
        self._patience_s = patience_s
        self._took_s = 0.0
        self._seconds = seconds
        self._read_at: float | None = None
        self._know({})

    def all(self) -> Mapping[str, Sensor]:
        """Return the sensors as last read, by id, for whoever asks for many of them at once."""
        return self._sensors

    def values(self) -> Iterable[Sensor]:
        """Return all sensors as last read."""
        return self._sensors.values()

    def refresh(self, *, missing: bool = False) -> None:
        """Read the registry again if it is time to; `missing` says that a sensor was asked for in vain.

        Raises:
            UnavailableError: If the registry is away and was never read, or a sensor is missing; otherwise the last
                table stays in use.
        """
        now = self._seconds()
        age_s = None if self._read_at is None else now - self._read_at
        shortest_s = min(self._patience_s, self._took_s / _SHARE) if missing else self._stale_after_s
        if age_s is not None and age_s < shortest_s:
            return
        try:
            self._know(self._registry.sensors())
        except UnavailableError:
            if age_s is None or missing:
                raise
            return
        self._read_at = self._seconds()
        self._took_s = self._read_at - now

    def _know(self, sensors: Mapping[str, Sensor]) -> None:
        self._sensors = sensors
        self.get: Callable[[str], Sensor | None] = sensors.get
        """Returns the sensor as last read, or None. Every reading asks several times: it is the mapping's own `get`."""
