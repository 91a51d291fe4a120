"""Sensors and what they say.

A reading is frozen: what was measured, when it was true, when we learned it, how far it can be trusted and why,
and what exactly arrived. The raw value and unit are never lost, whatever a check thinks of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from twin.units import Quantity, si_unit, to_si


class Kind(StrEnum):
    """How a measured quantity behaves over time."""

    INSTANT = "instant"
    TOTAL = "total"
    TOTAL_INCREASING = "total_increasing"  # a meter: a drop means a reset, never negative use


class ElementType(StrEnum):
    """What kind of model element a sensor sits on."""

    NODE = "node"
    LINK = "link"
    SUBCATCHMENT = "subcatchment"
    GAGE = "gage"
    NONE = "none"


class Quality(StrEnum):
    """How far a reading can be trusted. Only GOOD and ESTIMATED values reach models and KPIs."""

    GOOD = "good"
    SUSPECT = "suspect"
    BAD = "bad"
    ESTIMATED = "estimated"


TRUSTED = frozenset({Quality.GOOD, Quality.ESTIMATED})


class Reason(StrEnum):
    """Why a reading is not simply good."""

    OUT_OF_RANGE = "out_of_range"
    FLAT_LINE = "flat_line"
    RATE_OF_CHANGE = "rate_of_change"
    LATE = "late"
    EARLY = "early"  # the sensor's clock is ahead of ours: the value is from the future
    CLOCK_SKEW = "clock_skew"
    COUNTER_RESET = "counter_reset"
    ROLLOVER = "rollover"  # a meter passed its last number and began at 0 again
    REVERSE_FLOW = "reverse_flow"
    SPIKE = "spike"
    DRIFT = "drift"
    STEP = "step"
    NON_PHYSICAL = "non_physical"
    GAP = "gap"  # the first value after intervals that nobody sent
    UNIT_SUSPECT = "unit_suspect"
    IMPLAUSIBLE = "implausible"  # against the mass balance or the model's forecast
    DEVICE_ALARM = "device_alarm"  # the device itself says that something is wrong with it
    DEVICE_STATUS = "device_status"  # the device says something of itself that does not touch the value
    HISTORICAL = "historical"  # the sender says that it kept the value for some time
    INTERPOLATED = "interpolated"


SILENT_AFTER_INTERVALS = 3
"""One late value is a hiccup; after three a sensor's last value no longer says how things are."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """A device that measures one quantity at one place.

    `low` and `high` are the plausible limits in the SI unit of the quantity; `unit` is the unit that messages are
    in when they name none. `max_rate_per_s` (SI per second) and `flat_after_s` replace what the quantity allows by
    itself. `redundant_with` is another sensor that measures the same. `rollover_at` (SI) is what a meter's register
    reaches before it begins at 0 again. A `one_way` flow can never be negative, a level never above `overflow_m`.
    Only `gateway_id` may send for the sensor, where it is given. `connection_id` is the connection that a household
    meter serves.
    """

    sensor_id: str
    quantity: Quantity
    kind: Kind = Kind.INSTANT
    unit: str = ""
    element_type: ElementType = ElementType.NONE
    element_id: str = ""
    district: str = ""
    expected_every_s: float = 300.0
    low: float | None = None
    high: float | None = None
    max_rate_per_s: float | None = None
    flat_after_s: float | None = None
    redundant_with: str = ""
    rollover_at: float | None = None
    one_way: bool = False
    overflow_m: float | None = None
    gateway_id: str = ""
    connection_id: str = ""

    def is_silent(self, last_heard_at: datetime, *, now: datetime) -> bool:
        """Whether nothing was observed for more than `SILENT_AFTER_INTERVALS` of the sensor's intervals."""
        return now - last_heard_at > timedelta(seconds=SILENT_AFTER_INTERVALS * self.expected_every_s)

    @property
    def unit_received(self) -> str:
        """The unit of messages that name none."""
        return self.unit or si_unit(self.quantity)


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one sensor, in the SI unit of its quantity."""

    sensor_id: str
    observed_at: datetime
    available_at: datetime
    value: float
    unit: str
    raw_value: float
    raw_unit: str
    quality: Quality = Quality.GOOD
    reasons: tuple[str, ...] = ()
    seq: int | None = None

    def __init__(
        self: Any,
        sensor_id: str,
        observed_at: datetime,
        available_at: datetime,
        value: float,
        unit: str,
        raw_value: float,
        raw_unit: str,
        quality: Quality = Quality.GOOD,
        reasons: tuple[str, ...] = (),
        seq: int | None = None,
    ) -> None:
        # What a dataclass would write here, at a third of the cost: a frozen one sets each field by a call of its own,
        # and tens of thousands of readings are made a second. So it is frozen only once it is filled.
        _become(self, "__class__", _Unfrozen)
        self.sensor_id = sensor_id
        self.observed_at = observed_at
        self.available_at = available_at
        self.value = value
        self.unit = unit
        self.raw_value = raw_value
        self.raw_unit = raw_unit
        self.quality = quality
        self.reasons = reasons
        self.seq = seq
        self.__class__ = Reading

    @property
    def is_trusted(self) -> bool:
        """Whether models and KPIs may use the value."""
        return self.quality in TRUSTED

    @property
    def key(self) -> tuple[str, datetime]:
        """What makes a reading unique: the sensor and the moment the value was true."""
        return (self.sensor_id, self.observed_at)


class _Unfrozen:
    """A reading while it is being filled."""

    __slots__ = Reading.__slots__


_become = object.__setattr__


def reading_from_raw(
    sensor: Sensor,
    *,
    observed_at: datetime,
    available_at: datetime,
    raw_value: float,
    raw_unit: str | None = None,
    seq: int | None = None,
    reasons: tuple[str, ...] = (),
) -> Reading:
    """Make a reading in SI from what a sensor sent; `reasons` are what the sender itself says of it.

    Raises:
        InputError: If the value is not finite.
        UnknownUnitError: If the unit is not in the table.
        WrongDimensionError: If the unit does not measure the sensor's quantity.
    """
    unit = raw_unit or sensor.unit_received
    return Reading(
        sensor_id=sensor.sensor_id,
        observed_at=observed_at,
        available_at=available_at,
        value=to_si(raw_value, unit, sensor.quantity),
        unit=si_unit(sensor.quantity),
        raw_value=raw_value,
        raw_unit=unit,
        reasons=reasons,
        seq=seq,
    )
