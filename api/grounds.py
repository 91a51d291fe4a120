"""What a forecast rests on. One that rests on too little says nothing about what it does not foresee.

A supply forecast needs measurements: without them it is the model's own guess. A drainage forecast needs enough
members of a forecast of the weather: climatology knows the season only, and too few members state no probability.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from api.services import Services
from twin.forecasts import DrainageForecast, Run, Rung, RunStatus, SupplyForecast
from twin.readings import Sensor
from twin.staleness import stale_since, without
from twin.units import Quantity

WEATHER_MAX_AGE = timedelta(hours=24)
"""The weather ladder takes no forecast that is older."""

_MEASURES_SUPPLY = frozenset({Quantity.LEVEL, Quantity.FLOW})
_LOOKED_AT_ONCE = 20


def doubts(run: Run, services: Services) -> tuple[str, ...]:
    """Return in words why the run's silence is no good news; empty when it is."""
    if run.supply is not None:
        return tuple(_of_supply(run.supply, services))
    if run.drainage is not None:
        return tuple(_of_drainage(run, run.drainage, services.clock.now()))
    return (f"this run failed: {run.cause}",)


def _of_supply(forecast: SupplyForecast, services: Services) -> Iterator[str]:
    if forecast.assumed:
        yield f"sensors say nothing of {', '.join(forecast.assumed)}: the model's guess is taken"
    if not forecast.measured and not _is_measured(services):
        yield "no level or flow was measured lately: all of it is the model's guess"


def _is_measured(services: Services) -> bool:
    """Whether a level or flow sensor has a fresh, trusted value; asked for a few sensors at a time."""
    now = services.clock.now()
    sensors = {s.sensor_id: s for s in services.registry.sensors().values() if s.quantity in _MEASURES_SUPPLY}
    ids = sorted(sensors)
    some = (ids[first : first + _LOOKED_AT_ONCE] for first in range(0, len(ids), _LOOKED_AT_ONCE))
    return any(_one_speaks(those, sensors, services, now) for those in some)


def _one_speaks(ids: Sequence[str], sensors: Mapping[str, Sensor], services: Services, now: datetime) -> bool:
    newest = services.readings.latest(ids, at=now, known_at=now)
    newest = without(newest, stale_since(services.registry.stale_marks(), newest, now=now))
    return any(not sensors[sensor_id].is_silent(reading.observed_at, now=now) for sensor_id, reading in newest.items())


def _of_drainage(run: Run, forecast: DrainageForecast, now: datetime) -> Iterator[str]:
    if run.status is RunStatus.INSUFFICIENT:
        members = len(forecast.members_done) + len(forecast.members_failed)
        yield f"insufficient: {len(forecast.members_done)} of {members} members gave an answer, too few to judge floods"
    if not has_weather(forecast):
        yield "climatology only: there is no forecast of the weather, so floods are not judged"
    made_at = weather_made_at(forecast)
    if made_at is not None and now - made_at > WEATHER_MAX_AGE:
        limit_h = WEATHER_MAX_AGE // timedelta(hours=1)
        yield f"the weather forecast of {made_at:%Y-%m-%d %H:%M}Z is older than {limit_h} h"


def has_weather(forecast: DrainageForecast) -> bool:
    """Whether the run rests on a forecast of the weather, and not on the season alone."""
    return forecast.provenance.weather_rung not in (None, Rung.CLIMATOLOGY)


def weather_made_at(forecast: DrainageForecast) -> datetime | None:
    """Return when the weather forecast was issued, else when it was got hold of."""
    return forecast.provenance.weather_issued_at or forecast.provenance.weather_available_at
