"""Water used, from meters. What a household uses is personal: operators read it, and every read is written down."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api.auth import Caller, Role, Viewer, audit, require, services_of
from api.metered import connections_in
from api.routes.query import (
    NO_CONTROL,
    Cursor,
    From,
    Id,
    KnownAt,
    Limit,
    To,
    make_cursor,
    read_cursor,
    require_order,
)
from api.schemas.base import PageOut
from api.schemas.consumption import ConsumptionOut, DemandPageOut, DistrictDemandOut
from api.services import Services
from twin.clock import format_time, parse_time
from twin.consumption import Interval, is_household, is_meter
from twin.customers import PUBLIC_COUNT_FLOOR
from twin.errors import InputError, NotFoundError
from twin.metering import LEAST_COVERAGE, DistrictDemand, consumption_of, demand_of_district, meters_of
from twin.network import NetworkKind
from twin.readings import Sensor

router = APIRouter()
DEFAULT_PERIOD = timedelta(days=1)
READINGS_AT_MOST = 500_000

Intervals = Annotated[Interval, Query(description="15min, 1h or 1d (UTC days).")]


@router.get("/sensors/{sensor_id}/consumption", tags=["sensors"])
def list_consumption(
    request: Request,
    caller: Viewer,
    sensor_id: Id,
    start: From = None,
    end: To = None,
    interval: Intervals = Interval.HOUR,
    known_at: KnownAt = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[ConsumptionOut]:
    """List what passed a meter in each whole interval of a period (the last 24 h unless given).

    A household's meter needs the role operator, and the read is written down.
    """
    services = services_of(request)
    meter = _meter(services, sensor_id)
    if is_household(meter):
        require(services, caller, Role.OPERATOR, f"GET {request.url.path}")
        audit(services, caller.actor, "consumption.read", sensor_id, f"connection {meter.connection_id}")
    page = _Page.asked(f"consumption:{sensor_id}:{interval}", services, start, end, interval, limit, cursor)
    items = [] if page.is_empty else consumption_of(
        services.readings, meter, start=page.start, end=page.end, interval=interval, known_at=known_at
    )  # fmt: skip
    return PageOut(items=[ConsumptionOut.model_validate(one) for one in items], next_cursor=page.next_cursor)


@router.get("/districts/{district}/demand", tags=["network"])
def list_demand(
    request: Request,
    caller: Viewer,
    district: Annotated[str, Path(min_length=1, max_length=200, pattern=NO_CONTROL)],
    start: From = None,
    end: To = None,
    interval: Intervals = Interval.HOUR,
    least_coverage: Annotated[
        float, Query(ge=0.0, le=1.0, description="No figure from a smaller share of the connections.")
    ] = LEAST_COVERAGE,
    scaled: Annotated[bool, Query(description="Also estimate the whole district from those that report.")] = False,
    known_at: KnownAt = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> DemandPageOut:
    """List what the connections of a district used in each whole interval of a period (the last 24 h unless given).

    Sums over fewer than 15 connections are given to operators only.
    """
    services = services_of(request)
    meters = meters_of(services.registry.sensors().values(), district)
    connections = connections_in(district, services.network(NetworkKind.SUPPLY), services.registry.customers())
    if not meters and not connections:
        raise NotFoundError(f"there is no meter and no connection in a district {district!r}")
    page = _Page.asked(f"demand:{district}:{interval}", services, start, end, interval, limit, cursor)
    _require_affordable(meters, page.end - page.start)
    items = [] if page.is_empty else demand_of_district(
        services.readings,
        meters,
        connections=connections,
        start=page.start,
        end=page.end,
        interval=interval,
        least_coverage=least_coverage,
        known_at=known_at,
    )  # fmt: skip
    return DemandPageOut(
        items=[_demand_out(one, caller, scaled=scaled) for one in items],
        next_cursor=page.next_cursor,
        district=district,
        interval=interval,
        least_coverage=least_coverage,
        connections_from="meters" if connections is None else "network",
    )


def _meter(services: Services, sensor_id: str) -> Sensor:
    sensor = services.registry.sensors().get(sensor_id)
    if sensor is None:
        raise NotFoundError(f"there is no sensor {sensor_id!r}")
    if not is_meter(sensor):
        raise InputError(f"{sensor_id} is no meter: consumption is told of total_increasing volumes only")
    return sensor


def _demand_out(demand: DistrictDemand, caller: Caller, *, scaled: bool) -> DistrictDemandOut:
    withheld = demand.reporting < PUBLIC_COUNT_FLOOR and not caller.may(Role.OPERATOR)
    volume_m3 = None if withheld else demand.metered_m3
    return DistrictDemandOut(
        start=demand.start,
        end=demand.end,
        metered_m3=volume_m3,
        mean_flow_m3s=None if volume_m3 is None else volume_m3 / (demand.end - demand.start).total_seconds(),
        scaled_m3=demand.scaled_m3 if scaled and not withheld else None,
        coverage=demand.coverage,
        reporting=demand.reporting,
        connections=demand.connections,
        estimated_share=None if withheld else demand.estimated_share,
        sufficient=demand.is_sufficient,
        withheld=withheld,
    )


def _require_affordable(meters: list[Sensor], period: timedelta) -> None:
    expected = sum(period.total_seconds() / meter.expected_every_s for meter in meters)
    if expected > READINGS_AT_MOST:
        raise InputError(
            f"{expected:.0f} readings of {len(meters)} meters would have to be looked at, {READINGS_AT_MOST} at most: "
            "ask for a shorter period or a smaller limit"
        )


class _Page:
    """The part of the period that one answer is about: up to `limit` whole intervals."""

    def __init__(self, start: datetime, end: datetime, next_cursor: str | None) -> None:
        self.start, self.end, self.next_cursor = start, end, next_cursor

    @property
    def is_empty(self) -> bool:
        """Whether there is no interval at all."""
        return self.start >= self.end

    @classmethod
    def asked(
        cls,
        of: str,
        services: Services,
        start: datetime | None,
        end: datetime | None,
        interval: Interval,
        limit: int,
        cursor: str | None,
    ) -> _Page:
        """Return the page that the parameters of a request ask for."""
        end = end or services.clock.now()
        begin = interval.floor(start or end - DEFAULT_PERIOD)
        require_order(start, end)
        key = read_cursor(of, cursor)
        if key is not None:
            begin = max(begin, interval.floor(parse_time(key)))
        last = begin + limit * interval.length
        return cls(begin, min(end, last), make_cursor(of, format_time(last)) if last < end else None)
