"""Readings may arrive in any order, in any batches, with restarts in between: the verdicts are those of observed time.

```
observed   1  2  3  4  5  6  7        judged in order: what the oracle does, without any memory, window or store
arrived    3  1 | 7  2 | crash | 7  2 | 5  4  6       what the gate and the re-judging worker are given
```
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from fakes import MemoryNotebook, MemoryReadings, MemorySensors
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingest.notes import keep
from ingest.quality import QualityGate, Rejudge, judge_in_order
from twin.consumption import Interval, consumption
from twin.kpis import Period, count_data
from twin.readings import Kind, Quality, Reading, Reason, Sensor, reading_from_raw
from twin.units import Quantity
from twin.windows import Window

T0 = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(minutes=5)
SENSORS = {
    "A": Sensor("A", Quantity.PRESSURE, redundant_with="B", low=0.0, high=200.0, max_rate_per_s=0.02),
    "B": Sensor("B", Quantity.PRESSURE, low=0.0, high=200.0),
    "L": Sensor("L", Quantity.LEVEL, overflow_m=4.0, flat_after_s=3600.0),
    "M": Sensor("M", Quantity.VOLUME, Kind.TOTAL_INCREASING, rollover_at=1000.0),
}


class Plant:
    """Stores, a gate that may be restarted, and the worker."""

    def __init__(self, *, history: bool = True, shared: bool = False) -> None:
        self.store = CountingReadings()
        self.notebook = Notebook()
        self.worker = Rejudge(self.store, self.notebook)
        self._history, self._shared = history, shared
        self.restart()

    def restart(self) -> None:
        history = self.store if self._history else None
        self.gates = [QualityGate(SENSORS, history=history, shared=self._shared) for _ in range(2)]

    def deliver(self, batch: Sequence[Reading], *, member: int = 0, crash: bool = False) -> None:
        gate = self.gates[member]
        judged = gate.judge(batch)
        notes = gate.take_notes()
        keep(notes, self.notebook)
        if crash:
            self.worker.turn()
            self.restart()
            return self.deliver(batch, member=member)
        self.store.append(judged)
        self.notebook.reopen(notes.windows)
        return None

    def settle(self) -> None:
        while self.worker.turn():
            pass

    @property
    def verdicts(self) -> dict[tuple[str, datetime], tuple[str, tuple[str, ...]]]:
        return {key: (reading.quality, reading.reasons) for key, reading in self.store.kept.items()}


class Notebook(MemoryNotebook):
    def sensors(self) -> dict[str, Sensor]:
        return SENSORS

    upsert_sensors = MemorySensors.upsert_sensors


class CountingReadings(MemoryReadings):
    """Counts how many readings are read."""

    read = 0

    def between(self, *args: object, **named: object) -> list[Reading]:
        found = super().between(*args, **named)  # type: ignore[arg-type]
        self.read += len(found)
        return found


def by_time(readings: Sequence[Reading]) -> dict[tuple[str, datetime], tuple[str, tuple[str, ...]]]:
    return {reading.key: (reading.quality, reading.reasons) for reading in in_order(readings)}


def figures(readings: Iterable[Reading]) -> list[object]:
    """Everything that is shown of readings: the series, the data figures of the period, and what the meter counted."""
    period = Period(T0, T0 + timedelta(days=5))
    found: list[object] = []
    for sensor_id, sensor in SENSORS.items():
        series = sorted((r for r in readings if r.sensor_id == sensor_id), key=lambda r: r.observed_at)
        found += [series, count_data(sensor, series, period)]
        found += (
            [consumption(sensor, series, start=T0, end=period.end, interval=Interval.HOUR)] if sensor_id == "M" else []
        )
    return found


def in_order(readings: Sequence[Reading]) -> list[Reading]:
    of = {sensor_id: [r for r in readings if r.sensor_id == sensor_id] for sensor_id in SENSORS}
    found = []
    for sensor_id, sensor in SENSORS.items():
        other = sensor.redundant_with
        witness = (SENSORS[other], of[other]) if other else None
        found += judge_in_order(sensor, of[sensor_id], witness=witness)
    return found


def a_plant_with_faults(seed: int, count: int) -> list[Reading]:
    """Half a day of four sensors in which everything goes wrong now and then, and three days later some hours more."""
    dice = random.Random(seed)
    readings = []
    register, offset, factor = 990.0, 0.0, 1.0
    stuck: float | None = None
    for n in range(count):
        at = T0 + (n if n < 0.6 * count else n + 800) * EVERY
        wave = 30 + 5 * math.sin(n / 20)
        offset = dice.choice([0.0, 8.0]) if dice.random() < 0.02 else offset
        factor = dice.choice([1.0, 3.28084]) if dice.random() < 0.02 else factor
        register += dice.random() if dice.random() > 0.03 else dice.choice([-register, -0.001, -5.0])
        stuck = dice.choice([None, 1.25]) if dice.random() < 0.05 else stuck
        peak = dice.choice([0.0, 0.0, 25.0]) if dice.random() < 0.1 else 0.0
        values = {
            "A": wave + dice.random() + offset + peak,
            "B": (wave + dice.random() + peak) * factor,
            "L": stuck if stuck is not None else 1.5 + math.sin(n / 15) + dice.choice([0, 0, 0, 0, 0, 0, 2.0]),
            "M": register % 1000,
        }
        for sensor_id, value in values.items():
            if dice.random() < 0.02 or 40 < n < 40 + dice.choice([0, 0, 5, 9]):
                continue
            delay = timedelta(seconds=dice.choices([1, 1200, -300], [20, 3, 1])[0])
            reasons = (Reason.DEVICE_ALARM,) if dice.random() < 0.01 else ()
            wobble = timedelta(seconds=dice.choice([0, 0, 0, 40]))
            readings.append(
                reading_from_raw(
                    SENSORS[sensor_id],
                    observed_at=at + wobble,
                    available_at=at + delay,
                    raw_value=value,
                    reasons=reasons,
                )
            )
    return readings


ORDERS = ("in order", "nearly", "wild", "disorder, then order", "sensor by sensor", "backwards")


def arrived(readings: Sequence[Reading], order: str, dice: random.Random) -> list[Reading]:
    """Return the readings in an order of arrival; some come twice."""
    repeated = list(readings)
    for _ in range(0 if order == "in order" else dice.choice([0, len(readings) // 20])):
        repeated.insert(dice.randrange(len(repeated)), dice.choice(readings))
    reach = {"nearly": 8.0, "wild": 1000.0, "disorder, then order": 40.0}.get(order, 0.0)
    disorder = dice.random() * len(readings) if order == "disorder, then order" else len(readings)
    moved = [
        (n + (dice.uniform(0, reach) if n < disorder else reach), n, reading) for n, reading in enumerate(repeated)
    ]
    found = [reading for _, _, reading in sorted(moved)]
    if order == "sensor by sensor":
        turns = dice.sample(sorted(SENSORS), len(SENSORS))
        return sorted(found, key=lambda reading: turns.index(reading.sensor_id))
    return found[::-1] if order == "backwards" else found


def deliver_somehow(plant: Plant, readings: Sequence[Reading], dice: random.Random, members: int = 1) -> None:
    left = list(readings)
    while left:
        size = dice.choice([1, 3, 20, 100])
        batch, left = left[:size], left[size:]
        plant.deliver(batch, member=dice.randrange(members), crash=dice.random() < 0.05)
        if dice.random() < 0.4:
            plant.worker.turn()
        if dice.random() < 0.05:
            plant.restart()


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])
@given(st.integers(0, 10_000), st.builds(random.Random, st.integers(0, 10_000)), st.sampled_from(ORDERS))
def test_any_order_of_arrival_gives_the_verdicts_of_observed_time(seed: int, dice: random.Random, order: str) -> None:
    readings = a_plant_with_faults(seed, 220)
    plant = Plant()
    deliver_somehow(plant, arrived(readings, order, dice), dice)
    plant.settle()
    assert plant.verdicts == by_time(readings)
    assert figures(plant.store.kept.values()) == figures(in_order(readings))


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])
@given(st.integers(0, 10_000), st.builds(random.Random, st.integers(0, 10_000)), st.sampled_from(ORDERS))
def test_ingesters_that_share_the_messages_come_to_the_same_verdicts(
    seed: int, dice: random.Random, order: str
) -> None:
    readings = a_plant_with_faults(seed, 150)
    plant = Plant(shared=True)
    deliver_somehow(plant, arrived(readings, order, dice), dice, members=2)
    plant.settle()
    assert plant.verdicts == by_time(readings)


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate])
@given(st.integers(0, 10_000), st.builds(random.Random, st.integers(0, 10_000)), st.sampled_from(ORDERS))
def test_without_a_history_windows_alone_mend_everything(seed: int, dice: random.Random, order: str) -> None:
    readings = a_plant_with_faults(seed, 150)
    plant = Plant(history=False)
    left = arrived(readings, order, dice)
    while left:
        size = dice.choice([1, 5, 50])
        plant.deliver(left[:size])
        left = left[size:]
    plant.settle()
    assert plant.verdicts == by_time(readings)


# ----------------------------------------------------------------------------------------- one thing at a time


def a_series(sensor_id: str, values: Sequence[float], start: datetime = T0) -> list[Reading]:
    sensor = SENSORS[sensor_id]
    times = [start + n * EVERY for n in range(len(values))]
    return [
        reading_from_raw(sensor, observed_at=at, available_at=at, raw_value=value)
        for at, value in zip(times, values, strict=True)
    ]


LIVELY = [30.0 + math.sin(n) for n in range(40)]


#   observed  30 31 30 ... 45 30      45 is a spike once 30 has come
def test_a_spike_is_found_when_its_successor_comes() -> None:
    plant = Plant()
    readings = a_series("B", [*LIVELY, 45.0, 30.0])
    plant.deliver(readings[:-1])
    plant.settle()
    assert plant.verdicts[readings[-2].key] == ("good", ())
    plant.deliver(readings[-1:])
    plant.settle()
    assert plant.verdicts[readings[-2].key] == ("suspect", ("spike",))
    assert plant.verdicts[readings[-1].key] == ("good", ())


#   observed  30 31 30 ... 45 [46] 30      46 comes last of all and clears 45
def test_a_late_reading_that_confirms_a_peak_clears_it() -> None:
    plant = Plant()
    readings = a_series("B", [*LIVELY, 45.0, 46.0, 30.0])
    plant.deliver([reading for reading in readings if reading.value != 46.0])
    plant.settle()
    assert plant.verdicts[readings[-3].key] == ("suspect", ("spike",))
    plant.deliver([reading for reading in readings if reading.value == 46.0])
    plant.settle()
    assert plant.verdicts == by_time(readings)
    assert plant.verdicts[readings[-3].key] == ("good", ())


#   meter  ... 100 [..... a week .....] 5        the last reading before the week comes last: 5 was no first reading
def test_a_late_reading_reaches_over_a_pause_to_the_next_one() -> None:
    plant = Plant()
    (before,), (after,) = a_series("M", [100.0]), a_series("M", [5.0], T0 + timedelta(days=7))
    plant.deliver([after])
    plant.settle()
    assert plant.verdicts[after.key] == ("good", ())
    plant.deliver([before])
    plant.settle()
    assert plant.verdicts[after.key] == ("suspect", ("counter_reset", "gap"))


#   B (the witness) parts from A, and all of B comes after all of A, through another ingester
def test_what_comes_late_of_a_witness_is_told_to_those_compared_with_it() -> None:
    plant = Plant(shared=True)
    mine, other = a_series("A", LIVELY), a_series("B", [value + 20 for value in LIVELY])
    plant.deliver(mine, member=0)
    plant.settle()
    plant.deliver(other, member=1)
    plant.settle()
    assert plant.verdicts == by_time([*mine, *other])
    assert plant.verdicts[mine[-1].key][0] == "suspect"


#   9 late readings are stored after the worker has settled their window; the next one in order rests on all of them
def test_a_reading_in_order_after_late_ones_is_judged_with_them() -> None:
    plant = Plant()
    readings = a_series("L", [1.0, *[1.25] * 30])
    late = readings[5:12]
    plant.deliver([reading for reading in readings[:20] if reading not in late])
    plant.deliver(late)
    plant.settle()
    for reading in readings[20:]:
        plant.deliver([reading])
    plant.settle()
    assert plant.verdicts == by_time(readings)


#   30 31 30 ... 294 304 [294] ...      kPa for metres, out of range, for longer than any look-back; one comes late
def test_a_unit_that_is_named_out_of_range_is_named_in_any_order() -> None:
    plant = Plant()
    readings = a_series("B", [(30 + 5 * math.sin(n / 9)) * (1.0 if n < 400 else 9.80665) for n in range(1100)])
    late = [readings[n] for n in (404, 650, 850, 1010)]
    plant.deliver([reading for reading in readings if reading not in late])
    plant.deliver(late)
    plant.settle()
    assert plant.verdicts == by_time(readings)
    assert plant.verdicts[readings[420].key] == ("bad", ("out_of_range", "unit_suspect"))


def test_a_crash_between_window_and_reading_loses_neither() -> None:
    plant = Plant()
    readings = a_series("B", [*LIVELY, 45.0, 30.0])
    for reading in readings:
        plant.deliver([reading], crash=True)
    plant.settle()
    assert plant.verdicts == by_time(readings)


def test_only_the_windows_touched_are_read_again() -> None:
    plant = Plant()
    readings = a_series("B", [30 + math.sin(n) for n in range(4000)])
    late = readings[2000]
    plant.store.append([reading for reading in readings if reading is not late])
    plant.deliver([late])
    plant.store.read = 0
    plant.settle()
    look_back = 600  # intervals: 50 buckets of 12
    assert 0 < plant.store.read <= 3 * look_back
    plant.settle()
    plant.store.read = 0
    assert plant.worker.turn() == 0
    assert plant.store.read == 0


def test_a_stranger_s_reasons_survive_and_an_estimate_stays_one() -> None:
    plant = Plant()
    readings = a_series("B", LIVELY)
    told = replace(readings[5], quality=Quality.SUSPECT, reasons=("implausible",))
    made = replace(readings[7], quality=Quality.ESTIMATED, reasons=("interpolated",))
    plant.store.append([*readings[:5], told, readings[6], made, *readings[8:30]])
    plant.deliver([readings[30]])
    plant.notebook.reopen([Window("B", readings[0].observed_at, readings[-1].observed_at)])
    plant.settle()
    assert plant.verdicts[told.key] == ("suspect", ("implausible",))
    assert plant.verdicts[made.key] == ("estimated", ("interpolated",))
