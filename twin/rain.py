"""Observed rain: from gauge readings to the rain series that a drainage model is driven with.

A reading is the rain of the interval that ends at its `observed_at`, fallen evenly. Gauges send a little early and a
little late, so intervals overlap and leave gaps: a reading gives each window of time its share, and none of it is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twin.errors import InputError
from twin.ports import ObservedRain
from twin.readings import SILENT_AFTER_INTERVALS, ElementType, Kind, Reading, Sensor
from twin.units import Quantity


def rain_gauges(sensors: Mapping[str, Sensor]) -> list[Sensor]:
    """Return the sensors that measure rain at a gage of the drainage model."""
    return [
        sensor
        for sensor in sensors.values()
        if sensor.quantity is Quantity.RAIN and sensor.element_type is ElementType.GAGE
    ]


def interval_of(gauge: Sensor) -> timedelta:
    """Return the time that one reading of the gauge stands for, in whole seconds as the engines know them."""
    return timedelta(seconds=max(1, round(gauge.expected_every_s)))


def covered_until(gauges: Sequence[Sensor], newest: Mapping[str, Reading], *, now: datetime) -> datetime:
    """Return the moment (a whole second) up to which every gauge that is not silent has reported its rain.

    The drainage state is carried on to this moment and no further: rain that is still on its way must not be taken
    for dry weather. A gauge that has been silent for `SILENT_AFTER_INTERVALS` is not waited for.
    """
    ends = []
    for gauge in gauges:
        patience_end = now - SILENT_AFTER_INTERVALS * interval_of(gauge)
        reported = newest[gauge.sensor_id].observed_at if gauge.sensor_id in newest else patience_end
        ends.append(max(reported, patience_end))
    return min([*ends, now]).replace(microsecond=0)


def is_rain(reading: Reading) -> bool:
    """Whether the reading tells how much rain fell: trusted, and no negative amount."""
    return reading.is_trusted and reading.value >= 0


def observed_rain(gauge: Sensor, readings: Sequence[Reading], *, start: datetime, end: datetime) -> ObservedRain:
    """Put a gauge's rain on a regular grid over [start, end].

    The grid is that of the newest reading, so rain that comes on time keeps its shape. An interval that less than half
    is known of is counted as missing; what is not known of it counts as dry. Of an interval that `start` or `end` cuts,
    the series holds what would have fallen in all of it, so that its share by time is the rain inside.

    Raises:
        InputError: If the gauge counts up for ever, which is no rain per interval.
    """
    if gauge.kind is Kind.TOTAL_INCREASING:
        raise InputError(
            f"rain gauge {gauge.sensor_id} is registered as {gauge.kind}: only gauges that send the rain since their "
            "last message (total or instant) can drive the drainage model"
        )
    interval = interval_of(gauge)
    fell = [reading for reading in readings if is_rain(reading)]
    ends = _interval_ends(fell, start=start, end=end, interval=interval)
    pieces = [_Piece(max(moment - interval, start), min(moment, end)) for moment in ends]
    for reading in fell:
        begins = reading.observed_at - interval
        first = max(0, (begins - ends[0]) // interval) if ends else 0
        for piece in pieces[first : first + 3]:
            piece.take(reading.value, begins, reading.observed_at)
    return ObservedRain(
        gage_id=gauge.element_id,
        valid_from=ends[0] - interval if ends else start,
        interval_s=int(interval.total_seconds()),
        rain_mm=tuple(piece.mm * (interval / piece.length) for piece in pieces),
        missing=sum(2 * piece.known < piece.length for piece in pieces),
    )


@dataclass(slots=True)
class _Piece:
    """The part of one interval that lies in the window, and the rain that fell in it."""

    begins: datetime
    ends: datetime
    mm: float = 0.0
    known: timedelta = timedelta(0)

    @property
    def length(self) -> timedelta:
        return self.ends - self.begins

    def take(self, mm: float, begins: datetime, ends: datetime) -> None:
        """Add the share of rain that fell evenly from `begins` to `ends`."""
        overlap = min(self.ends, ends) - max(self.begins, begins)
        if overlap > timedelta(0):
            self.mm += mm * (overlap / (ends - begins))
            self.known += overlap


def _interval_ends(
    readings: Sequence[Reading], *, start: datetime, end: datetime, interval: timedelta
) -> list[datetime]:
    """Return the ends of the gauge's intervals that touch (start, end], on the grid that its newest reading is on."""
    anchor = readings[-1].observed_at.replace(microsecond=0) if readings else end
    first = start + interval - (start - anchor) % interval
    ends = []
    while first < end + interval:
        ends.append(first)
        first += interval
    return ends
