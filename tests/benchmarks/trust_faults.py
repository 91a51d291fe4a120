"""Faults as sensors, meters, gateways and clocks have them, put into real series by a seeded injector with a ledger.

Sizes are in units of a series' usual spread (0.5th to 99.5th percentile of its calibration half, at least 5 % of its
size), drawn anew for each fault. `deadline` is how long after its beginning a fault may be found to count; of the kinds
marked `each` every wrong reading itself must be flagged, because one that slips through is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from trust_series import HOUR_S, RealSeries, Values

from twin.readings import Kind, Reason
from twin.units import Quantity

R = Reason
WARM_UP = 28 * 24
QUIET = 7 * 24
"""Intervals before the first fault, and between two."""

UNIT_RATIOS = {
    Quantity.FLOW: (3.6, 1 / 3.6, 1000.0, 1e-3),
    Quantity.DEMAND: (3.6, 1 / 3.6, 1000.0, 1e-3),
    Quantity.PRESSURE: (0.0980665, 9.80665, 1.42233),  # bar, kPa and psi taken for metres
    Quantity.LEVEL: (100.0, 1000.0, 3.28084),
    Quantity.VOLUME: (1000.0, 1e-3),
}


@dataclass
class Stream:
    """What a sensor says in one run: every array has the same length; `sent` is False where it says nothing."""

    series: RealSeries
    spread: float
    observed: Values
    arrival: Values
    values: Values
    sent: Values

    @classmethod
    def of(cls, series: RealSeries, spread: float, seed: int) -> Stream:
        """Return the stream of an undisturbed series; messages take 1 to 20 s, by mobile network usually 20 s."""
        random = np.random.default_rng([seed, crc32(series.sensor.sensor_id.encode())])
        count = len(series.times)
        took = random.lognormal(np.log(20), 1, count) if series.is_mobile else random.uniform(1, 20, count)
        arrival = series.times + took
        sent = np.ones(len(series.times), dtype=bool)
        return cls(series, spread, series.times.copy(), arrival, series.values.copy(), sent)


@dataclass(frozen=True)
class Injection:
    """One fault: where it is, and by when (observation time) it must have been found."""

    kind: str
    sensor_id: str
    start: float
    end: float
    deadline: float
    wrong: tuple[float, ...] = field(repr=False, default=())


Change = Callable[[Stream, slice, np.random.Generator], None]


@dataclass(frozen=True)
class Fault:
    """One kind of fault: how many intervals it lasts, by when it must be found, by which reasons, and what it does."""

    kind: str
    intervals: tuple[int, int]
    deadline: int
    named: frozenset[Reason]
    seen: frozenset[Reason]
    change: Change
    fits: Callable[[RealSeries], bool]
    each: bool = False

    @property
    def accepted(self) -> frozenset[Reason]:
        """All reasons that count as found."""
        return self.named | self.seen


def _spike(stream: Stream, at: slice, random: np.random.Generator) -> None:
    up = 1 if stream.series.sensor.quantity is Quantity.FLOW or random.random() < 0.7 else -1
    stream.values[at] += up * random.uniform(1.0, 2.0) * stream.spread


def _flat_line(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at] = stream.values[at.start]


def _drift(stream: Stream, at: slice, random: np.random.Generator) -> None:
    ramp = np.linspace(0, 1, at.stop - at.start)
    stream.values[at] += random.choice([-1, 1]) * random.uniform(0.3, 0.6) * stream.spread * ramp
    _keep_positive(stream, at)


def _step(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at] += random.choice([-1, 1]) * random.uniform(0.2, 0.5) * stream.spread
    _keep_positive(stream, at)


def _noise(stream: Stream, at: slice, random: np.random.Generator) -> None:
    count = at.stop - at.start
    stream.values[at] += random.normal(0, random.uniform(0.3, 0.6) * stream.spread, count)
    _keep_positive(stream, at)


def _keep_positive(stream: Stream, at: slice) -> None:
    stream.values[at] = np.maximum(stream.values[at], 0.0)  # else the sign alone would give the fault away


def _unit(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at] *= random.choice(UNIT_RATIOS[stream.series.sensor.quantity])


def _out_of_range(stream: Stream, at: slice, random: np.random.Generator) -> None:
    high = stream.series.sensor.high
    stream.values[at] = (1.0 if high is None else high) * random.uniform(1.05, 1.5)


def _negative(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at] = -random.uniform(0.05, 0.5) * stream.spread


def _above_overflow(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at] = (stream.series.sensor.overflow_m or 0.0) * random.uniform(1.05, 1.3)


def _nothing_sent(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.sent[at] = False


def _late(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.arrival[at] += random.uniform(4, 24) * HOUR_S


def _clock_ahead(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.observed[at] += _skew_s(random)


def _clock_behind(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.observed[at] -= _skew_s(random)


def _skew_s(random: np.random.Generator) -> float:
    return float(np.round(60 * np.exp(random.uniform(np.log(3), np.log(55)))))


def _reset(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at.start :] -= stream.values[at.start]


def _replaced(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at.start :] += random.uniform(0.0, 5.0) - stream.values[at.start]


def _rollover(stream: Stream, at: slice, random: np.random.Generator) -> None:
    reaches = stream.series.sensor.rollover_at or 0.0
    step = stream.values[at.start] - stream.values[at.start - 1]
    stream.values[: at.start] += reaches - step / 2 - stream.values[at.start - 1]
    stream.values[at.start :] += step / 2 - stream.values[at.start]


def _reverse(stream: Stream, at: slice, random: np.random.Generator) -> None:
    back = random.uniform(1e-3, 20e-3)
    stream.values[at.start :] -= stream.values[at.start] - stream.values[at.start - 1] + back


def _misread(stream: Stream, at: slice, random: np.random.Generator) -> None:
    stream.values[at] += random.uniform(10, 500)


def _is_measured(series: RealSeries) -> bool:
    return series.sensor.kind is Kind.INSTANT and series.sensor.quantity is not Quantity.STATUS and series.is_lively


def _is_meter(series: RealSeries) -> bool:
    return series.sensor.kind is Kind.TOTAL_INCREASING


def _has_witness(series: RealSeries) -> bool:
    return bool(series.sensor.redundant_with)


def _is_flow(series: RealSeries) -> bool:
    return _is_measured(series) and series.sensor.quantity is Quantity.FLOW


def _is_tank(series: RealSeries) -> bool:
    return series.sensor.overflow_m is not None


def _has_a_unit(series: RealSeries) -> bool:
    return _is_measured(series) or _is_meter(series)


def _any(series: RealSeries) -> bool:
    return True


def _has_limits(series: RealSeries) -> bool:
    return series.sensor.high is not None


_ODD = frozenset({R.SPIKE, R.RATE_OF_CHANGE, R.OUT_OF_RANGE, R.NON_PHYSICAL, R.IMPLAUSIBLE})
_LASTING = frozenset({R.DRIFT, R.STEP, R.OUT_OF_RANGE, R.NON_PHYSICAL, R.IMPLAUSIBLE})


def _of(*reasons: Reason) -> frozenset[Reason]:
    return frozenset(reasons)


FAULTS = (
    Fault("spike", (1, 1), 0, _of(R.SPIKE, R.RATE_OF_CHANGE), _ODD | _of(R.UNIT_SUSPECT), _spike, _is_measured, True),
    Fault("flat line", (96, 96), 96, _of(R.FLAT_LINE), _of(R.IMPLAUSIBLE, R.DRIFT, R.STEP), _flat_line, _is_measured),
    Fault("drift", (240, 240), 240, _of(R.DRIFT), _LASTING, _drift, _has_witness),
    Fault("step", (120, 120), 48, _of(R.STEP), _LASTING, _step, _has_witness),
    Fault("unit change", (120, 120), 20, _of(R.UNIT_SUSPECT), _LASTING, _unit, _has_a_unit),
    Fault("out of range", (3, 3), 3, _of(R.OUT_OF_RANGE), _of(R.NON_PHYSICAL), _out_of_range, _has_limits, True),
    Fault("negative flow", (3, 3), 3, _of(R.NON_PHYSICAL), _of(R.OUT_OF_RANGE), _negative, _is_flow, True),
    Fault("level above overflow", (3, 3), 3, _of(R.NON_PHYSICAL), _of(R.OUT_OF_RANGE), _above_overflow, _is_tank, True),
    Fault("noise burst", (24, 24), 24, _of(), _ODD | _LASTING, _noise, _is_measured),
    Fault("gap", (6, 48), 60, _of(R.GAP), _of(), _nothing_sent, _any),
    Fault("silence", (24, 48), 4, _of(), _of(), _nothing_sent, _any),
    Fault("late", (1, 5), 5, _of(R.LATE), _of(), _late, _any, True),
    Fault("counter reset", (1, 1), 2, _of(R.COUNTER_RESET), _of(R.ROLLOVER), _reset, _is_meter),
    Fault("counter replaced", (1, 1), 2, _of(R.COUNTER_RESET), _of(R.ROLLOVER, R.STEP), _replaced, _is_meter),
    Fault("counter rollover", (1, 1), 2, _of(R.ROLLOVER), _of(R.COUNTER_RESET), _rollover, _is_meter),
    Fault("counter reverse", (1, 1), 2, _of(R.REVERSE_FLOW), _of(R.COUNTER_RESET), _reverse, _is_meter),
    Fault("counter misread", (1, 1), 0, _of(R.SPIKE, R.RATE_OF_CHANGE), _ODD, _misread, _is_meter, True),
)  # fmt: skip

CLOCK_FAULTS = (
    Fault("clock ahead", (24, 24), 24, _of(R.CLOCK_SKEW), _of(R.EARLY), _clock_ahead, _any),
    Fault("clock behind", (24, 24), 24, _of(R.CLOCK_SKEW), _of(), _clock_behind, _any),
)
BY_KIND = {fault.kind: fault for fault in (*FAULTS, *CLOCK_FAULTS)}
_BEGINS_ANEW = ("counter reset", "counter replaced", "counter rollover")


def inject(stream: Stream, faults: Sequence[Fault], random: np.random.Generator) -> Iterator[Injection]:
    """Put each fault that fits into the stream once, in a random order, quiet time between, while there is room."""
    fitting = [fault for fault in faults if fault.fits(stream.series)]
    begins_anew = random.choice(_BEGINS_ANEW)  # once in a register's history
    fitting = [fault for fault in fitting if fault.kind == begins_anew or fault.kind not in _BEGINS_ANEW]
    places = list(_places(stream, [fitting[place] for place in random.permutation(len(fitting))], random))
    for fault, at in sorted(places, key=lambda place: place[0].kind == "unit change"):  # a rollover moves all before it
        yield inject_at(stream, fault, at, random)


def _places(stream: Stream, faults: Sequence[Fault], random: np.random.Generator) -> Iterator[tuple[Fault, slice]]:
    position = WARM_UP
    for fault in faults:
        position += int(random.integers(0, 48))
        length = int(random.integers(fault.intervals[0], fault.intervals[1] + 1))
        start = _place(stream, fault, position)
        if start is None or start + max(length, fault.deadline) + 2 >= len(stream.values):
            return
        yield fault, slice(start, start + length)
        position = start + max(length, fault.deadline) + QUIET


def inject_at(stream: Stream, fault: Fault, at: slice, random: np.random.Generator) -> Injection:
    """Put one fault into the stream at a place."""
    series = stream.series
    fault.change(stream, at, random)
    every = series.sensor.expected_every_s
    begins, ends = float(series.times[at.start]), float(series.times[at.stop - 1])
    wrong = tuple(float(moment) for moment in stream.observed[at]) if fault.each else ()
    return Injection(fault.kind, series.sensor.sensor_id, begins, ends, begins + fault.deadline * every, wrong)


def _place(stream: Stream, fault: Fault, position: int) -> int | None:
    """Return the first place from `position` on where the fault makes a difference, or None."""
    values = stream.values
    for start in range(position, len(values) - 1):
        if fault.kind in ("flat line", "unit change") and values[start] == 0:
            continue  # a stuck zero, or a zero in another unit, is a zero
        if fault.kind == "counter rollover" and values[start] - values[start - 1] < 1e-4:
            continue
        return start
    return None
