"""Indicators."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example


class KpiOut(Out):
    """One figure with what it was made from. `value` null: there are no data for it, and `remark` says why."""

    model_config = example(
        {
            "kpi_id": "sensor_availability",
            "name": "Sensor availability",
            "definition": "on-time intervals with a reading / expected intervals",
            "unit": "%",
            "period_start": "2026-01-01T00:00:00Z",
            "period_end": "2026-02-01T00:00:00Z",
            "subject": "all",
            "numerator": 8900.0,
            "denominator": 8928.0,
            "value": 99.69,
            "coverage": 1.0,
            "remark": "",
            "source": "h2twin",
        }
    )

    kpi_id: str
    name: str
    definition: str
    unit: str
    period_start: datetime
    period_end: datetime
    subject: str
    numerator: float | None
    denominator: float | None
    value: float | None
    coverage: float | None
    remark: str
    source: str
