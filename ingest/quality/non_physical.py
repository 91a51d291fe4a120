"""Non-physical: a value that water cannot have, whatever its sensor's limits say.

Tolerances are those of good instruments around zero, so that a meter at rest or a tank that spills is believed.
"""

from __future__ import annotations

from math import inf

from twin.readings import Kind, Sensor
from twin.units import Quantity

VACUUM_M = -10.33
"""Gauge pressure of a perfect vacuum (1 atm in metres of water column): no gauge pressure lies below."""

BACKWARDS_M3S = 1e-4
"""A one-way meter at rest may read this much backwards."""

OVER_THE_SILL_M = 0.1
"""Water stands so high over an overflow's sill while it spills."""

_LOWEST = {
    Quantity.PRESSURE: VACUUM_M,
    Quantity.RAIN: 0.0,
    Quantity.TEMPERATURE: -40.0,
    Quantity.STATUS: 0.0,
    Quantity.CHLORINE: -0.1,
    Quantity.TURBIDITY: -1.0,
    Quantity.PH: 0.0,
    Quantity.CONDUCTIVITY: -1e-3,
}
_HIGHEST = {Quantity.PH: 14.0}


def possible_range(sensor: Sensor) -> tuple[float, float]:
    """Return the lowest and highest value (SI) that the sensor's quantity can have at its place."""
    low, high = _LOWEST.get(sensor.quantity, -inf), _HIGHEST.get(sensor.quantity, inf)
    if sensor.kind is Kind.TOTAL_INCREASING:
        low = max(low, 0.0)
    if sensor.one_way and sensor.quantity in (Quantity.FLOW, Quantity.DEMAND):
        low = max(low, -BACKWARDS_M3S)
    if sensor.overflow_m is not None and sensor.quantity is Quantity.LEVEL:
        high = min(high, sensor.overflow_m + OVER_THE_SILL_M)
    return low, high
