"""Sensors and what they said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from api.auth import Caller, Role, Viewer, audit, require, services_of
from api.routes.query import Cursor, From, Id, KnownAt, Limit, To, make_cursor, page_by_key, read_cursor, require_order
from api.schemas.base import PageOut, page_out
from api.schemas.readings import ReadingOut, RollupOut
from api.schemas.sensors import SensorOut
from api.services import Services
from twin.clock import format_time, parse_time
from twin.consumption import is_household
from twin.errors import InputError, NotFoundError
from twin.ports import ReadingStore
from twin.readings import Quality, Reading, Sensor
from twin.rollups import Every
from twin.staleness import stale_since

router = APIRouter(tags=["sensors"])

# Every store can hold these years, and no reading of a water network lies outside them.
FIRST = datetime(1900, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)
SCAN_LIMIT = 20_000
"""One request looks at no more readings than this when it filters; the cursor goes on from there."""
MOST_WINDOWS = 20_000
"""One request covers no more windows than this: half a year of quarters of an hour, two years of hours."""


@router.get("/sensors")
def list_sensors(request: Request, _: Viewer, limit: Limit = 100, cursor: Cursor = None) -> PageOut[SensorOut]:
    """List the sensors in order of id."""
    services = services_of(request)
    sensors = list(services.registry.sensors().values())
    page = page_by_key(sensors, lambda sensor: sensor.sensor_id, of="sensors", limit=limit, cursor=cursor)
    gone = _stale(services, [sensor.sensor_id for sensor in page.items])
    return page_out(page, lambda sensor: _told(sensor, gone))


@router.get("/sensors/{sensor_id}")
def get_sensor(request: Request, _: Viewer, sensor_id: Id) -> SensorOut:
    """Tell about one sensor."""
    services = services_of(request)
    return _told(_sensor(services, sensor_id), _stale(services, [sensor_id]))


@router.get("/sensors/{sensor_id}/readings")
def list_readings(
    request: Request,
    caller: Viewer,
    sensor_id: Id,
    start: From = None,
    end: To = None,
    known_at: KnownAt = None,
    quality: Annotated[list[Quality] | None, Query(description="Only these qualities; repeat for several.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[ReadingOut]:
    """List a sensor's readings in order of time, values in SI, all qualities unless `quality` is given.

    Those of a household's meter are personal: they need the role operator, and the read is written down.
    With `quality`, a page may hold fewer readings than `limit`; go on until `next_cursor` is null.
    """
    services = services_of(request)
    sensor = _sensor(services, sensor_id)
    _require_may_read(request, caller, sensor, "readings.read")
    require_order(start, end)
    of = f"readings:{sensor_id}"
    begin = _begin(read_cursor(of, cursor), max(start or FIRST, FIRST))
    wanted = frozenset(quality or Quality)
    readings, next_at = _scan(
        services.readings, sensor_id, begin, min(end or LAST, LAST), known_at=known_at, wanted=wanted, limit=limit
    )
    return PageOut(
        items=[ReadingOut.model_validate(reading) for reading in readings],
        next_cursor=make_cursor(of, format_time(next_at)) if next_at else None,
    )


def _told(sensor: Sensor, gone: Mapping[str, datetime]) -> SensorOut:
    return SensorOut.model_validate(sensor).model_copy(update={"stale_since": gone.get(sensor.sensor_id)})


def _stale(services: Services, sensor_ids: Sequence[str]) -> Mapping[str, datetime]:
    """Return since when those of the sensors are stale that are."""
    marks = services.registry.stale_marks()
    marked = {sensor_id: marks[sensor_id] for sensor_id in sensor_ids if sensor_id in marks}
    now = services.clock.now()
    newest = services.readings.latest(list(marked), at=now, trusted_only=False) if marked else {}
    return stale_since(marked, newest, now=now)


@router.get("/sensors/{sensor_id}/rollups")
def list_rollups(
    request: Request,
    caller: Viewer,
    sensor_id: Id,
    every: Annotated[Every, Query(description="How long the windows are; they begin at whole multiples in UTC.")],
    start: From = None,
    end: To = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[RollupOut]:
    """List a sensor's windows in order of time: mean, lowest, highest, first and last of its trusted values in SI.

    Listed are windows that begin within `from` and `to`; without `to` those up to now, without `from` the last `limit`
    windows before `to`. A window in which nothing was observed does not exist.
    Those of a household's meter are personal: they need the role operator, and the read is written down.
    """
    services = services_of(request)
    _require_may_read(request, caller, _sensor(services, sensor_id), "rollups.read")
    until = min(end or services.clock.now(), LAST)
    begin = max(start or until - limit * every.length, FIRST)
    require_order(begin, until)
    if until - begin > MOST_WINDOWS * every.length:
        raise InputError(f"that is more than {MOST_WINDOWS} windows: ask for less time between `from` and `to`")
    of = f"rollups:{every}:{sensor_id}"
    key = read_cursor(of, cursor)
    windows = services.readings.rollups([sensor_id], _begin(key, begin), until, every)[sensor_id]
    next_at = windows[limit].start if len(windows) > limit else None
    return PageOut(
        items=[RollupOut.model_validate(window) for window in windows[:limit]],
        next_cursor=make_cursor(of, format_time(next_at)) if next_at else None,
    )


def _require_may_read(request: Request, caller: Caller, sensor: Sensor, action: str) -> None:
    """Return if the caller may see what the sensor said; of a household's meter, write down who did."""
    if is_household(sensor):
        services = services_of(request)
        require(services, caller, Role.OPERATOR, f"GET {request.url.path}")
        audit(services, caller.actor, action, sensor.sensor_id, f"connection {sensor.connection_id}")


def _sensor(services: Services, sensor_id: str) -> Sensor:
    sensor = services.registry.sensors().get(sensor_id)
    if sensor is None:
        raise NotFoundError(f"there is no sensor {sensor_id!r}")
    return sensor


def _begin(key: str | None, start: datetime) -> datetime:
    """Return where the page begins: at the cursor, but never before `from`."""
    if key is None:
        return start
    try:
        return max(parse_time(key), start)
    except InputError as error:
        raise InputError("the cursor is broken: use next_cursor of the page before, or none at all") from error


def _scan(
    store: ReadingStore,
    sensor_id: str,
    begin: datetime,
    end: datetime,
    *,
    known_at: datetime | None,
    wanted: frozenset[Quality],
    limit: int,
) -> tuple[list[Reading], datetime | None]:
    """Return up to `limit` wanted readings from `begin` on, and where the next page begins (None: there is none).

    A page ends before the reading that the next one begins with, so nothing is lost or repeated between pages.
    """
    found: list[Reading] = []
    seen = 0
    while begin < end:
        chunk = store.between(sensor_id, begin, end, known_at=known_at, limit=limit + 1)
        for reading in chunk[:limit]:
            if len(found) == limit:
                return found, reading.observed_at
            if reading.quality in wanted:
                found.append(reading)
        if len(chunk) <= limit:
            return found, None
        seen += limit
        begin = chunk[limit].observed_at
        if len(found) == limit or seen >= SCAN_LIMIT:
            return found, begin
    return found, None
