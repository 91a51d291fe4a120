"""What each check takes for granted, by quantity. All values are SI and can be replaced when the gate is made.

Chosen on hourly SCADA of the C-Town network (17 months of tank levels, pump flows and statuses, pressures that jump by
50 m when a pump starts) so that ordinary operation raises no flag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from twin.units import Quantity


@dataclass(frozen=True, slots=True)
class FlatLineLimit:
    """How long and how often a value must stay the same to count as stuck: both limits must be passed.

    `tolerance` (SI) is the difference from the first value of the run that still counts as the same.
    """

    lasting: timedelta = timedelta(hours=6)
    values: int = 72
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """How fast a quantity can really change: by `margin` at once plus `per_s` for each second (SI)."""

    per_s: float
    margin: float


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


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """The limits of all checks.

    A reading is late when it arrives later than `late_periods` times the period its sensor is expected to keep, and
    early when it claims a moment more than `ahead` after its arrival. A gateway's clock is ahead when the median of
    its newest readings over the last `skew_messages` judgements lies more than `ahead` in the future.
    """

    flat_lines: Mapping[Quantity, FlatLineLimit] = field(default_factory=_flat_lines)
    rates: Mapping[Quantity, RateLimit] = field(default_factory=_rates)
    late_periods: float = 3.0
    ahead: timedelta = timedelta(seconds=120)
    skew_messages: int = 15
    skew_at_least: int = 5
