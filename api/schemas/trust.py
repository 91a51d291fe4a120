"""How far sensors could be trusted."""

from __future__ import annotations

from datetime import date, datetime

from api.schemas.base import Out, PageOut, example


class TrustDayOut(Out):
    """One sensor on one UTC day: the parts (shares, null where unknown), their product, and what they were made from.

    `estimate` is what accuracy was judged by: `redundant:` and the other sensor, `model`, or empty.
    """

    model_config = example(
        {
            "sensor_id": "P1",
            "day": "2026-01-01",
            "availability": 0.99,
            "timeliness": 1.0,
            "validity": 0.98,
            "accuracy": None,
            "trust": 0.9702,
            "estimate": "",
            "expected": 288,
            "heard": 285,
            "received": 285,
            "timely": 285,
            "good": 279,
            "compared": 0,
            "within": 0,
            "reasons": {"spike": 6},
            "last_observed_at": "2026-01-01T23:55:00Z",
        }
    )

    sensor_id: str
    day: date
    availability: float | None
    timeliness: float | None
    validity: float | None
    accuracy: float | None
    trust: float | None
    estimate: str
    expected: int
    heard: int
    received: int
    timely: int
    good: int
    compared: int
    within: int
    reasons: dict[str, int]
    last_observed_at: datetime | None


class TrustOut(Out):
    """All sensors together: each part pooled; `trust` is the mean product, weighted by the readings expected of each.

    `judged` of the `sensor_days` have a product, `compared` an accuracy.
    """

    model_config = example(
        {
            "availability": 0.995,
            "timeliness": 0.999,
            "validity": 0.997,
            "accuracy": 0.99,
            "trust": 0.982,
            "expected": 28800,
            "sensor_days": 100,
            "judged": 100,
            "compared": 40,
        }
    )

    availability: float | None
    timeliness: float | None
    validity: float | None
    accuracy: float | None
    trust: float | None
    expected: int
    sensor_days: int
    judged: int
    compared: int


class TrustPageOut(PageOut[TrustDayOut]):
    """One day's sensors, page by page, and all of them together. `missing` sensors are not counted yet: ask again."""

    day: date
    overall: TrustOut
    missing: int
