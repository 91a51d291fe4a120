"""What is known right now."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter, Request

from api.auth import Role, Viewer, services_of
from api.freshness import latest_good
from api.routes.query import Cursor, Limit, page_by_key
from api.schemas.readings import ReadingOut
from api.schemas.state import MismatchOut, ModelStateOut, SensorStateOut, StateOut, StateRestOut
from api.services import Services
from twin.consumption import is_household
from twin.forecasts import RunKind
from twin.readings import Reading, Sensor
from twin.staleness import stale_since

router = APIRouter(tags=["state"])


@router.get("/state")
def state(request: Request, caller: Viewer, limit: Limit = 1000, cursor: Cursor = None) -> StateOut:
    """Return each sensor's newest trusted value with its age, and what the supply model's state was taken from.

    Households' meters are personal: they are listed for operators only.
    """
    services = services_of(request)
    now = services.clock.now()
    may_see_all = caller.may(Role.OPERATOR)
    sensors = [one for one in services.registry.sensors().values() if may_see_all or not is_household(one)]
    page = page_by_key(sensors, lambda sensor: sensor.sensor_id, of="state", limit=limit, cursor=cursor)
    newest = services.readings.latest([sensor.sensor_id for sensor in page.items], at=now)
    gone = stale_since(services.registry.stale_marks(), newest, now=now)
    items = [
        _sensor_state(sensor, newest.get(sensor.sensor_id), now, gone.get(sensor.sensor_id)) for sensor in page.items
    ]
    return StateOut(at=now, items=items, next_cursor=page.next_cursor, supply=_supply_state(services, now))


def _sensor_state(
    sensor: Sensor, reading: Reading | None, now: datetime, gone_since: datetime | None
) -> SensorStateOut:
    return SensorStateOut(
        sensor_id=sensor.sensor_id,
        quantity=sensor.quantity,
        district=sensor.district,
        reading=ReadingOut.model_validate(reading) if reading else None,
        age_s=(now - reading.observed_at).total_seconds() if reading else None,
        stale_since=gone_since,
    )


def _supply_state(services: Services, now: datetime) -> ModelStateOut | None:
    found = latest_good(RunKind.SUPPLY, services)
    if found is None or found[0].supply is None:
        return None
    run, freshness = found
    assert run.supply is not None
    provenance = run.supply.provenance
    return ModelStateOut(
        run_id=run.run_id,
        state_at=provenance.state_at,
        age_s=(now - provenance.state_at).total_seconds() if provenance.state_at else None,
        basis=list(provenance.state_basis),
        rests=[StateRestOut.model_validate(rest) for rest in run.supply.rests],
        mismatch=None if run.supply.mismatch is None else MismatchOut.model_validate(run.supply.mismatch),
        stale=freshness.stale,
    )
