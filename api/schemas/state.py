"""What is known right now."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example
from api.schemas.readings import ReadingOut
from twin.units import Quantity


class SensorStateOut(Out):
    """A sensor's newest trusted value; null where there is none yet.

    `stale_since` says since when the value is void because its sender said that it is gone.
    """

    sensor_id: str
    quantity: Quantity
    district: str
    reading: ReadingOut | None
    age_s: float | None
    stale_since: datetime | None = None


class ModelStateOut(Out):
    """The state that the newest supply forecast started from, and what it was taken from."""

    run_id: str
    state_at: datetime | None
    age_s: float | None
    basis: list[str]
    stale: bool


class StateOut(Out):
    """Sensors and the supply model's state as known at `at`."""

    model_config = example(
        {
            "at": "2026-01-01T00:05:00Z",
            "items": [
                {
                    "sensor_id": "P1",
                    "quantity": "pressure",
                    "district": "D1",
                    "reading": {
                        "observed_at": "2026-01-01T00:00:00Z",
                        "available_at": "2026-01-01T00:00:02Z",
                        "value": 32.6309,
                        "unit": "m",
                        "quality": "good",
                        "reasons": [],
                        "raw_value": 3.2,
                        "raw_unit": "bar",
                    },
                    "age_s": 300.0,
                    "stale_since": None,
                }
            ],
            "next_cursor": None,
            "supply": {
                "run_id": "supply-20260101T000000Z",
                "state_at": "2026-01-01T00:00:00Z",
                "age_s": 300.0,
                "basis": ["tank T1 level 3.20 m from sensor L1"],
                "stale": False,
            },
        }
    )

    at: datetime
    items: list[SensorStateOut]
    next_cursor: str | None = None
    supply: ModelStateOut | None
