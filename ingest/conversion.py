"""From what a sensor sent to a reading in SI. What a sensor's unit means is looked up once."""

from __future__ import annotations

from datetime import datetime
from math import isfinite

import msgspec

from ingest.decoders.base import RawReading
from twin.readings import Quality, Reading, Sensor, reading_from_raw
from twin.units import scale_of, si_unit

_MOST_SENSORS = 500_000


class _Scale(msgspec.Struct, frozen=True, gc=False):
    """What a sensor's usual unit means: `si = raw * factor + offset`."""

    sensor: Sensor
    sent_as: str | None
    raw_unit: str
    unit: str
    factor: float
    offset: float


class Converter:
    """Makes readings; quick for the unit that a sensor sent last."""

    def __init__(self) -> None:
        self._scales: dict[str, _Scale] = {}

    def reading(self, sensor: Sensor, raw: RawReading, received_at: datetime) -> Reading:
        """Return the reading; raw values without a time were true when they were received.

        Raises:
            InputError: As `twin.readings.reading_from_raw`.
        """
        sensor_id, sent = sensor.sensor_id, raw.value
        scale = self._scales.get(sensor_id)
        if scale is not None and scale.sensor is sensor and scale.sent_as == raw.unit:
            value = sent * scale.factor + scale.offset
            if isfinite(value):
                return Reading(
                    sensor_id,
                    raw.observed_at or received_at,
                    received_at,
                    value,
                    scale.unit,
                    sent,
                    scale.raw_unit,
                    Quality.GOOD,
                    raw.reasons,
                    raw.seq,
                )
        reading = reading_from_raw(
            sensor,
            observed_at=raw.observed_at or received_at,
            available_at=received_at,
            raw_value=raw.value,
            raw_unit=raw.unit,
            seq=raw.seq,
            reasons=raw.reasons,
        )
        self._remember(sensor, raw.unit, reading.raw_unit)
        return reading

    def _remember(self, sensor: Sensor, sent_as: str | None, raw_unit: str) -> None:
        factor, offset = scale_of(raw_unit, sensor.quantity)
        if len(self._scales) >= _MOST_SENSORS:
            self._scales.clear()
        self._scales[sensor.sensor_id] = _Scale(sensor, sent_as, raw_unit, si_unit(sensor.quantity), factor, offset)
