"""Readings for tests, with everything that a test does not care about filled in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from twin.readings import Quality, Reading

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """Return the moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def a_reading(
    sensor_id: str = "pressure-1",
    at_s: float = 0.0,
    raw_value: float = 3.0,
    *,
    raw_unit: str = "m",
    available_s: float | None = None,
    quality: Quality = Quality.GOOD,
    reasons: tuple[str, ...] = (),
    seq: int | None = None,
) -> Reading:
    """Return a reading observed `at_s` seconds after noon and known `available_s` (else one second later)."""
    return Reading(
        sensor_id=sensor_id,
        observed_at=after(at_s),
        available_at=after(at_s + 1 if available_s is None else available_s),
        value=raw_value,
        unit="m",
        raw_value=raw_value,
        raw_unit=raw_unit,
        quality=quality,
        reasons=reasons,
        seq=seq,
    )
