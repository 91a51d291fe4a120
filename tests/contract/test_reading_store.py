"""What every reading store promises (`twin.ports.ReadingStore`), asked of each of them.

InfluxDB is asked twice: with its ledger of keys, and with one that forgets every key as soon as the server has it, so
that repeats, conflicts and reads are decided by the server alone (see conftest.py).
"""

from __future__ import annotations

import fcntl
import itertools
import random
import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading_builders import NOON, a_reading, after
from reading_stores import Opener, everything, settle

from twin.errors import InputError, NaiveDatetimeError, UnavailableError
from twin.ports import AppendResult, KnowsRepeats, ReadingStore
from twin.readings import Quality, Reading

EXACT = {
    "microseconds": a_reading(at_s=0.000001),
    "one tenth": a_reading(raw_value=0.1),
    "tiny": a_reading(raw_value=5e-324),
    "huge": a_reading(raw_value=-1.7976931348623157e308),
    "third": a_reading(raw_value=1 / 3),
    "other unit": replace(a_reading(raw_unit="bar"), value=10.19716212977928, raw_value=1.0),
    "reasons": a_reading(quality=Quality.SUSPECT, reasons=("late", "out_of_range")),
    "reason in quotes": a_reading(quality=Quality.BAD, reasons=('said "no", twice',)),
    "estimated": a_reading(quality=Quality.ESTIMATED),
    "seq zero": a_reading(seq=0),
    "seq beyond doubles": a_reading(seq=2**63 - 1),
    "known before it was true": a_reading(available_s=-5),
    "known a year later": a_reading(available_s=31_536_000.000001),
    "known in year 9999": replace(a_reading(), available_at=datetime.fromisoformat("9999-12-31T23:59:59.999999Z")),
    "blanks, commas, equals": a_reading("tank 1,level=low "),
    "quotes": a_reading("\"tank\" 'one'"),
    "backslash at the end": a_reading("C:\\tank\\"),
    "percent": a_reading("100%25"),
    "looks like Flux": a_reading('${x} " |> drop()'),
    "portuguese": a_reading("reservatório-São João/±"),
    "beyond the BMP": a_reading("💧"),
    "no unit": replace(a_reading(), unit="", raw_unit=""),
}


@pytest.mark.parametrize("name", EXACT)
def test_comes_back_exactly(store: ReadingStore, name: str) -> None:
    reading = EXACT[name]
    assert store.append([reading]) == AppendResult(1, 0)
    for _ in range(2):
        assert store.between(reading.sensor_id, NOON, after(1)) == [reading]
        newest = store.latest([reading.sensor_id], at=after(1), trusted_only=False)
        assert newest == {reading.sensor_id: reading}
        settle(store)


def test_an_offset_is_the_same_moment(store: ReadingStore) -> None:
    lisbon = timezone(timedelta(hours=1))
    reading = a_reading()
    moved = replace(reading, observed_at=reading.observed_at.astimezone(lisbon))
    assert store.append([reading, moved]) == AppendResult(1, 1)
    assert [found.observed_at.tzname() for found in everything(store)] == ["UTC"]


@pytest.mark.parametrize("is_settled", [False, True])
def test_an_exact_repeat_is_absorbed(store: ReadingStore, is_settled: bool) -> None:
    reading = a_reading()
    store.append([reading])
    if is_settled:
        settle(store)
    assert store.append([replace(reading, available_at=after(99), quality=Quality.BAD)]) == AppendResult(0, 1)
    assert everything(store) == [reading]


@pytest.mark.parametrize("is_settled", [False, True])
@pytest.mark.parametrize("other", [a_reading(raw_value=4.0), a_reading(raw_unit="bar")], ids=["value", "unit"])
def test_the_first_wins_a_conflict(store: ReadingStore, other: Reading, is_settled: bool) -> None:
    first = a_reading()
    store.append([first])
    if is_settled:
        settle(store)
    assert store.append([other, a_reading(at_s=60)]) == AppendResult(1, 0, (other,))
    settle(store)
    assert everything(store) == [first, a_reading(at_s=60)]


def test_within_a_batch_the_first_wins_too(store: ReadingStore) -> None:
    first, repeat, other, back = a_reading(), a_reading(), a_reading(raw_value=4.0), a_reading()
    assert store.append([first, repeat, other, back, other]) == AppendResult(1, 2, (other, other))
    settle(store)
    assert everything(store) == [first]


@pytest.mark.parametrize("is_settled", [False, True])
def test_repeats_are_known_beforehand_where_that_is_cheap(store: ReadingStore, is_settled: bool) -> None:
    first = a_reading()
    store.append([first, a_reading(at_s=1)])
    if is_settled:
        settle(store)
    store.requalify([judged(a_reading(at_s=1), Quality.BAD)])
    asked = [first, a_reading(at_s=1), a_reading(raw_value=4.0), a_reading(raw_unit="bar"), a_reading("x"), first]
    if isinstance(store, KnowsRepeats):
        assert store.repeats(asked) == [True, True, False, False, False, True]


def test_an_empty_batch_is_nothing(store: ReadingStore) -> None:
    assert store.append([]) == AppendResult(0, 0)
    assert store.stats().readings == 0


@pytest.mark.parametrize(
    "bad",
    [
        a_reading(raw_value=float("nan")),
        a_reading(raw_value=float("inf")),
        replace(a_reading(), value=float("-inf")),
        a_reading(""),
        a_reading("two\nlines"),
        a_reading("half \ud800 a character"),
        a_reading(seq=2**63),
        replace(a_reading(), observed_at=datetime(2026, 1, 1)),  # noqa: DTZ001
        replace(a_reading(), available_at=datetime(2026, 1, 1)),  # noqa: DTZ001
    ],
    ids=["nan", "inf", "minus inf", "no id", "line break", "surrogate", "long seq", "naive", "naive availability"],
)
def test_what_cannot_come_back_is_refused_with_its_batch(store: ReadingStore, bad: Reading) -> None:
    with pytest.raises(InputError):
        store.append([a_reading(at_s=7), bad])
    assert everything(store) == []
    assert store.stats().readings == 0
    assert store.append([a_reading(at_s=7)]) == AppendResult(1, 0)


def test_between_takes_its_start_and_leaves_its_end(store: ReadingStore) -> None:
    store.append([a_reading(at_s=second) for second in range(5)])
    for _ in range(2):
        assert store.between("pressure-1", after(1), after(3)) == [a_reading(at_s=1), a_reading(at_s=2)]
        assert store.between("pressure-1", after(1.000001), after(3.000001)) == [a_reading(at_s=2), a_reading(at_s=3)]
        assert store.between("pressure-1", after(3), after(1)) == []
        assert store.between("pressure-1", after(3), after(3)) == []
        assert store.between("unknown", after(0), after(9)) == []
        settle(store)


def test_between_limits_to_the_oldest(store: ReadingStore) -> None:
    qualities = itertools.cycle(Quality)
    readings = [a_reading(at_s=second, quality=next(qualities)) for second in range(9)]
    store.append(readings)
    for _ in range(2):
        assert store.between("pressure-1", after(2), after(9), limit=4) == readings[2:6]
        assert store.between("pressure-1", after(2), after(9), limit=0) == []
        settle(store)


def test_between_spans_all_of_time(store: ReadingStore) -> None:
    edge = [
        replace(a_reading(), observed_at=datetime.fromisoformat(text), available_at=NOON)
        for text in ("0001-01-01T00:00Z", "1815-06-18T00:00Z", "2261-01-01T00:00Z", "9999-12-31T23:59:59.999999Z")
    ]
    store.append([*reversed(edge), a_reading()])
    for _ in range(2):
        first, last = edge[0].observed_at, edge[-1].observed_at
        assert store.between("pressure-1", first, last) == [*edge[:2], a_reading(), *edge[2:3]]
        assert store.latest(["pressure-1"], at=last) == {"pressure-1": edge[-1]}
        assert store.latest(["pressure-1"], at=first) == {"pressure-1": edge[0]}
        assert store.latest(["pressure-1"], at=NOON) == {"pressure-1": a_reading()}
        settle(store)
    assert store.append([edge[0], replace(edge[-1], raw_value=9.0)]).duplicates == 1


def test_known_at_hides_what_came_later(store: ReadingStore) -> None:
    on_time, late = a_reading(at_s=60, available_s=61), a_reading(at_s=120, available_s=600)
    newer = a_reading(at_s=180, available_s=181)
    store.append([late, on_time, newer])
    for _ in range(2):
        assert store.between("pressure-1", NOON, after(999), known_at=after(200)) == [on_time, newer]
        assert store.between("pressure-1", NOON, after(999), known_at=after(181)) == [on_time, newer]
        assert store.between("pressure-1", NOON, after(999), known_at=after(600)) == [on_time, late, newer]
        assert store.between("pressure-1", NOON, after(999), known_at=after(180), limit=1) == [on_time]
        assert store.latest(["pressure-1"], at=after(130), known_at=after(200)) == {"pressure-1": on_time}
        assert store.latest(["pressure-1"], at=after(130), known_at=after(600)) == {"pressure-1": late}
        assert store.latest(["pressure-1"], at=after(130), known_at=NOON) == {}
        settle(store)


def test_latest_trusts_good_and_estimated_only_unless_told(store: ReadingStore) -> None:
    estimated = a_reading(at_s=1, quality=Quality.ESTIMATED)
    suspect = a_reading(at_s=2, quality=Quality.SUSPECT)
    bad = a_reading(at_s=3, quality=Quality.BAD, reasons=("late",), seq=9)
    store.append([a_reading(), estimated, suspect, bad])
    for _ in range(2):
        assert store.latest(["pressure-1"], at=after(9)) == {"pressure-1": estimated}
        assert store.latest(["pressure-1"], at=after(9), trusted_only=False) == {"pressure-1": bad}
        assert store.latest(["pressure-1"], at=after(3), trusted_only=False) == {"pressure-1": bad}
        assert store.latest(["pressure-1"], at=after(2.999999), trusted_only=False) == {"pressure-1": suspect}
        assert store.latest(["pressure-1"], at=after(0.5), trusted_only=False) == {"pressure-1": a_reading()}
        assert store.latest(["pressure-1"], at=after(-1), trusted_only=False) == {}
        settle(store)


def test_latest_does_not_lend_an_older_sequence_number(store: ReadingStore) -> None:
    older, newer = a_reading(seq=5, reasons=("late",)), a_reading(at_s=60)
    store.append([older, newer])
    settle(store)
    assert store.latest(["pressure-1"], at=after(99)) == {"pressure-1": newer}


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(days=2), timedelta(days=400)], ids=str)
@pytest.mark.parametrize("known_at", [None, after(0)], ids=["now", "as known then"])
def test_latest_looks_back_as_far_as_it_takes(store: ReadingStore, age: timedelta, known_at: datetime | None) -> None:
    old = replace(a_reading(), observed_at=NOON - age, available_at=NOON - age)
    store.append([old, a_reading("pressure-2")])
    settle(store)
    assert store.latest(["pressure-1", "unknown"], at=NOON, known_at=known_at) == {"pressure-1": old}


def test_latest_of_many_sensors(store: ReadingStore) -> None:
    names = [f"s{number}" for number in range(250)]
    store.append([a_reading(name, at_s=second) for second in (0, 1) for name in names])
    settle(store)
    asked = [*names, "unknown"]
    assert store.latest(asked, at=after(9)) == {name: a_reading(name, at_s=1) for name in names}
    assert store.latest([], at=after(9)) == {}


def test_a_naive_question_is_an_error(store: ReadingStore) -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    with pytest.raises(NaiveDatetimeError):
        store.between("pressure-1", naive, NOON)
    with pytest.raises(NaiveDatetimeError):
        store.between("pressure-1", NOON, after(1), known_at=naive)
    with pytest.raises(NaiveDatetimeError):
        store.latest(["pressure-1"], at=naive)


def test_stats_count_what_is_kept_once(store: ReadingStore) -> None:
    store.append([a_reading(at_s=second) for second in range(10)])
    store.append([a_reading(at_s=second) for second in range(5, 15)])
    settle(store)
    assert (store.stats().readings, store.stats().pending, store.stats().quarantined) == (15, 0, 0)
    store.check()


def test_everything_is_there_after_opening_again(opener: Opener) -> None:
    first = opener()
    first.append([a_reading(), a_reading("flow-1", raw_unit="bar")])
    first.close()
    second = opener()
    try:
        assert everything(second) == [a_reading()]
        assert second.append([a_reading(), a_reading("flow-1", raw_unit="m")]).duplicates == 1
        assert second.stats().readings == 2
    finally:
        second.close()


def test_a_closed_store_says_so(opener: Opener) -> None:
    closed = opener()
    closed.close()
    with pytest.raises(UnavailableError):
        closed.append([a_reading()])
    with pytest.raises(UnavailableError):
        everything(closed)


def test_threads_that_append_the_same_keys_store_each_once(store: ReadingStore) -> None:
    """Four threads carry 300 keys each, every key by every thread, with the thread's own value."""
    batches = 10
    results: list[AppendResult] = []

    def carry(value: float) -> None:
        keys = list(range(300))
        random.Random(value).shuffle(keys)
        for first in range(0, 300, 300 // batches):
            batch = [a_reading(at_s=key, raw_value=value) for key in keys[first : first + 300 // batches]]
            results.append(store.append(batch))

    threads = [threading.Thread(target=carry, args=(float(value),)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(store)
    conflicts = {(reading.observed_at, reading.value) for result in results for reading in result.conflicts}
    kept = {(reading.observed_at, reading.value) for reading in everything(store)}
    assert len(results) == 4 * batches
    assert sum(result.stored for result in results) == len(kept) == 300
    assert conflicts | kept == {(after(key), float(value)) for key in range(300) for value in range(4)}
    assert not conflicts & kept


def judged(reading: Reading, quality: Quality, *reasons: str, value: float | None = None) -> Reading:
    """Return the same reading with another verdict (and another value)."""
    return replace(reading, quality=quality, reasons=reasons, value=reading.value if value is None else value)


@pytest.mark.parametrize("is_settled", [False, True])
def test_a_new_verdict_replaces_the_old(store: ReadingStore, is_settled: bool) -> None:
    readings = [a_reading(at_s=second, reasons=("late",), quality=Quality.SUSPECT, seq=second) for second in range(4)]
    store.append(readings)
    if is_settled:
        settle(store)
    spike, good = judged(readings[1], Quality.BAD, "spike", "late", value=9.5), judged(readings[2], Quality.GOOD)
    unknown = (a_reading("nobody"), a_reading(at_s=0.5))
    assert store.requalify([spike, good, readings[3], *unknown]) == 2
    for _ in range(2):
        assert everything(store) == [readings[0], spike, good, readings[3]]
        assert store.latest(["pressure-1"], at=after(9)) == {"pressure-1": good}
        assert store.latest(["pressure-1"], at=after(1), trusted_only=False) == {"pressure-1": spike}
        assert everything(store, "nobody") == []
        settle(store)
    assert store.requalify([spike, good]) == 0
    assert store.stats().readings == 4


@pytest.mark.parametrize("is_settled", [False, True])
@pytest.mark.parametrize("known_at", [None, after(99_999)], ids=["now", "as known then"])
def test_what_is_no_longer_trusted_is_not_the_latest(
    store: ReadingStore, is_settled: bool, known_at: datetime | None
) -> None:
    old = replace(a_reading(), observed_at=NOON - timedelta(days=3))
    readings = [old, *(a_reading(at_s=second) for second in range(3))]
    store.append([*readings, a_reading("other")])
    settle(store)
    for kept, withdrawn in ((3, 2), (2, 1), (1, 0)):
        assert store.requalify([judged(readings[withdrawn + 1], Quality.BAD, "implausible")]) == 1
        if is_settled:
            settle(store)
        newest = store.latest(["pressure-1", "other"], at=after(9), known_at=known_at)
        assert newest == {"pressure-1": readings[kept - 1], "other": a_reading("other")}
    assert store.requalify([judged(readings[3], Quality.ESTIMATED, "spike", value=1.0)]) == 1
    newest = store.latest(["pressure-1"], at=after(9), known_at=known_at)
    assert newest == {"pressure-1": judged(readings[3], Quality.ESTIMATED, "spike", value=1.0)}


def test_what_waits_stays_the_latest_when_something_older_is_withdrawn(opener: Opener, tmp_path: Path) -> None:
    """
    server   0  1
    spool       1 is a spike   2      neither is forwarded yet
    """
    readings = [a_reading(at_s=second) for second in range(3)]
    store = opener()
    store.append(readings[:2])
    settle(store)
    store.close()
    with (tmp_path / "spool.db.forwarding").open("ab") as another_process_that_hangs:
        fcntl.flock(another_process_that_hangs, fcntl.LOCK_EX)
        store = opener()
        store.append(readings[2:])
        assert store.requalify([judged(readings[1], Quality.SUSPECT, "spike")]) == 1
        assert store.latest(["pressure-1"], at=after(9)) == {"pressure-1": readings[2]}
        store.close()


def test_what_arrived_stays_what_arrived(store: ReadingStore) -> None:
    """A new verdict touches neither raw value nor times nor seq: repeats and conflicts are decided as before."""
    first = a_reading(seq=7)
    store.append([first])
    settle(store)
    other = replace(
        first,
        value=2.5,
        quality=Quality.ESTIMATED,
        reasons=("spike",),
        raw_value=8.0,
        raw_unit="bar",
        available_at=after(500),
        seq=8,
    )
    assert store.requalify([replace(other, value=1.0), other]) == 1
    for _ in range(2):
        assert everything(store) == [judged(first, Quality.ESTIMATED, "spike", value=2.5)]
        assert store.append([first, other]) == AppendResult(0, 1, (other,))
        settle(store)


def test_a_verdict_that_cannot_come_back_changes_nothing(store: ReadingStore) -> None:
    store.append([a_reading(), a_reading(at_s=1)])
    with pytest.raises(InputError):
        store.requalify([judged(a_reading(), Quality.BAD), judged(a_reading(at_s=1), Quality.BAD, value=float("nan"))])
    assert everything(store) == [a_reading(), a_reading(at_s=1)]
    assert store.requalify([]) == 0


class Model:
    """What a store promises, as a dict."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, datetime], Reading] = {}

    def append(self, readings: list[Reading]) -> AppendResult:
        stored, duplicates, conflicts = 0, 0, []
        for reading in readings:
            held = self.held.setdefault(reading.key, reading)
            if held is reading:
                stored += 1
            elif (held.raw_value, held.raw_unit) == (reading.raw_value, reading.raw_unit):
                duplicates += 1
            else:
                conflicts.append(reading)
        return AppendResult(stored, duplicates, tuple(conflicts))

    def requalify(self, readings: list[Reading]) -> int:
        before = dict(self.held)
        for reading in readings:
            if held := self.held.get(reading.key):
                self.held[reading.key] = judged(held, reading.quality, *reading.reasons, value=reading.value)
        return sum(before[key] != self.held[key] for key in before)


_names = itertools.count()
_drawn = st.builds(
    a_reading,
    sensor_id=st.sampled_from(["a", "b"]),
    at_s=st.sampled_from([0, 1, 1.5, 90_000]),
    raw_value=st.sampled_from([1.0, 2.0]),
    raw_unit=st.sampled_from(["m", "bar"]),
    available_s=st.sampled_from([0, 5, 100]),
    quality=st.sampled_from(list(Quality)),
    reasons=st.sampled_from([(), ("late",)]),
    seq=st.sampled_from([None, 1, 2]),
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(st.tuples(st.booleans(), st.lists(_drawn, max_size=6)), max_size=6),
    settled=st.sets(st.integers(0, 5)),
)
def test_any_sequence_of_changes_is_like_a_dict(
    store: ReadingStore, batches: list[tuple[bool, list[Reading]]], settled: set[int]
) -> None:
    model, suffix = Model(), f"-{next(_names)}"
    for number, (is_judged_anew, drawn) in enumerate(batches):
        batch = [replace(reading, sensor_id=reading.sensor_id + suffix) for reading in drawn]
        if is_judged_anew:
            assert store.requalify(batch) == model.requalify(batch)
        else:
            assert store.append(batch) == model.append(batch)
        if number in settled:
            settle(store)
    for sensor_id in ("a" + suffix, "b" + suffix):
        expected = sorted((r for r in model.held.values() if r.sensor_id == sensor_id), key=lambda r: r.observed_at)
        assert everything(store, sensor_id) == expected
        known = [reading for reading in expected if reading.available_at <= after(5)]
        assert store.between(sensor_id, NOON, after(99_999), known_at=after(5)) == known
        trusted = [reading for reading in known if reading.is_trusted]
        newest = {sensor_id: trusted[-1]} if trusted else {}
        assert store.latest([sensor_id], at=after(99_999), known_at=after(5)) == newest
        trusted = [reading for reading in expected if reading.is_trusted]
        newest = {sensor_id: trusted[-1]} if trusted else {}
        assert store.latest([sensor_id], at=after(99_999)) == newest


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(12)), size=st.integers(1, 12))
def test_the_order_of_arrival_does_not_matter(store: ReadingStore, order: list[int], size: int) -> None:
    sensor_id = f"shuffled-{next(_names)}"
    readings = [a_reading(sensor_id, at_s=number * 600) for number in range(12)]
    for first in range(0, 12, size):
        store.append([readings[number] for number in order[first : first + size]])
    assert everything(store, sensor_id) == readings
