"""Observed rain: from gauge readings to the rain series that a drainage model is driven with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from twin.ports import ObservedRain
from twin.readings import ElementType, Reading, Sensor
from twin.units import Quantity

PATIENCE_INTERVALS = 3
"""A gauge that has been silent for more intervals than this no longer holds the state back."""


def rain_gauges(sensors: Mapping[str, Sensor]) -> list[Sensor]:
    """Return the sensors that measure rain at a gage of the drainage model."""
    return [
        sensor
        for sensor in sensors.values()
        if sensor.quantity is Quantity.RAIN and sensor.element_type is ElementType.GAGE
    ]


def covered_until(gauges: Sequence[Sensor], newest: Mapping[str, Reading], *, now: datetime) -> datetime:
    """Return the moment up to which every gauge that is not silent has reported its rain.

    The drainage state is carried on to this moment and no further: rain that is still on its way must not be taken
    for dry weather. A gauge that has been silent for `PATIENCE_INTERVALS` of its intervals is not waited for.
    """
    ends = []
    for gauge in gauges:
        patience_end = now - timedelta(seconds=PATIENCE_INTERVALS * gauge.expected_every_s)
        reported = newest[gauge.sensor_id].observed_at if gauge.sensor_id in newest else patience_end
        ends.append(max(reported, patience_end))
    return min([*ends, now])


def observed_rain(gauge: Sensor, readings: Sequence[Reading], *, start: datetime, end: datetime) -> ObservedRain:
    """Put a gauge's trusted readings on its regular grid over [start, end].

    A reading is the rain of the interval that ends at its `observed_at`. Intervals without one count as dry and are
    counted as missing. The part of the first interval that lies before `start` takes its share of the rain with it.
    """
    interval_s = int(gauge.expected_every_s)
    interval = timedelta(seconds=interval_s)
    ends = _interval_ends(readings, start=start, end=end, interval=interval)
    by_end = {reading.observed_at: reading.value for reading in readings if reading.is_trusted}
    return ObservedRain(
        gage_id=gauge.element_id,
        valid_from=ends[0] - interval if ends else start,
        interval_s=interval_s,
        rain_mm=tuple(by_end.get(moment, 0.0) for moment in ends),
        missing=sum(moment not in by_end for moment in ends),
    )


def _interval_ends(
    readings: Sequence[Reading], *, start: datetime, end: datetime, interval: timedelta
) -> list[datetime]:
    """Return the ends of the gauge's intervals that touch (start, end], on the grid that its readings are on."""
    anchor = readings[-1].observed_at if readings else end
    first = anchor - ((anchor - start) // interval) * interval
    while first <= start:
        first += interval
    ends = []
    while first < end + interval:
        ends.append(first)
        first += interval
    return ends
