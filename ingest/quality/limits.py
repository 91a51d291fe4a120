"""What each check takes for granted, by quantity. All values are SI and can be replaced when the gate is made.

Chosen on hourly SCADA of the C-Town network, the inflows of ten real districts and household meters, so that ordinary
operation (pumps that start, pressures that jump by 50 m with them, floods that rise) raises no flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from twin.units import Quantity

PAUSE_INTERVALS = 6
"""After a pause of more intervals than this, what a sensor said before tells nothing of its next step."""

RECENT = 48
"""So many readings, without a pause between them, are the recent past of a sensor."""

BUCKET_INTERVALS = 12
BUCKETS = 48
"""The longer past: the first reading of each of so many buckets, each so many intervals long."""

LONGEST_ABSENCE = timedelta(days=400)
"""A reading that follows another after a longer time begins a new history: no gap, no reset."""


@dataclass(frozen=True, slots=True)
class FlatLineLimit:
    """How long and how often a value must stay the same to count as stuck: both limits must be passed."""

    lasting: timedelta = timedelta(hours=6)
    values: int = 72


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How fast a quantity can really change: by `margin` at once plus `per_s` for each second (SI)."""

    per_s: float
    margin: float


@dataclass(frozen=True, slots=True)
class WitnessLimit:
    """How far two sensors of the same thing may differ for good: by `margin` (SI) plus `share` of the other's value."""

    margin: float
    share: float = 0.0


def _flat_lines() -> dict[Quantity, FlatLineLimit]:
    # Left out on purpose: status, speed and power (a pump runs for weeks at one setting), rain (dry weather), head (a
    # reservoir's is constant by definition), energy and other totals. Values of zero are never stuck: a closed valve,
    # an empty sewer or a town without pressure reads zero for as long as it lasts.
    slow = FlatLineLimit(lasting=timedelta(hours=48))
    return {
        Quantity.LEVEL: FlatLineLimit(values=24),
        Quantity.PRESSURE: FlatLineLimit(),
        Quantity.FLOW: FlatLineLimit(),
        Quantity.DEMAND: FlatLineLimit(),
        Quantity.VOLUME: FlatLineLimit(),
        Quantity.CHLORINE: FlatLineLimit(lasting=timedelta(hours=24)),
        Quantity.TURBIDITY: FlatLineLimit(lasting=timedelta(hours=24)),
        Quantity.TEMPERATURE: slow,
        Quantity.PH: slow,
        Quantity.CONDUCTIVITY: slow,
    }


def _rates() -> dict[Quantity, RateLimit]:
    # Pressures, heads and flows have no limit: pumps, valves and bursts change them within a second. A level's limit
    # is that of a sewer in a cloudburst, not of a tank: a check that distrusts a rising flood would be a danger.
    return {
        Quantity.LEVEL: RateLimit(per_s=0.02, margin=0.5),
        Quantity.TEMPERATURE: RateLimit(per_s=1 / 60, margin=5.0),
        Quantity.CHLORINE: RateLimit(per_s=1 / 60, margin=1.0),
        Quantity.PH: RateLimit(per_s=1 / 60, margin=1.0),
    }


def _floors() -> dict[Quantity, float]:
    # The smallest excursion worth a word, and the least that a redundant sensor may differ. Left out: status, speed,
    # power and rain, which jump for a single reading in ordinary operation, and turbidity, whose peaks are real.
    return {
        Quantity.PRESSURE: 0.05,
        Quantity.HEAD: 0.05,
        Quantity.LEVEL: 0.05,
        Quantity.FLOW: 1e-4,
        Quantity.DEMAND: 1e-4,
        Quantity.VOLUME: 0.5,
        Quantity.TEMPERATURE: 1.0,
        Quantity.CHLORINE: 0.1,
        Quantity.PH: 0.2,
        Quantity.CONDUCTIVITY: 1e-3,
    }


def _witnesses() -> dict[Quantity, WitnessLimit]:
    return {
        Quantity.PRESSURE: WitnessLimit(5.0),
        Quantity.HEAD: WitnessLimit(5.0),
        Quantity.LEVEL: WitnessLimit(0.3),
        Quantity.FLOW: WitnessLimit(1e-3, 0.3),
        Quantity.DEMAND: WitnessLimit(1e-3, 0.3),
        Quantity.TEMPERATURE: WitnessLimit(3.0),
        Quantity.CHLORINE: WitnessLimit(0.3, 0.3),
        Quantity.PH: WitnessLimit(0.5),
    }


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """The limits of all checks.

    A reading is late when it arrives later than `late_periods` times the period its sensor is expected to keep, and
    early when it claims a moment more than `ahead` after its arrival. A gateway's clock is wrong when it is off by
    more than `ahead`, as far as the last `skew_messages` of its messages can tell (`ingest.quality.clock_skew`).
    """

    flat_lines: Mapping[Quantity, FlatLineLimit] = field(default_factory=_flat_lines)
    rates: Mapping[Quantity, RateLimit] = field(default_factory=_rates)
    floors: Mapping[Quantity, float] = field(default_factory=_floors)
    witnesses: Mapping[Quantity, WitnessLimit] = field(default_factory=_witnesses)
    late_periods: float = 3.0
    ahead: timedelta = timedelta(seconds=120)
    skew_messages: int = 15
    skew_at_least: int = 5
