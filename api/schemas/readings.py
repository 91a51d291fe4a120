"""Readings."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example
from twin.readings import Quality


class ReadingOut(Out):
    """One value of one sensor in SI, how far it can be trusted and why, and what exactly arrived."""

    model_config = example(
        {
            "observed_at": "2026-01-01T00:00:00Z",
            "available_at": "2026-01-01T00:00:02Z",
            "value": 32.6309,
            "unit": "m",
            "quality": "good",
            "reasons": [],
            "raw_value": 3.2,
            "raw_unit": "bar",
        }
    )

    observed_at: datetime
    available_at: datetime
    value: float
    unit: str
    quality: Quality
    reasons: list[str]
    raw_value: float
    raw_unit: str


class RollupOut(Out):
    """One window of one sensor in SI: how many readings, how many of them trusted, and what those say."""

    model_config = example(
        {
            "start": "2026-01-01T00:00:00Z",
            "readings": 12,
            "trusted": 11,
            "trusted_share": 0.9167,
            "mean": 32.61,
            "low": 32.2,
            "high": 33.0,
            "first": 32.4,
            "last": 32.7,
        }
    )

    start: datetime
    readings: int
    trusted: int
    trusted_share: float
    mean: float | None
    low: float | None
    high: float | None
    first: float | None
    last: float | None
