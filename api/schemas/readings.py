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
