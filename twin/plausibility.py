"""Readings that cannot be right, by the twin's own forecast and by a witness that does not hang on it.

A reading far from what was forecast for its moment is news: a burst, a closed valve, a pump that failed. It is called
implausible only if all of this holds:

1. `PERIODS` readings in a row lie outside the band that the sensor's residuals (observed - forecast) lately kept to;
2. they are set against the last good forecast issued before the first of them: a later one has swallowed the error;
3. something else says that the forecast is right and the reading wrong, at each of these moments: another sensor of
   the same thing, two neighbours of the same quantity, or (for a tank's level) the flows measured in all its links.

Without a witness nothing is flagged, however far off: what the model did not foresee may have happened.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from twin.forecasts import SupplyForecast
from twin.network import LinkKind, Network
from twin.readings import ElementType, Quality, Reading, Reason, Sensor
from twin.units import Quantity

PERIODS = 3
LEARNED_FROM = 24
"""So many residuals must be known before a band is believed."""

REMEMBERED = 168
_RECENT = 48
_NEIGHBOURS = 2
LONGEST_LEAD = timedelta(hours=6)
"""A forecast older than this is no measure of a reading."""

_BEYOND = 6.0  # standard deviations of the residuals, robustly
_MAD_TO_SIGMA = 1.4826
_FLOORS = {
    Quantity.PRESSURE: 2.0,
    Quantity.HEAD: 2.0,
    Quantity.LEVEL: 0.2,
    Quantity.FLOW: 2e-3,
    Quantity.DEMAND: 2e-3,
}
"""Below this (SI) a residual is nobody's fault: quantities left out are not judged."""


@dataclass(frozen=True, slots=True)
class Band:
    """What a sensor's residuals lately kept to."""

    centre: float
    half_width: float

    def holds(self, residual: float) -> bool:
        """Whether a residual lies within it."""
        return abs(residual - self.centre) <= self.half_width


def band_of(residuals: Sequence[float], quantity: Quantity) -> Band | None:
    """Return the band of residuals, None while too few are known or the quantity is not judged."""
    floor = _FLOORS.get(quantity)
    if floor is None or len(residuals) < LEARNED_FROM:
        return None
    centre = median(residuals)
    sigma = _MAD_TO_SIGMA * median(abs(residual - centre) for residual in residuals)
    return Band(centre, floor + _BEYOND * sigma)


def forecast_value(forecast: SupplyForecast, sensor: Sensor, moment: datetime) -> float | None:
    """Return what was forecast for a sensor's place and moment, on the straight line between two steps.

    None outside of the forecast, later than `LONGEST_LEAD` after its issue, and where it rests on an assumption.
    """
    if not forecast.issued_at <= moment <= forecast.issued_at + LONGEST_LEAD or len(forecast.valid_at) < 2:
        return None
    if sensor.element_id in forecast.assumed or forecast.resting_on_assumption([sensor.element_id]):
        return None
    place = (str(sensor.element_type), sensor.element_id, str(sensor.quantity))
    values = next((s.values for s in forecast.series if (s.element_type, s.element_id, s.quantity) == place), None)
    after = bisect_left(forecast.valid_at, moment)
    if values is None or after == len(forecast.valid_at) or (after == 0 and forecast.valid_at[0] != moment):
        return None
    if forecast.valid_at[after] == moment:
        return values[after]
    start, end = forecast.valid_at[after - 1], forecast.valid_at[after]
    share = (moment - start) / (end - start)
    return values[after - 1] + share * (values[after] - values[after - 1])


def level_by_balance(
    level_m: float, area_m2: float, net_inflow_m3s: Sequence[tuple[datetime, float]]
) -> list[tuple[datetime, float]]:
    """Return a tank's level (m) at each moment from the first on, by dL/dt = Q / A.

    The flow between two moments is their mean (trapezoid).
    """
    levels = [(net_inflow_m3s[0][0], level_m)] if net_inflow_m3s else []
    for (before, q0), (at, q1) in pairwise(net_inflow_m3s):
        level_m += (q0 + q1) / 2 * (at - before).total_seconds() / area_m2
        levels.append((at, level_m))
    return levels


def doubted(reading: Reading) -> Reading:
    """Return the reading as implausible: suspect, its value untouched."""
    reasons = (*reading.reasons, *(() if Reason.IMPLAUSIBLE in reading.reasons else (Reason.IMPLAUSIBLE,)))
    quality = Quality.BAD if reading.quality is Quality.BAD else Quality.SUSPECT
    return replace(reading, quality=quality, reasons=reasons)


@dataclass(frozen=True, slots=True)
class _Outlier:
    """A reading outside its band, and what was forecast for it."""

    reading: Reading
    said: float


@dataclass(slots=True)
class _Watched:
    """One sensor: residuals, its last readings, and the row of outliers against the forecast from before them."""

    residuals: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    recent: deque[Reading] = field(default_factory=lambda: deque(maxlen=_RECENT))
    believed: Reading | None = None
    row: list[_Outlier] = field(default_factory=list)
    forecast: SupplyForecast | None = None
    condemned: bool = False

    def forgive(self) -> None:
        """End the row."""
        self.row, self.forecast, self.condemned = [], None, False

    def near(self, moment: datetime, reach: timedelta) -> Reading | None:
        """Return the reading nearest to a moment, no farther than `reach`."""
        nearest = min(self.recent, key=lambda reading: abs(reading.observed_at - moment), default=None)
        return nearest if nearest is not None and abs(nearest.observed_at - moment) <= reach else None


class Plausibility:
    """Sets readings against the twin's forecasts, turn by turn. What it learned lives in memory: a restart learns anew.

    Use one instance in one running cycle.
    """

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = defaultdict(_Watched)

    def judge(
        self,
        forecast: SupplyForecast | None,
        network: Network,
        sensors: Mapping[str, Sensor],
        readings: Mapping[str, Sequence[Reading]],
    ) -> list[Reading]:
        """Return the implausible ones of the newest trusted readings.

        `readings` holds each sensor's in order of time; those of earlier calls are passed over. `forecast` is the last
        one before now, None if the last attempt failed: then nothing is judged, and every row of outliers ends.
        """
        fresh = {sensor_id: self._take(sensor_id, readings[sensor_id]) for sensor_id in sorted(readings)}
        if forecast is None:
            for watched in self._watched.values():
                watched.forgive()
            return []
        judged = [sensors[sensor_id] for sensor_id in fresh if sensor_id in sensors]
        for sensor in judged:
            for reading in fresh[sensor.sensor_id]:
                self._compare(sensor, reading, forecast)
        return [reading for sensor in judged for reading in self._implausible(sensor, network, sensors)]

    # ------------------------------------------------------------------------------------------------ residuals

    def _take(self, sensor_id: str, readings: Sequence[Reading]) -> list[Reading]:
        recent = self._watched[sensor_id].recent
        fresh = [reading for reading in readings if not recent or reading.observed_at > recent[-1].observed_at]
        recent.extend(fresh)
        return fresh

    def _compare(self, sensor: Sensor, reading: Reading, newest: SupplyForecast) -> None:
        """Learn the residual of a reading within the band, and note one outside of it."""
        watched = self._watched[sensor.sensor_id]
        said = forecast_value(watched.forecast or newest, sensor, reading.observed_at)
        if said is None:
            watched.forgive()
            return
        band = band_of(watched.residuals, sensor.quantity)
        if band is None or band.holds(reading.value - said):
            watched.residuals.append(reading.value - said)
            watched.believed = reading
            watched.forgive()
            return
        watched.row.append(_Outlier(reading, said))
        watched.forecast = watched.forecast or newest

    def _implausible(self, sensor: Sensor, network: Network, sensors: Mapping[str, Sensor]) -> list[Reading]:
        watched = self._watched[sensor.sensor_id]
        band = band_of(watched.residuals, sensor.quantity)
        last = watched.row[-PERIODS:]
        if len(last) < PERIODS or band is None or not self._is_contradicted(sensor, band, last, network, sensors):
            return []
        told = last[-1:] if watched.condemned else watched.row
        watched.condemned = True
        return [outlier.reading for outlier in told]

    # ------------------------------------------------------------------------------------------------ witnesses

    def _is_contradicted(
        self,
        sensor: Sensor,
        band: Band,
        row: Sequence[_Outlier],
        network: Network,
        sensors: Mapping[str, Sensor],
    ) -> bool:
        partners = [other for other in sensors.values() if _is_partner(sensor, other)]
        if any(self._sides_with_forecast(partner, band, row) for partner in partners):
            return True
        neighbours = [other for other in sensors.values() if _is_neighbour(sensor, other, network)]
        if sum(self._keeps_to_forecast(neighbour, sensor, row) for neighbour in neighbours) >= _NEIGHBOURS:
            return True
        return self._balance_sides_with_forecast(sensor, band, row, network, sensors)

    def _sides_with_forecast(self, partner: Sensor, band: Band, row: Sequence[_Outlier]) -> bool:
        """Whether another sensor of the same thing said what was forecast, at every one of these moments."""
        for outlier in row:
            reading = self._said_by(partner, outlier.reading)
            if reading is None or not band.holds(reading.value - outlier.said):
                return False
        return True

    def _keeps_to_forecast(self, neighbour: Sensor, sensor: Sensor, row: Sequence[_Outlier]) -> bool:
        """Whether a neighbour read what the same forecast said of its own place, at every one of these moments."""
        forecast = self._watched[sensor.sensor_id].forecast
        band = band_of(self._watched[neighbour.sensor_id].residuals, neighbour.quantity)
        if forecast is None or band is None:
            return False
        for outlier in row:
            reading = self._said_by(neighbour, outlier.reading)
            said = None if reading is None else forecast_value(forecast, neighbour, reading.observed_at)
            if reading is None or said is None or not band.holds(reading.value - said):
                return False
        return True

    def _balance_sides_with_forecast(
        self,
        sensor: Sensor,
        band: Band,
        row: Sequence[_Outlier],
        network: Network,
        sensors: Mapping[str, Sensor],
    ) -> bool:
        """Whether the flows measured in all links of a tank say that its level is the forecast one, not this one."""
        node, believed = network.nodes.get(sensor.element_id), self._watched[sensor.sensor_id].believed
        if sensor.quantity is not Quantity.LEVEL or node is None or node.area_m2 is None or believed is None:
            return False
        readings = [believed, *(outlier.reading for outlier in self._watched[sensor.sensor_id].row)]
        flows = [(r.observed_at, self._net_inflow_m3s(node.node_id, r, network, sensors)) for r in readings]
        known = [(moment, flow) for moment, flow in flows if flow is not None]
        if len(known) < len(flows):
            return False
        balance = dict(level_by_balance(believed.value, node.area_m2, known))
        return all(
            band.holds(balance[o.reading.observed_at] - o.said)
            and abs(o.reading.value - balance[o.reading.observed_at]) > band.half_width
            for o in row
        )

    def _net_inflow_m3s(
        self, node_id: str, beside: Reading, network: Network, sensors: Mapping[str, Sensor]
    ) -> float | None:
        """Return what flows into a node by the meters in all its links; None unless every one was heard."""
        net, links = 0.0, [link for link in network.links.values() if node_id in (link.start_node_id, link.end_node_id)]
        for link in links:
            meters = [sensor for sensor in sensors.values() if _measures_flow_of(sensor, link.link_id)]
            heard = [reading for meter in meters if (reading := self._said_by(meter, beside)) is not None]
            if not heard:
                return None
            net += heard[0].value if link.end_node_id == node_id else -heard[0].value
        return net if links else None

    def _said_by(self, witness: Sensor, beside: Reading) -> Reading | None:
        """Return what a witness said when another sensor gave a reading; None if it is no better itself.

        A witness that left its own band may speak if it did so later, against a forecast that rests on the error.
        """
        watched, judged = self._watched.get(witness.sensor_id), self._watched[beside.sensor_id]
        if watched is None:
            return None
        theirs, ours = watched.forecast, judged.forecast
        if theirs is not None and ours is not None and theirs.issued_at <= ours.issued_at:
            return None
        return watched.near(beside.observed_at, timedelta(seconds=witness.expected_every_s) / 2)


def _is_partner(sensor: Sensor, other: Sensor) -> bool:
    """Whether another sensor measures the same thing, by the registry's word or its place."""
    if other.sensor_id == sensor.sensor_id or other.quantity is not sensor.quantity:
        return False
    named = other.sensor_id == sensor.redundant_with or other.redundant_with == sensor.sensor_id
    return named or (other.element_type, other.element_id) == (sensor.element_type, sensor.element_id)


def _is_neighbour(sensor: Sensor, other: Sensor, network: Network) -> bool:
    """Whether another sensor measures the same quantity at the other end of a pipe."""
    if other.quantity is not sensor.quantity or sensor.quantity not in (Quantity.PRESSURE, Quantity.HEAD):
        return False
    ends = {sensor.element_id, other.element_id}
    return len(ends) == 2 and any(
        link.kind is LinkKind.PIPE and ends == {link.start_node_id, link.end_node_id} for link in network.links.values()
    )


def _measures_flow_of(sensor: Sensor, link_id: str) -> bool:
    is_on_link = sensor.element_type is ElementType.LINK and sensor.element_id == link_id
    return is_on_link and sensor.quantity is Quantity.FLOW
