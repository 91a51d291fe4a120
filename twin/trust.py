"""How far a sensor could be trusted on one day: pure functions from a day's readings to four parts and their product.

| part         | share                                                                                             |
|--------------|---------------------------------------------------------------------------------------------------|
| availability | of the intervals expected by the declared cadence, those with a reading, whenever it came          |
| timeliness   | of the readings, those that came in time (15 min, or one interval where that is longer)            |
| validity     | of the readings, those whose quality is good; replaced (estimated) values are not the sensor's own |
| accuracy     | of the good readings set against an independent estimate, those within the quantity's tolerance    |

The product is over the parts that are known, and says which. A sensor that sent nothing is available for 0 and worth 0.
An estimate is independent when the value had no part in it: another sensor of the same place, or the forecast that was
made an hour before. A sensor's own past is none: a drifting sensor agrees with it. Where two sensors contradict each
other, nobody knows which is wrong, and both lose.

The figure of all sensors is the mean of their products, weighted by the readings expected of each.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from math import prod

from twin.kpis import Pair, Period, count_data
from twin.readings import ElementType, Kind, Quality, Reading, Sensor
from twin.units import Quantity

DAY = timedelta(days=1)
LEAST_COMPARED = 3
"""Fewer comparisons on a day say nothing of accuracy."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a value may lie from an independent estimate: an amount (SI) or a share of it, whichever is more."""

    amount: float
    share: float = 0.0

    def holds(self, value: float, estimate: float) -> bool:
        """Whether the value is near enough."""
        return abs(value - estimate) <= max(self.amount, self.share * abs(estimate))


TOLERANCES: Mapping[Quantity, Tolerance] = {
    Quantity.PRESSURE: Tolerance(1.0),
    Quantity.HEAD: Tolerance(1.0),
    Quantity.FLOW: Tolerance(1e-3, 0.05),
    Quantity.DEMAND: Tolerance(1e-3, 0.05),
    Quantity.LEVEL: Tolerance(0.1),
    Quantity.TEMPERATURE: Tolerance(1.0),
    Quantity.CHLORINE: Tolerance(0.1),
    Quantity.TURBIDITY: Tolerance(0.5, 0.2),
    Quantity.PH: Tolerance(0.3),
    Quantity.CONDUCTIVITY: Tolerance(0.0, 0.05),
}
"""Pressure 1 m, flow 5 % or 1 L/s, level 0.1 m as for the model's accuracy; the others are our own choice."""

REDUNDANT = "redundant"
MODEL = "model"


@dataclass(frozen=True, slots=True)
class TrustDay:
    """What came of one sensor on one UTC day, in numbers from which every part follows.

    `heard` are the expected intervals with a reading, `compared` the good readings set against `estimate` ("redundant:"
    and the other sensor, "model", or nothing), `within` those inside the tolerance. `reasons` counts the readings that
    carry each reason; `last_observed_at` is the newest of the day.
    """

    sensor_id: str
    day: date
    expected: int
    heard: int
    received: int
    timely: int
    good: int
    compared: int = 0
    within: int = 0
    estimate: str = ""
    reasons: Mapping[str, int] = field(default_factory=dict)
    last_observed_at: datetime | None = None

    @property
    def availability(self) -> float | None:
        """Share of the expected intervals that were heard; None for a cadence longer than a day."""
        return _share(self.heard, self.expected)

    @property
    def timeliness(self) -> float | None:
        """Share of the readings that came in time; None without readings."""
        return _share(self.timely, self.received)

    @property
    def validity(self) -> float | None:
        """Share of the readings that are good; None without readings."""
        return _share(self.good, self.received)

    @property
    def accuracy(self) -> float | None:
        """Share of the compared readings within the tolerance; None without enough to compare with."""
        return _share(self.within, self.compared)

    @property
    def parts(self) -> dict[str, float]:
        """The parts that are known, by name."""
        all_parts = {name: getattr(self, name) for name in PARTS}
        return {name: share for name, share in all_parts.items() if share is not None}

    @property
    def trust(self) -> float | None:
        """The product of the known parts; None where nothing is known."""
        return _product(self.parts.values())


PARTS = ("availability", "timeliness", "validity", "accuracy")


@dataclass(frozen=True, slots=True)
class Trust:
    """The four parts and their product over several sensors or days.

    Each part is pooled (all that was well over all there was); `trust` is the mean of the single products, each
    weighted by its expected readings. `sensor_days` is how many there are, `judged` how many of them have a product,
    `compared` how many of them an accuracy.
    """

    availability: float | None
    timeliness: float | None
    validity: float | None
    accuracy: float | None
    trust: float | None
    expected: int
    sensor_days: int
    judged: int
    compared: int


def trust_day(
    sensor: Sensor,
    day: date,
    readings: Sequence[Reading],
    pairs: Sequence[Pair] = (),
    *,
    estimate: str = "",
    since: datetime | None = None,
) -> TrustDay:
    """Count a sensor's day. `readings` may reach beyond it; `pairs` are the values of `estimate` and as measured.

    Nothing is expected before `since`, when the sensor was heard for the first time.
    """
    period = period_of(day)
    if since is not None and since > period.start:
        period = Period(since, max(period.end, since))
    return replace(trust_over(sensor, period, readings, pairs, estimate=estimate), day=day)


def trust_over(
    sensor: Sensor, period: Period, readings: Sequence[Reading], pairs: Sequence[Pair] = (), *, estimate: str = ""
) -> TrustDay:
    """Count any period as if it were a day (that of its beginning); see `trust_day`."""
    inside = [reading for reading in readings if period.start <= reading.observed_at < period.end]
    counts = count_data(sensor, inside, period)
    tolerance = TOLERANCES.get(sensor.quantity)
    compared = pairs if tolerance is not None and len(pairs) >= LEAST_COMPARED else ()
    return TrustDay(
        sensor_id=sensor.sensor_id,
        day=period.start.date(),
        expected=counts.expected,
        heard=counts.heard_intervals,
        received=counts.received,
        timely=counts.timely,
        good=sum(reading.quality is Quality.GOOD for reading in inside),
        compared=len(compared),
        within=sum(tolerance.holds(pair.measured, pair.forecast) for pair in compared) if tolerance else 0,
        estimate=estimate if compared else "",
        reasons=dict(Counter(str(reason) for reading in inside for reason in reading.reasons).most_common()),
        last_observed_at=max((reading.observed_at for reading in inside), default=None),
    )


def period_of(day: date) -> Period:
    """Return the UTC day as a period."""
    start = datetime.combine(day, time(), UTC)
    return Period(start, start + DAY)


def overall_trust(days: Iterable[TrustDay]) -> Trust:
    """Put sensors and days together."""
    days = list(days)
    expected = sum(day.expected for day in days)
    products = [(day.expected, trust) for day in days if day.expected and (trust := day.trust) is not None]
    return Trust(
        availability=_share(sum(day.heard for day in days), expected),
        timeliness=_share(sum(day.timely for day in days), sum(day.received for day in days)),
        validity=_share(sum(day.good for day in days), sum(day.received for day in days)),
        accuracy=_share(sum(day.within for day in days), sum(day.compared for day in days)),
        trust=_share(sum(weight * trust for weight, trust in products), sum(weight for weight, _ in products)),
        expected=expected,
        sensor_days=len(days),
        judged=len(products),
        compared=sum(day.compared > 0 for day in days),
    )


# ------------------------------------------------------------------------------------------------ witnesses


def witnesses(sensors: Iterable[Sensor]) -> dict[str, str]:
    """Return for each sensor that has one another that measures the same.

    It is the one that the sensor names (`redundant_with`), else one that names it, else one of the same quantity at
    the same place. Only momentary values with a tolerance can be compared.
    """
    comparable = {s.sensor_id: s for s in sensors if s.kind is Kind.INSTANT and s.quantity in TOLERANCES}
    named = {
        sensor_id: sensor.redundant_with
        for sensor_id, sensor in comparable.items()
        if sensor.redundant_with != sensor_id and _is_like(sensor, comparable.get(sensor.redundant_with))
    }
    naming = {other: sensor_id for sensor_id, other in named.items()}
    return _beside(comparable.values()) | naming | named


def _is_like(sensor: Sensor, other: Sensor | None) -> bool:
    return other is not None and other.quantity is sensor.quantity


def _beside(sensors: Iterable[Sensor]) -> dict[str, str]:
    at_place: dict[tuple[ElementType, str, Quantity], list[str]] = defaultdict(list)
    for sensor in sensors:
        if sensor.element_type is not ElementType.NONE:
            at_place[sensor.element_type, sensor.element_id, sensor.quantity].append(sensor.sensor_id)
    found = {}
    for together in at_place.values():
        for one, other in zip(together, together[1:] + together[:1], strict=True):
            if one != other:
                found[one] = other
    return found


def pairs_with_witness(sensor: Sensor, readings: Sequence[Reading], witness: Sequence[Reading]) -> list[Pair]:
    """Pair each good reading with the witness' nearest good one, up to half an interval of the sensor away."""
    good = sorted((r for r in witness if r.quality is Quality.GOOD), key=lambda r: r.observed_at)
    times = [reading.observed_at for reading in good]
    reach = timedelta(seconds=sensor.expected_every_s) / 2
    pairs = []
    for reading in readings:
        if reading.quality is not Quality.GOOD:
            continue
        nearest = _nearest(good, times, reading.observed_at)
        if nearest is not None and abs(nearest.observed_at - reading.observed_at) <= reach:
            pairs.append(Pair(nearest.value, reading.value))
    return pairs


def _nearest(readings: Sequence[Reading], times: Sequence[datetime], moment: datetime) -> Reading | None:
    after = bisect_left(times, moment)
    if after < len(times) and times[after] == moment:
        return readings[after]
    near = readings[max(after - 1, 0) : after + 1]
    return min(near, key=lambda other: abs(other.observed_at - moment), default=None)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _product(shares: Iterable[float]) -> float | None:
    known = list(shares)
    return prod(known) if known else None
