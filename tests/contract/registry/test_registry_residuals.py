"""Residuals as series, on every registry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from twin.errors import InputError, NaiveDatetimeError
from twin.residuals import Residual
from twin.storage.registry import SqlRegistry

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def a_residual(sensor_id: str = "P-1", minutes: int = 0, **changes: object) -> Residual:
    at = T0 + timedelta(minutes=minutes)
    kept = Residual(sensor_id, at, at + timedelta(seconds=30), f"supply-{minutes}", 41.25, 42.0, assumed=False)
    return replace(kept, **changes)  # type: ignore[arg-type]


def test_residuals_come_back_exactly_newest_first(registry: SqlRegistry) -> None:
    first, other, second = a_residual(), a_residual("P-2", assumed=True), a_residual(minutes=5, observed=-1e-9)
    registry.save_residuals([second, other, first])
    assert registry.residuals().items == (second, other, first)
    assert registry.residuals(sensor_id="P-2").items == (other,)
    assert registry.residuals_since(T0, known_at=T0 + timedelta(hours=1)) == [first, other, second]


def test_the_window_is_half_open_and_what_was_known_later_is_left_out(registry: SqlRegistry) -> None:
    residuals = [a_residual(minutes=minutes) for minutes in (0, 5, 10)]
    registry.save_residuals(residuals)
    window = registry.residuals(start=T0, end=T0 + timedelta(minutes=10))
    assert window.items == (residuals[1], residuals[0])
    known_at = T0 + timedelta(minutes=5)  # the second reading is observed then, its residual known 30 s later
    assert registry.residuals(known_at=known_at).items == (residuals[0],)
    assert registry.residuals_since(T0, known_at=known_at) == [residuals[0]]


def test_pages_follow_each_other_without_a_gap(registry: SqlRegistry) -> None:
    every = [a_residual(f"P-{n % 3}", minutes=n // 3) for n in range(10)]
    registry.save_residuals(every)
    seen, cursor = [], None
    while True:
        page = registry.residuals(limit=3, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == sorted(every, key=lambda one: (one.observed_at, one.sensor_id), reverse=True)


def test_of_one_reading_the_last_residual_counts(registry: SqlRegistry) -> None:
    registry.save_residuals([a_residual(modelled=1.0)])
    registry.save_residuals([a_residual(modelled=2.0), a_residual(modelled=3.0)])
    assert [one.modelled for one in registry.residuals().items] == [3.0]


def test_old_ones_are_dropped_and_counted(registry: SqlRegistry) -> None:
    registry.save_residuals([a_residual(minutes=minutes) for minutes in (0, 5, 10)])
    assert registry.drop_residuals(T0 + timedelta(minutes=10)) == 2
    assert len(registry.residuals().items) == 1


def test_what_is_no_number_or_has_no_zone_is_refused(registry: SqlRegistry) -> None:
    with pytest.raises(InputError):
        registry.save_residuals([a_residual(), a_residual("P-2", modelled=float("nan"))])
    with pytest.raises(NaiveDatetimeError):
        registry.save_residuals([a_residual(observed_at=T0.replace(tzinfo=None))])
    registry.save_residuals([])
    assert registry.residuals().items == ()
