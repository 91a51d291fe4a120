"""Residuals: what a sensor observed minus what the state of the model says there, cycle by cycle, as series.

The sign is always observed minus model: a pressure below the model's is negative. A residual has two times: when its
reading was true, and when it was known (the cycle's moment). The state a residual is set against belongs to the cycle's
moment, so readings older than their sensor's interval have none.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean, median

from twin.forecasts import SupplyForecast
from twin.readings import Reading, Sensor
from twin.units import Quantity

JUDGED = frozenset({Quantity.PRESSURE, Quantity.HEAD, Quantity.FLOW, Quantity.LEVEL})
"""Quantities that residuals are kept of: those of the network's instruments, not of households' meters."""

RECENT = timedelta(hours=6)
"""What is judged against the residuals before it."""

USUAL = timedelta(days=8)
"""How far back residuals are usual."""

LEAST_RECENT = 4
LEAST_USUAL = 24
OFF_SD = 3.0
_MAD_TO_SIGMA = 1.4826
_FLOORS = {Quantity.PRESSURE: 0.1, Quantity.HEAD: 0.1, Quantity.FLOW: 5e-4}


@dataclass(frozen=True, slots=True)
class Residual:
    """One residual, in the SI unit of the sensor's quantity. `assumed`: the model's value rests on an assumption."""

    sensor_id: str
    observed_at: datetime
    known_at: datetime
    run_id: str
    observed: float
    modelled: float
    assumed: bool = False

    @property
    def value(self) -> float:
        """Observed minus model."""
        return self.observed - self.modelled


def residuals_of(
    forecast: SupplyForecast, sensors: Mapping[str, Sensor], latest: Mapping[str, Reading]
) -> list[Residual]:
    """Return the residuals of one cycle: its sensors' newest trusted readings against its state at T0."""
    if not forecast.valid_at or forecast.valid_at[0] != forecast.issued_at:
        return []
    modelled = {(s.element_type, s.element_id, s.quantity): s.values[0] for s in forecast.series if s.values}
    assumed = forecast.resting_on_assumption(sensor.element_id for sensor in sensors.values())
    found = []
    for sensor_id, reading in sorted(latest.items()):
        sensor = sensors.get(sensor_id)
        if sensor is None or sensor.quantity not in JUDGED:
            continue
        value = modelled.get((str(sensor.element_type), sensor.element_id, str(sensor.quantity)))
        age = forecast.issued_at - reading.observed_at
        if value is None or not timedelta(0) <= age <= timedelta(seconds=sensor.expected_every_s):
            continue
        rests = sensor.element_id in forecast.assumed or sensor.element_id in assumed
        found.append(
            Residual(
                sensor_id=sensor_id,
                observed_at=reading.observed_at,
                known_at=forecast.issued_at,
                run_id=forecast.run_id,
                observed=reading.value,
                modelled=value,
                assumed=rests,
            )
        )
    return found


class ResidualWatch:
    """Remembers residuals of the last days, and says which sensors lie off. One instance per running cycle."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[Residual]] = defaultdict(deque)

    def note(self, residuals: Iterable[Residual]) -> None:
        """Remember residuals, in order of time."""
        for residual in residuals:
            self._kept[residual.sensor_id].append(residual)

    def forget(self, before: datetime) -> None:
        """Forget residuals of readings before a moment."""
        for kept in self._kept.values():
            while kept and kept[0].observed_at < before:
                kept.popleft()

    def off(
        self, sensors: Mapping[str, Sensor], *, now: datetime, usual_to: datetime | None = None
    ) -> dict[str, float] | None:
        """Return the sensors whose residuals of the last hours lie off what is usual, and by how many deviations.

        Usual are those before `usual_to` (by default before the last hours): their median, and a deviation from the
        median of how far they lie from it, with a floor. Sensors of which too little is known are left out, and so is
        what rests on an assumption. None if no sensor at all could be judged.
        """
        recent_from = now - RECENT
        until = min(recent_from, usual_to or recent_from)
        off, judged = {}, 0
        for sensor_id, residuals in sorted(self._kept.items()):
            floor = _FLOORS.get(sensors[sensor_id].quantity) if sensor_id in sensors else None
            told = [residual for residual in residuals if not residual.assumed]
            recent = [residual.value for residual in told if residual.observed_at > recent_from]
            usual = [residual.value for residual in told if residual.observed_at <= until]
            if floor is None or len(recent) < LEAST_RECENT or len(usual) < LEAST_USUAL:
                continue
            judged += 1
            deviations = _deviations(recent, usual, floor)
            if abs(deviations) > OFF_SD:
                off[sensor_id] = deviations
        return off if judged else None


def _deviations(recent: Sequence[float], usual: Sequence[float], floor: float) -> float:
    centre = median(usual)
    sigma = _MAD_TO_SIGMA * median(abs(value - centre) for value in usual)
    return (fmean(recent) - centre) / float((sigma**2 + (floor / OFF_SD) ** 2) ** 0.5)
