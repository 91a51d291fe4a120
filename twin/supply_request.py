"""What a supply run is made from, gathered from the stores as it was known at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from twin.ports import ReadingStore, SupplyRequest
from twin.readings import Reading, Sensor
from twin.units import Quantity

HISTORY_S = 14 * 86400

_BALANCE_QUANTITIES = frozenset({Quantity.FLOW, Quantity.LEVEL, Quantity.DEMAND})
"""What the demand of a district is learned from; the history of everything else is not read."""


def supply_request(
    run_id: str,
    readings: ReadingStore,
    sensors: Mapping[str, Sensor],
    latest: Mapping[str, Reading],
    *,
    now: datetime,
    horizon_s: int,
    required_pressure_m: float = 10.0,
    members: int = 0,
    history_s: int = HISTORY_S,
) -> SupplyRequest:
    """Return the request for a run from `now` on; `latest` are the newest trusted readings that are not stale.

    Raises:
        UnavailableError: If the store is away.
    """
    since, until = now - timedelta(seconds=history_s), now + timedelta(microseconds=1)
    history = {
        sensor_id: [one for one in readings.between(sensor_id, since, until, known_at=now) if one.is_trusted]
        for sensor_id, sensor in sensors.items()
        if sensor.quantity in _BALANCE_QUANTITIES
    }
    return SupplyRequest(
        run_id=run_id,
        issued_at=now,
        sensors=sensors,
        latest=latest,
        history=history,
        horizon_s=horizon_s,
        required_pressure_m=required_pressure_m,
        members=members,
    )
