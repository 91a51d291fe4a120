"""Sensors."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example
from twin.readings import ElementType, Kind
from twin.units import Quantity


class SensorOut(Out):
    """A device that measures one quantity; `low` and `high` are its plausible limits in SI.

    `stale_since` says since when its last value is void because its sender said that it is gone; null while it lives.
    """

    model_config = example(
        {
            "sensor_id": "P1",
            "quantity": "pressure",
            "kind": "instant",
            "unit": "bar",
            "element_type": "node",
            "element_id": "J12",
            "district": "D1",
            "expected_every_s": 300.0,
            "low": 0.0,
            "high": 100.0,
            "max_rate_per_s": None,
            "flat_after_s": None,
            "redundant_with": "P2",
            "rollover_at": None,
            "one_way": False,
            "overflow_m": None,
            "gateway_id": "G1",
            "connection_id": "",
            "stale_since": None,
        }
    )

    sensor_id: str
    quantity: Quantity
    kind: Kind
    unit: str
    element_type: ElementType
    element_id: str
    district: str
    expected_every_s: float
    low: float | None
    high: float | None
    max_rate_per_s: float | None
    flat_after_s: float | None
    redundant_with: str
    rollover_at: float | None
    one_way: bool
    overflow_m: float | None
    gateway_id: str
    connection_id: str
    stale_since: datetime | None = None
