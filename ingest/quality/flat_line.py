"""Flat line: a sensor that repeats one value for longer than water can stand still is stuck."""

from __future__ import annotations

import math
from datetime import timedelta

from ingest.quality.limits import PAUSE_INTERVALS, FlatLineLimit
from twin.readings import Sensor

_FEWEST = 3


def flat_line_limit(sensor: Sensor, by_quantity: FlatLineLimit | None) -> FlatLineLimit | None:
    """Return when the sensor counts as stuck: its own `flat_after_s`, or what its quantity allows; None: never.

    With a time of its own, so many values are enough as fall into it by the declared cadence.
    """
    if sensor.flat_after_s is None:
        return by_quantity
    lasting = timedelta(seconds=sensor.flat_after_s)
    usual = by_quantity.values if by_quantity is not None else FlatLineLimit().values
    fitting = math.floor(sensor.flat_after_s / sensor.expected_every_s)
    return FlatLineLimit(lasting, max(_FEWEST, min(usual, fitting)))


def flat_line_look_back(sensor: Sensor, limit: FlatLineLimit) -> timedelta:
    """Return how far back a stuck sensor's readings decide: a longer run has passed both limits already."""
    pause = timedelta(seconds=PAUSE_INTERVALS * sensor.expected_every_s)
    return max(limit.lasting, limit.values * pause) + pause
