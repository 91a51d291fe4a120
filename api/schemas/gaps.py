"""Missing readings."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example
from twin.gaps import GapState


class GapOut(Out):
    """Readings of one sensor that are missing between two that came: `start` < observed_at < `end`.

    With `first_seq` and `last_seq` (inclusive) the count is exact; without, it follows from the declared cadence.
    """

    model_config = example(
        {
            "sensor_id": "P-1",
            "gateway_id": "gw1",
            "start": "2026-01-01T00:00:00Z",
            "end": "2026-01-01T00:25:00Z",
            "missing": 4,
            "missing_at_first": 4,
            "first_seq": 18,
            "last_seq": 21,
            "state": "requested",
            "found_at": "2026-01-01T00:25:01Z",
            "requests": 1,
            "requested_at": "2026-01-01T00:25:06Z",
            "closed_at": None,
        }
    )

    sensor_id: str
    gateway_id: str
    start: datetime
    end: datetime
    missing: int
    missing_at_first: int
    first_seq: int | None
    last_seq: int | None
    state: GapState
    found_at: datetime
    requests: int
    requested_at: datetime | None
    closed_at: datetime | None
