"""How many injected faults the quality gate finds, and how often it cries wolf on the undisturbed series.

Faults of every kind are put (seeded) into real series and everything is sent through the real gate in order of
arrival, with one configuration for all sensors. Recall is the share of faults found before their deadline by a reason
that fits ("named": by the very reason). False flags are counted in a clean run of the same series, per sensor-month and
reason, whatever really happened there: an upper bound. Limits are tuned on the first half of every series only
(`--part calibration`); the published figures are those of the second (`--part test`).
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from trust_faults import BY_KIND, CLOCK_FAULTS, FAULTS, WARM_UP, Fault, Injection, Stream, inject, inject_at
from trust_minutes import minute_series
from trust_series import DATA, DAY_S, RealSeries, halves, moment_of, real_series

from ingest.quality import QualityGate, judge_in_order
from twin.readings import Quality, Reading, Reason, Sensor, reading_from_raw
from twin.units import si_unit

MONTH_S = 30.4375 * DAY_S
BATCH_S = 60.0
"""What arrives within a minute is judged together."""
INFORMATIVE = frozenset({Reason.LATE, Reason.GAP})
"""Reasons that leave a value trusted: a gap in the real record is a gap, no false flag."""


def judged(streams: Sequence[Stream]) -> dict[str, list[Reading]]:
    """Send every stream through one gate in order of arrival, then judge what came late or waited for a successor.

    Returned are the verdicts as they are stored in the end, by sensor.
    """
    sensors = {stream.series.sensor.sensor_id: stream.series.sensor for stream in streams}
    gate = QualityGate(sensors)
    messages = sorted(
        (stream.arrival[i], number, i) for number, stream in enumerate(streams) for i in np.flatnonzero(stream.sent)
    )
    found: dict[str, list[Reading]] = defaultdict(list)
    for _, minute in groupby(messages, key=lambda message: message[0] // BATCH_S):
        batch = list(minute)
        readings = [_reading(streams[number], i) for _, number, i in batch]
        for reading in gate.judge(readings, [streams[number].series.gateway for _, number, _ in batch]):
            found[reading.sensor_id].append(reading)
    return {sensor_id: _finally(sensors[sensor_id], sensors, found) for sensor_id in found}


def _finally(sensor: Sensor, sensors: dict[str, Sensor], found: dict[str, list[Reading]]) -> list[Reading]:
    other = sensors.get(sensor.redundant_with)
    witness = None if other is None else (other, found[other.sensor_id])
    return judge_in_order(sensor, found[sensor.sensor_id], witness=witness)


def _reading(stream: Stream, i: int) -> Reading:
    sensor = stream.series.sensor
    return reading_from_raw(
        sensor,
        observed_at=moment_of(stream.observed[i]),
        available_at=moment_of(stream.arrival[i]),
        raw_value=float(stream.values[i]),
        raw_unit=si_unit(sensor.quantity),
        seq=i,
    )


@dataclass(frozen=True)
class Verdict:
    """Whether a fault was found, by its very name, and after how many intervals."""

    injection: Injection
    found: bool
    named: bool
    after: float | None


def verdict(fault: Fault, injection: Injection, readings: Iterable[Reading], stream: Stream) -> Verdict:
    """Judge the gate on one fault."""
    every = stream.series.sensor.expected_every_s
    if fault.kind == "silence":
        last = stream.observed[(stream.observed < injection.start) & stream.sent].max()
        silent = stream.series.sensor.is_silent(moment_of(last), now=moment_of(injection.deadline))
        return Verdict(injection, silent, silent, fault.deadline if silent else None)
    flags = {
        reading.observed_at.timestamp(): frozenset(reading.reasons) & fault.accepted
        for reading in readings
        if injection.start - DAY_S <= reading.observed_at.timestamp() <= injection.deadline + DAY_S
    }
    if fault.each:
        found = all(flags.get(moment) for moment in injection.wrong)
        named = found and all(flags[moment] & fault.named for moment in injection.wrong)
        return Verdict(injection, found, named, 0.0 if found else None)
    hits = sorted(t for t, reasons in flags.items() if reasons and _counts(fault, injection, t))
    named = any(flags[t] & fault.named for t in hits)
    return Verdict(injection, bool(hits), named, (hits[0] - injection.start) / every if hits else None)


def _counts(fault: Fault, injection: Injection, moment: float) -> bool:
    slack = 3600.0 if fault in CLOCK_FAULTS else 0.0  # a wrong clock moves the readings themselves
    return injection.start - slack <= moment <= injection.deadline + slack


def disturbed(series: Sequence[RealSeries], spreads: dict[str, float], seed: int) -> list[Verdict]:
    """Run every series with its own mix of faults; witnesses stay as they are."""
    streams = [Stream.of(one, spreads[one.sensor.sensor_id], seed) for one in series]
    injections: dict[str, list[Injection]] = {}
    for number, stream in enumerate(streams):
        if not stream.series.witness:
            random = np.random.default_rng([seed, number])
            injections[stream.series.sensor.sensor_id] = list(inject(stream, FAULTS, random))
    found = judged(streams)
    by_id = {stream.series.sensor.sensor_id: stream for stream in streams}
    return [
        verdict(BY_KIND[one.kind], one, found[sensor_id], by_id[sensor_id])
        for sensor_id, ledger in injections.items()
        for one in ledger
    ]


def with_wrong_clocks(series: Sequence[RealSeries], spreads: dict[str, float], seed: int) -> list[Verdict]:
    """Run every gateway with its clock ahead twice and behind twice; one verdict a gateway and fault."""
    streams = [Stream.of(one, spreads[one.sensor.sensor_id], seed) for one in series if not one.witness]
    gateways: dict[str, list[Stream]] = defaultdict(list)
    for stream in streams:
        gateways[stream.series.gateway].append(stream)
    injections = []
    for number, members in enumerate(gateways.values()):
        room = (len(members[0].values) - WARM_UP) // 4
        for turn in range(4):
            fault = CLOCK_FAULTS[turn % 2]
            start = WARM_UP + turn * room
            if room < 96:
                continue
            ledger = []
            for stream in members:
                clock = np.random.default_rng([seed, number, turn])  # the same for all behind one gateway
                ledger.append((stream, inject_at(stream, fault, slice(start, start + fault.intervals[0]), clock)))
            injections.append((fault, ledger))
    found = judged(streams)
    verdicts = []
    for fault, ledger in injections:
        each = [verdict(fault, one, found[one.sensor_id], stream) for stream, one in ledger]
        verdicts.append(max(each, key=lambda v: (v.found, v.named, -(v.after or 0))))
    return verdicts


@dataclass
class FalseFlags:
    """Flags of a clean run: readings and episodes (runs of consecutive readings) by reason, over so many months."""

    months: float
    readings: Counter[str]
    episodes: Counter[str]
    distrusted: int
    worst: Counter[str]


def clean(series: Sequence[RealSeries], spreads: dict[str, float], seed: int) -> FalseFlags:
    """Run the series as they are."""
    found = judged([Stream.of(one, spreads[one.sensor.sensor_id], seed) for one in series])
    result = FalseFlags(0.0, Counter(), Counter(), 0, Counter())
    for one in series:
        if one.witness:
            continue
        result.months += len(one.times) * one.sensor.expected_every_s / MONTH_S
        before: frozenset[str] = frozenset()
        for reading in sorted(found[one.sensor.sensor_id], key=lambda r: r.observed_at):
            reasons = frozenset(str(reason) for reason in reading.reasons if reason not in INFORMATIVE)
            result.readings.update(reasons)
            result.episodes.update(reasons - before)
            result.worst[one.sensor.sensor_id] += len(reasons - before)
            result.distrusted += reading.quality is not Quality.GOOD
            before = reasons
    return result


def print_recall(verdicts: Sequence[Verdict]) -> None:
    """Print a line per kind of fault."""
    by_kind: dict[str, list[Verdict]] = defaultdict(list)
    for one in verdicts:
        by_kind[one.injection.kind].append(one)
    print("\n| fault | injected | recall | named | median delay (readings) | deadline |\n|---|---|---|---|---|---|")
    for kind, fault in BY_KIND.items():
        mine = by_kind.get(kind, [])
        if not mine:
            continue
        recall, named = np.mean([v.found for v in mine]), np.mean([v.named for v in mine])
        delays = [v.after for v in mine if v.after is not None]
        delay = f"{np.median(delays):.0f}" if delays else "-"
        by_name = f"{named:.2f}" if fault.named or named else "-"  # noise has no reason of its own
        print(f"| {kind} | {len(mine)} | {recall:.2f} | {by_name} | {delay} | {fault.deadline} |")
    print(f"| all | {len(verdicts)} | {np.mean([v.found for v in verdicts]):.2f} | | | |")


def print_false(flags: FalseFlags) -> None:
    """Print a line per reason of false flags."""
    print(f"\nClean run over {flags.months:.0f} sensor-months:")
    print("\n| reason | false flags per sensor-month | episodes per sensor-month |\n|---|---|---|")
    for reason in sorted(flags.readings):
        each = flags.readings[reason] / flags.months, flags.episodes[reason] / flags.months
        print(f"| {reason} | {each[0]:.3f} | {each[1]:.3f} |")
    total = flags.distrusted / flags.months, flags.episodes.total() / flags.months
    print(f"| all (readings not good) | {total[0]:.3f} | {total[1]:.3f} |")


def print_misses(verdicts: Sequence[Verdict], worst: Counter[str]) -> None:
    """Print where to look first: sensors by kind of missed faults, and sensors with most false episodes."""
    missed = Counter((v.injection.kind, v.injection.sensor_id) for v in verdicts if not v.found)
    print("\nMissed:", ", ".join(f"{kind}/{sensor} {n}" for (kind, sensor), n in missed.most_common(40)) or "none")
    print("Most false episodes:", ", ".join(f"{sensor} {n}" for sensor, n in worst.most_common(15) if n))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", action="store_true", help="series of 5 and 15 minutes instead of hourly ones")
    parser.add_argument("--part", choices=("calibration", "test"), default="test")
    parser.add_argument("--rounds", type=int, default=3, help="mixes of faults per series")
    parser.add_argument("--seed", type=int, default=20260101)
    parser.add_argument("--only", default="", help="series whose id begins so (inflow, L_, F_, P_, S_, meter)")
    parser.add_argument("--misses", action="store_true", help="name the sensors behind the figures")
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    began = time.perf_counter()
    at_hand = minute_series if options.minutes else real_series
    everything = [one for one in at_hand(options.data) if one.sensor.sensor_id.startswith(options.only)]
    spreads = {one.sensor.sensor_id: halves(one)[0].spread for one in everything}
    series = [halves(one)[options.part == "test"] for one in everything]
    flags = clean(series, spreads, options.seed)
    verdicts = [
        one
        for number in range(options.rounds)
        for run in (disturbed, with_wrong_clocks)
        for one in run(series, spreads, options.seed + number)
    ]
    real = sum(not one.witness for one in series)
    print(f"{real} real series, part: {options.part}, {options.rounds} rounds, seed {options.seed}")
    print_recall(verdicts)
    print_false(flags)
    if options.misses:
        print_misses(verdicts, flags.worst)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
