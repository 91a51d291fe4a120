"""What meters and the districts they stand in used, read through the ports.

A district's demand is the sum of its connections' meters. It says how many of the connections it is the sum of; below a
stated share there is no sum at all, because a small number would look like little water used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from twin.consumption import Consumption, Interval, consumption, is_household, is_meter, is_usable
from twin.ports import ReadingStore
from twin.readings import Reading, Sensor

LEAST_COVERAGE = 0.75
"""No demand of a district is told from fewer of its connections (WaterSight computes no month under 75 % of data)."""

LONGEST_LOOK = timedelta(days=62)
"""No reading further away than this is looked for: two months without one are no gap but an end."""

_FIRST_LOOK_INTERVALS = 4
_NEEDED_BEYOND = 2


@dataclass(frozen=True, slots=True)
class DistrictDemand:
    """What a district's connections used in one interval.

    `metered_m3` is the sum of the `reporting` connections of which the whole interval is known; None where their
    share (`coverage`) of all `connections` is less than was asked for. `estimated_share` is the share of that sum which
    is no direct measurement (spread over gaps, or since a reset). `scaled_m3` is an estimate for all connections that
    takes those without data for like the others: metered / coverage.
    """

    start: datetime
    end: datetime
    metered_m3: float | None
    scaled_m3: float | None
    coverage: float
    reporting: int
    connections: int
    estimated_share: float | None

    @property
    def is_sufficient(self) -> bool:
        """Whether enough connections reported for a figure."""
        return self.metered_m3 is not None


def meters_of(sensors: Iterable[Sensor], district: str) -> list[Sensor]:
    """Return the meters of a district's connections; a meter of the district's own inflow is none of them."""
    return [s for s in sensors if s.district == district and is_meter(s) and is_household(s)]


def consumption_of(
    store: ReadingStore,
    sensor: Sensor,
    *,
    start: datetime,
    end: datetime,
    interval: Interval,
    known_at: datetime | None = None,
) -> list[Consumption]:
    """Return a meter's consumption in every interval that overlaps [start, end).

    Raises:
        InputError: If the sensor is no meter of water.
    """
    first, last = interval.floor(start), interval.floor(end - timedelta.resolution) + interval.length
    readings = register_around(store, sensor, first, last, known_at=known_at)
    return consumption(sensor, readings, start=start, end=end, interval=interval)


def register_around(
    store: ReadingStore, sensor: Sensor, start: datetime, end: datetime, *, known_at: datetime | None = None
) -> list[Reading]:
    """Return the readings from start to end and at least the two usable ones beside each end, as far as there are any.

    The look beyond an end grows from a few intervals of the sensor to `LONGEST_LOOK`.
    """
    look = min(_FIRST_LOOK_INTERVALS * timedelta(seconds=sensor.expected_every_s), LONGEST_LOOK)
    readings = store.between(sensor.sensor_id, start - look, end + look, known_at=known_at)
    before = after = look
    while _lacks(r for r in readings if r.observed_at <= start) and before < LONGEST_LOOK:
        wider = min(8 * before, LONGEST_LOOK)
        readings = store.between(sensor.sensor_id, start - wider, start - before, known_at=known_at) + readings
        before = wider
    while _lacks(r for r in readings if r.observed_at >= end) and after < LONGEST_LOOK:
        wider = min(8 * after, LONGEST_LOOK)
        readings = readings + store.between(sensor.sensor_id, end + after, end + wider, known_at=known_at)
        after = wider
    return readings


def _lacks(readings: Iterable[Reading]) -> bool:
    return sum(is_usable(reading) for reading in readings) < _NEEDED_BEYOND


def demand_of_district(
    store: ReadingStore,
    meters: Sequence[Sensor],
    *,
    connections: int | None,
    start: datetime,
    end: datetime,
    interval: Interval,
    least_coverage: float = LEAST_COVERAGE,
    known_at: datetime | None = None,
) -> list[DistrictDemand]:
    """Return the demand of a district in every interval that overlaps [start, end), from the meters of its connections.

    `connections` is how many there are in the district; None where nobody knows: then those with a meter are all.
    """
    used = {
        meter.sensor_id: consumption_of(store, meter, start=start, end=end, interval=interval, known_at=known_at)
        for meter in meters
    }
    return demand(meters, used, connections=connections, least_coverage=least_coverage)


def demand(
    meters: Sequence[Sensor],
    used: Mapping[str, Sequence[Consumption]],
    *,
    connections: int | None,
    least_coverage: float = LEAST_COVERAGE,
) -> list[DistrictDemand]:
    """Add up what meters used, interval by interval; `used[sensor_id]` are the same intervals for each."""
    metered = {meter.connection_id for meter in meters}
    everyone = max(connections or 0, len(metered))
    return [
        _added_up([(meter, used[meter.sensor_id][i]) for meter in meters], everyone, least_coverage)
        for i in range(len(used[meters[0].sensor_id]) if meters else 0)
    ]


def _added_up(parts: Sequence[tuple[Sensor, Consumption]], everyone: int, least_coverage: float) -> DistrictDemand:
    known = [(meter, part) for meter, part in parts if part.volume_m3 is not None]
    reporting = len({meter.connection_id for meter, _ in known})
    coverage = reporting / everyone
    volume_m3 = math.fsum(part.counted_m3 for _, part in known)
    estimated_m3 = math.fsum(_estimated_m3(part) for _, part in known)
    enough = reporting > 0 and coverage >= least_coverage
    return DistrictDemand(
        start=parts[0][1].start,
        end=parts[0][1].end,
        metered_m3=volume_m3 if enough else None,
        scaled_m3=volume_m3 / coverage if enough else None,
        coverage=coverage,
        reporting=reporting,
        connections=everyone,
        estimated_share=min(max(estimated_m3 / volume_m3, 0.0), 1.0) if enough and volume_m3 > 0 else None,
    )


def _estimated_m3(part: Consumption) -> float:
    from_reset = "counter_reset" in part.reasons
    return part.counted_m3 if from_reset else part.interpolated_m3
