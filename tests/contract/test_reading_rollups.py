"""Rollups are what the readings say, whatever was summed up before and in whatever order the readings came.

The truth is worked out here reading by reading, with exact fractions.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading_builders import NOON, a_reading, after
from reading_stores import settle

from twin.errors import NaiveDatetimeError
from twin.ports import ReadingStore
from twin.readings import Quality, Reading
from twin.rollups import Every, Rollup
from twin.storage.sqlite_readings import SqliteReadings

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WEEK = (NOON - timedelta(days=7), NOON + timedelta(days=7))


def truth(readings: Iterable[Reading], every: Every) -> list[Rollup]:
    windows = defaultdict(list)
    for reading in readings:
        number = (reading.observed_at - EPOCH) // every.length
        windows[EPOCH + number * every.length].append(reading)
    found = []
    for start in sorted(windows):
        held = sorted(windows[start], key=lambda reading: reading.observed_at)
        values = [reading.value for reading in held if reading.quality in (Quality.GOOD, Quality.ESTIMATED)]
        mean = float(sum(map(Fraction, values)) / len(values)) if values else None
        low, high = (min(values), max(values)) if values else (None, None)
        first, last = (values[0], values[-1]) if values else (None, None)
        found.append(Rollup(start, len(held), len(values), mean, low, high, first, last))
    return found


def assert_same(found: list[Rollup], expected: list[Rollup]) -> None:
    assert [window._replace(mean=None) for window in found] == [window._replace(mean=None) for window in expected]
    for window, true in zip(found, expected, strict=True):
        assert window.mean == (None if true.mean is None else pytest.approx(true.mean, rel=1e-12))


def roll_up(store: ReadingStore, until: datetime) -> None:
    """Sum up beforehand where a store does that."""
    if isinstance(store, SqliteReadings):
        store.roll_up(until)


@pytest.mark.parametrize("every", Every)
@pytest.mark.parametrize("rolled_days", [None, -1, 0, 1, 2])
def test_windows_hold_what_the_readings_say(store: ReadingStore, every: Every, rolled_days: int | None) -> None:
    qualities = itertools.cycle([Quality.GOOD, Quality.BAD, Quality.ESTIMATED, Quality.SUSPECT, Quality.GOOD])
    readings = [
        a_reading(at_s=number * 1234.567, raw_value=number * 0.1 - 3, quality=next(qualities)) for number in range(150)
    ]
    store.append([*readings, a_reading("other")])
    settle(store)
    if rolled_days is not None:
        roll_up(store, NOON + timedelta(days=rolled_days))
    found = store.rollups(["pressure-1", "nobody", "other"], *WEEK, every)
    assert_same(found["pressure-1"], truth(readings, every))
    assert [window.readings for window in found["other"]] == [1]
    assert found["nobody"] == []


@pytest.mark.parametrize("is_rolled", [False, True])
def test_a_window_is_asked_for_by_its_beginning(store: ReadingStore, is_rolled: bool) -> None:
    store.append([a_reading(at_s=hour * 3600 + offset) for hour in range(-12, 12) for offset in (0, 3599.999999)])
    if is_rolled:
        settle(store)
        roll_up(store, NOON + timedelta(days=1))
    midnight = NOON.replace(hour=0)

    def starts(begin: float, end: float, every: Every) -> list[float]:
        found = store.rollups(["pressure-1"], after(begin * 3600), after(end * 3600), every)["pressure-1"]
        assert all(
            window.readings == (48 if every is Every.DAY else 2 if every is Every.HOUR else 1) for window in found
        )
        return [(window.start - NOON) / timedelta(hours=1) for window in found]

    assert starts(0, 2, Every.HOUR) == [0, 1]
    assert starts(0.001, 2.001, Every.HOUR) == [1, 2]
    assert starts(0, 0, Every.HOUR) == starts(2, 1, Every.HOUR) == starts(0.1, 0.2, Every.HOUR) == []
    assert starts(0, 1.75, Every.QUARTER_HOUR) == [0, 0.75, 1]
    assert starts(-13, 13, Every.DAY) == [-12]
    assert starts(-11, 13, Every.DAY) == []
    assert store.rollups(["pressure-1"], midnight, midnight + timedelta(seconds=1), Every.DAY)["pressure-1"]


def test_what_comes_or_is_judged_late_is_in(store: ReadingStore) -> None:
    readings = [a_reading(at_s=number * 600) for number in range(288)]
    store.append(readings)
    settle(store)
    roll_up(store, NOON + timedelta(days=2))
    late = [a_reading(at_s=301, raw_value=9.0), a_reading(at_s=100_001, raw_value=-9.0)]
    store.append([*late, a_reading("new", at_s=5)])
    bad = replace(readings[7], quality=Quality.BAD, value=77.0)
    store.requalify([bad])
    kept = [*readings[:7], bad, *readings[8:], *late]
    for _ in range(2):
        for every in Every:
            assert_same(store.rollups(["pressure-1"], *WEEK, every)["pressure-1"], truth(kept, every))
            assert_same(store.rollups(["new"], *WEEK, every)["new"], truth([a_reading("new", at_s=5)], every))
        settle(store)
        roll_up(store, NOON + timedelta(days=1))


def test_long_ago_and_huge(store: ReadingStore) -> None:
    long_ago = replace(a_reading(), observed_at=datetime(1815, 6, 18, 13, 20, tzinfo=UTC))
    huge = [a_reading(at_s=second, raw_value=1.7e308) for second in range(3)]
    store.append([long_ago, *huge])
    settle(store)
    for _ in range(2):
        found = store.rollups(["pressure-1"], datetime(1800, 1, 1, tzinfo=UTC), WEEK[1], Every.HOUR)["pressure-1"]
        assert_same(found, truth([long_ago, *huge], Every.HOUR))
        roll_up(store, WEEK[1])


def test_a_naive_question_is_an_error(store: ReadingStore) -> None:
    with pytest.raises(NaiveDatetimeError):
        store.rollups(["pressure-1"], datetime(2026, 1, 1), NOON, Every.DAY)  # noqa: DTZ001


_names = itertools.count()
_drawn = st.builds(
    a_reading,
    at_s=st.sampled_from([-90_000, -50_000, 0, 1, 900, 3600, 43_199.5, 43_200, 90_000, 172_800]),
    raw_value=st.floats(-100, 100),
    quality=st.sampled_from(list(Quality)),
)
_change = st.tuples(st.sampled_from(["append", "requalify", "roll up", "settle"]), st.lists(_drawn, max_size=5))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(_change, max_size=8), every=st.sampled_from(Every), days=st.integers(-2, 3))
def test_any_history_ends_in_the_same_windows(
    store: ReadingStore, changes: list[tuple[str, list[Reading]]], every: Every, days: int
) -> None:
    sensor_id = f"s-{next(_names)}"
    for what, drawn in changes:
        batch = [replace(reading, sensor_id=sensor_id) for reading in drawn]
        if what == "append":
            store.append(batch)
        elif what == "requalify":
            store.requalify(batch)
        elif what == "roll up":
            roll_up(store, NOON + timedelta(days=days))
        else:
            settle(store)
    expected = truth(store.between(sensor_id, *WEEK), every)
    assert_same(store.rollups([sensor_id], *WEEK, every)[sensor_id], expected)
