"""The trust of sensors on closed days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from twin.storage.registry import SqlRegistry
from twin.trust import TrustDay
from twin.windows import Window

FIRST = date(2026, 3, 1)


def a_day(sensor_id: str = "P-1", day: date = FIRST, **changes: object) -> TrustDay:
    kept = TrustDay(
        sensor_id=sensor_id,
        day=day,
        expected=288,
        heard=280,
        received=281,
        timely=270,
        good=260,
        compared=250,
        within=240,
        estimate="redundant:P-2",
        reasons={"spike": 3, "late": 11},
        last_observed_at=datetime(2026, 3, 1, 23, 55, tzinfo=UTC),
    )
    return replace(kept, **changes)  # type: ignore[arg-type]


def test_days_come_back_exactly_by_day_and_sensor(registry: SqlRegistry) -> None:
    second = FIRST + timedelta(days=1)
    bare = TrustDay("P-0", second, 288, 0, 0, 0, 0)
    registry.save_trust([bare, a_day("P-2"), a_day("P-1")])
    assert registry.trust_days(FIRST, second) == [a_day("P-1"), a_day("P-2"), bare]
    assert registry.trust_days(second, second) == [bare]
    assert registry.trust_days(FIRST, second, sensor_id="P-2") == [a_day("P-2")]


def test_a_day_is_replaced_and_the_last_of_a_call_counts(registry: SqlRegistry) -> None:
    registry.save_trust([a_day()])
    registry.save_trust([a_day(good=1), a_day(good=2)])
    assert registry.trust_days(FIRST, FIRST) == [a_day(good=2)]


def test_nothing_to_save_is_no_mistake(registry: SqlRegistry) -> None:
    registry.save_trust([])
    assert registry.trust_days(FIRST, FIRST) == []


def test_settling_a_window_forgets_the_days_of_its_sensor_that_it_touches(registry: SqlRegistry) -> None:
    days = [FIRST + timedelta(days=n) for n in range(4)]
    registry.save_trust([a_day(sensor_id, day) for sensor_id in ("P-1", "P-2") for day in days])
    start = datetime(2026, 3, 2, 23, 50, tzinfo=UTC)
    registry.reopen([Window("P-1", start, start + timedelta(minutes=20))])
    assert len(registry.trust_days(days[0], days[-1])) == 8
    registry.settle(registry.reopened())
    assert [day.day for day in registry.trust_days(days[0], days[-1], sensor_id="P-1")] == [days[0], days[3]]
    assert len(registry.trust_days(days[0], days[-1], sensor_id="P-2")) == 4
