"""A sensor's limits, worked out once: those of the registry, where it has none those of the quantity.

Also how far its readings reach: the verdict on a reading depends on nothing that was observed more than `look_back`
before it (the one reading before it excepted, see `ingest.quality.sensor_judge`), so a reading that comes late can
change no verdict later than `look_back` after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import inf

from ingest.quality.flat_line import flat_line_limit, flat_line_look_back
from ingest.quality.limits import (
    BUCKET_INTERVALS,
    BUCKETS,
    PAUSE_INTERVALS,
    RECENT,
    FlatLineLimit,
    QualityLimits,
    RateLimit,
    WitnessLimit,
)
from ingest.quality.non_physical import possible_range
from ingest.quality.unit_ratio import RATIOS
from twin.gaps import LONGEST_PAUSE_INTERVALS
from twin.readings import Kind, Sensor


@dataclass(frozen=True, slots=True)
class Profile:
    """What the checks need to know of a sensor, ready for use (SI, timedeltas)."""

    sensor: Sensor
    low: float
    high: float
    possible_low: float
    possible_high: float
    trusted_low: float
    trusted_high: float
    late_after: timedelta
    gap_after: timedelta
    pause_after: timedelta
    bucket: timedelta
    look_back: timedelta
    counts: bool
    flat_line: FlatLineLimit | None
    rate: RateLimit | None
    spike_floor: float
    judges_units: bool
    witness: WitnessLimit | None


def profile_of(sensor: Sensor, limits: QualityLimits) -> Profile:
    """Work out a sensor's limits."""
    every = timedelta(seconds=sensor.expected_every_s)
    possible_low, possible_high = possible_range(sensor)
    instant = sensor.kind is Kind.INSTANT
    flat_line = flat_line_limit(sensor, limits.flat_lines.get(sensor.quantity)) if instant else None
    low, high = -inf if sensor.low is None else sensor.low, inf if sensor.high is None else sensor.high
    return Profile(
        sensor=sensor,
        low=low,
        high=high,
        possible_low=possible_low,
        possible_high=possible_high,
        trusted_low=max(low, possible_low),
        trusted_high=min(high, possible_high),
        late_after=limits.late_periods * every,
        gap_after=LONGEST_PAUSE_INTERVALS * every,
        pause_after=PAUSE_INTERVALS * every,
        bucket=BUCKET_INTERVALS * every,
        look_back=_look_back(sensor, flat_line),
        counts=sensor.kind is Kind.TOTAL_INCREASING,
        flat_line=flat_line,
        rate=_rate(sensor, limits) if instant or sensor.max_rate_per_s is not None else None,
        spike_floor=limits.floors.get(sensor.quantity, inf) if instant else inf,
        judges_units=instant and sensor.quantity in RATIOS,
        witness=limits.witnesses.get(sensor.quantity) if instant and sensor.redundant_with else None,
    )


def _rate(sensor: Sensor, limits: QualityLimits) -> RateLimit | None:
    if sensor.max_rate_per_s is None:
        return limits.rates.get(sensor.quantity)
    return RateLimit(sensor.max_rate_per_s, limits.floors.get(sensor.quantity, 0.0))


def _look_back(sensor: Sensor, flat_line: FlatLineLimit | None) -> timedelta:
    instant = sensor.kind is Kind.INSTANT
    every = timedelta(seconds=sensor.expected_every_s)
    recent = RECENT * PAUSE_INTERVALS * every
    compares = instant and (sensor.quantity in RATIOS or bool(sensor.redundant_with))
    buckets = (BUCKETS + 2) * BUCKET_INTERVALS * every if compares else timedelta(0)
    stuck = flat_line_look_back(sensor, flat_line) if flat_line is not None else timedelta(0)
    return max(recent, buckets, stuck)
