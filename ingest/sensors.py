"""The sensor table in memory, so that a reading costs no database query."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from twin.errors import UnavailableError
from twin.ports import SensorRegistry
from twin.readings import Sensor


class SensorTable:
    """Sensors by id, read again from the registry when it is `stale_after_s` old or somebody unknown is asked for.

    Asking for unknown sensors reads it again at most once every `at_most_every_s`: a flood of wrong topics must not
    become a flood of queries.
    """

    def __init__(
        self,
        registry: SensorRegistry,
        *,
        stale_after_s: float = 10.0,
        at_most_every_s: float = 2.0,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._stale_after_s = stale_after_s
        self._at_most_every_s = at_most_every_s
        self._seconds = seconds
        self._read_at: float | None = None
        self._sensors: Mapping[str, Sensor] = {}

    def get(self, sensor_id: str, /) -> Sensor | None:
        """Return the sensor as last read, or None."""
        return self._sensors.get(sensor_id)

    def refresh(self, *, missing: bool = False) -> None:
        """Read the registry again if it is time to; `missing` says that a sensor was asked for in vain.

        Raises:
            UnavailableError: If the registry is away and was never read, or a sensor is missing; otherwise the last
                table stays in use.
        """
        now = self._seconds()
        age_s = None if self._read_at is None else now - self._read_at
        if age_s is not None and age_s < (self._at_most_every_s if missing else self._stale_after_s):
            return
        try:
            self._sensors = self._registry.sensors()
        except UnavailableError:
            if age_s is None or missing:
                raise
            return
        self._read_at = now
