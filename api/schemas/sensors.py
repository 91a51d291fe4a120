"""Sensors."""

from __future__ import annotations

from api.schemas.base import Out, example
from twin.readings import ElementType, Kind
from twin.units import Quantity


class SensorOut(Out):
    """A device that measures one quantity; `low` and `high` are its plausible limits in SI."""

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
