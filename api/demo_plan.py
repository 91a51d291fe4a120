"""What the demo relives: the published record hour by hour, with the injected event where the plan has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from models.networks.ctown import period
from models.networks.ctown.events import pump_trip
from models.networks.ctown.scada import scada_rows
from models.networks.ctown.weather import weather_hours
from twin.errors import ConfigError, InputError
from twin.replay import Row, Step

EVENTS = ("pump-trip", "none")
RAIN_SENSOR, TEMPERATURE_SENSOR = "RAIN_1", "TEMP_1"


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What to relive. `speed` None means as fast as the machine can."""

    hours: int = 72
    speed: float | None = 600.0
    event: str = "pump-trip"
    members: int = 10
    start: datetime = period.START
    port: int | None = None

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise ConfigError(f"unknown event {self.event!r}; known are {', '.join(EVENTS)}")

    @property
    def end(self) -> datetime:
        """The moment after the last hour."""
        return self.start + timedelta(hours=self.hours)


def check_plan(plan: DemoPlan) -> None:
    """Raise InputError if the record does not hold every hour of the plan."""
    held = sum(1 for _ in scada_rows(plan.start, plan.end))
    if held != plan.hours:
        record = [row.observed_at for row in scada_rows()]
        raise InputError(
            f"the record holds {held} of the {plan.hours} hours from {plan.start:%Y-%m-%d %H:%M}Z; "
            f"it goes from {record[0]:%Y-%m-%d %H:%M}Z to {record[-1]:%Y-%m-%d %H:%M}Z"
        )


def demo_steps(plan: DemoPlan) -> Iterator[Step]:
    """Yield one step per hour of the record, with the injected event where the plan has one."""
    # The trip's mass balance needs the hour before it, wherever the demo begins.
    rows = scada_rows(min(plan.start, period.START), plan.end)
    if plan.event == "pump-trip" and plan.end > period.TRIP_AT:
        rows = pump_trip(rows, period.TRIP_STATION, period.TRIP_AT, repaired_at=period.REPAIRED_AT)
    weather = {hour.observed_at: hour for hour in weather_hours(plan.start, plan.end)}
    for scada in rows:
        if scada.observed_at < plan.start:
            continue
        at = scada.observed_at
        values = [Row(sensor_id, at, value, unit) for sensor_id, (value, unit) in scada.values.items()]
        values.append(Row(RAIN_SENSOR, at, weather[at].rain_mm, "mm"))
        values.append(Row(TEMPERATURE_SENSOR, at, weather[at].temperature_c, "degC"))
        yield Step(at, tuple(values))
