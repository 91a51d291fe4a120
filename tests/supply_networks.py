"""Small supply networks for tests, in litres per second and metres, and requests made of plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from twin.ports import SupplyRequest
from twin.readings import ElementType, Kind, Reading, Sensor, reading_from_raw
from twin.units import Quantity, si_unit

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)

# Reservoir R feeds tank T (20 m2 per metre: 5.046265 m across) through pump PU, which follows the tank's level;
# the tank feeds J (10 L/s) through P2 and K (5 L/s) behind J through P3.
#
#   R --PU-- A --P1-- T --P2-- J --P3-- K
ONE_TANK = """
[JUNCTIONS]
A 50 0
J 20 10
K 20 5
[RESERVOIRS]
R 50
[TANKS]
T 60 3 1 5 5.0462650441 0
[PIPES]
P1 A T 100 400 130 0 Open
P2 T J 100 400 130 0 Open
P3 J K 100 400 130 0 Open
[PUMPS]
PU R A POWER 8
[CONTROLS]
LINK PU OPEN IF NODE T BELOW 2
LINK PU CLOSED IF NODE T ABOVE 4
[STATUS]
PU Closed
[TIMES]
Duration 24:00
Hydraulic Timestep 0:15
Pattern Timestep 1:00
[OPTIONS]
Units LPS
Headloss H-W
Unbalanced Continue 10
[COORDINATES]
J 1 2
"""


def a_sensor(sensor_id: str, quantity: Quantity, element: str, *, every_s: float = 300.0) -> Sensor:
    on_link = quantity in (Quantity.FLOW, Quantity.STATUS)
    place = ElementType.LINK if on_link else ElementType.NODE
    return Sensor(sensor_id, quantity, Kind.INSTANT, si_unit(quantity), place, element, expected_every_s=every_s)


def readings(sensor: Sensor, values: Sequence[float], *, until: datetime, step: timedelta) -> list[Reading]:
    """Readings at equal steps, the last one at `until`."""
    count = len(values)
    return [
        reading_from_raw(
            sensor, observed_at=until - step * (count - 1 - i), available_at=until - step * (count - 1 - i), raw_value=v
        )
        for i, v in enumerate(values)
    ]


def a_request(
    values: Mapping[Sensor, float | Sequence[float]],
    *,
    at: datetime = MONDAY,
    step: timedelta = timedelta(minutes=5),
    age: timedelta = timedelta(0),
    hours: int = 24,
    required_pressure_m: float = 10.0,
) -> SupplyRequest:
    """A request with each sensor's latest value, or its history when several are given."""
    history = {
        sensor.sensor_id: readings(sensor, value if isinstance(value, Sequence) else [value], until=at - age, step=step)
        for sensor, value in values.items()
    }
    return SupplyRequest(
        run_id="run-1",
        issued_at=at,
        sensors={sensor.sensor_id: sensor for sensor in values},
        latest={sensor_id: found[-1] for sensor_id, found in history.items()},
        history={sensor_id: found for sensor_id, found in history.items() if len(found) > 1},
        horizon_s=hours * 3600,
        required_pressure_m=required_pressure_m,
    )
