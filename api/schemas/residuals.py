"""Residuals of the supply model."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example


class ResidualOut(Out):
    """What a sensor read (`observed`) beside what the state of the model says there, in the SI unit of its quantity.

    `value` is observed minus modelled. `observed_at` is when the reading was true, `known_at` the cycle's moment;
    `assumed` says that the modelled value rests on something that nobody measured then.
    """

    model_config = example(
        {
            "sensor_id": "P-1",
            "observed_at": "2026-01-01T00:00:00Z",
            "known_at": "2026-01-01T00:02:00Z",
            "run_id": "supply-20260101T000200Z",
            "observed": 41.2,
            "modelled": 41.5,
            "value": -0.3,
            "assumed": False,
        }
    )

    sensor_id: str
    observed_at: datetime
    known_at: datetime
    run_id: str
    observed: float
    modelled: float
    value: float
    assumed: bool
