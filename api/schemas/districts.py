"""Metered districts."""

from __future__ import annotations

from api.schemas.base import Out, example


class DistrictOut(Out):
    """A metered district (DMA): how many nodes of the supply network lie in it, and its sensors."""

    model_config = example({"district": "D1", "nodes": 120, "sensor_ids": ["F1", "P1"]})

    district: str
    nodes: int
    sensor_ids: list[str]
