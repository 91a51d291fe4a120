"""sensors.csv: which sensors there are, what they measure and where they sit in the models."""

from __future__ import annotations

from pathlib import Path

from ingest.decoders.native import BACKFILL
from ingest.files.tables import Row, read_table
from twin.errors import InputError
from twin.readings import ElementType, Kind, Sensor
from twin.units import Quantity, si_unit, to_si

COLUMNS = (
    "sensor_id", "quantity", "kind", "unit", "element_type", "element_id", "district", "expected_every_s",
    "low", "high",
)  # fmt: skip
OPTIONAL = (
    "max_rate_per_s", "flat_after_s", "redundant_with", "rollover_at", "one_way", "overflow_m", "gateway_id",
    "connection_id",
)  # fmt: skip
DEFAULT_EXPECTED_EVERY_S = 300.0


def read_sensors(path: Path) -> list[Sensor]:
    """Read all sensors or none.

    `low`, `high`, `max_rate_per_s`, `rollover_at` and `overflow_m` are in the row's `unit` and come back in SI;
    an empty `unit` means the SI unit of the quantity.
    Empty `expected_every_s` means 300 s, empty `element_type` none.

    Raises:
        InputError: Naming file, line, column and reason of the first row that is not acceptable.
    """
    sensors: list[Sensor] = []
    lines: dict[str, int] = {}
    for row in read_table(path, required=COLUMNS, optional=OPTIONAL):
        sensor = _sensor(row)
        if sensor.sensor_id in lines:
            raise row.wrong("sensor_id", f"{sensor.sensor_id!r} is already in line {lines[sensor.sensor_id]}")
        lines[sensor.sensor_id] = row.line
        sensors.append(sensor)
    return sensors


def _sensor(row: Row) -> Sensor:
    quantity = Quantity(row.choice("quantity", list(Quantity)))
    unit = _unit(row, quantity)
    low, high = _limit(row, "low", quantity), _limit(row, "high", quantity)
    if low is not None and high is not None and low > high:
        raise row.wrong("low", f"{row.text('low')} lies above high, {row.text('high')}")
    element_type = ElementType(row.choice("element_type", list(ElementType)) if row.text("element_type") else "none")
    if element_type is not ElementType.NONE and not row.text("element_id"):
        raise row.wrong("element_id", f"is empty: which {element_type} does the sensor sit on?")
    if row.text("sensor_id") == BACKFILL:
        raise row.wrong("sensor_id", f"{BACKFILL!r} is the topic of requests to gateways; choose another name")
    return Sensor(
        sensor_id=row.required("sensor_id"),
        quantity=quantity,
        kind=Kind(row.choice("kind", list(Kind))),
        unit=unit,
        element_type=element_type,
        element_id=row.text("element_id"),
        district=row.text("district"),
        expected_every_s=_expected_every_s(row),
        low=low,
        high=high,
        max_rate_per_s=_above_zero(row, "max_rate_per_s", _span(row, "max_rate_per_s", quantity)),
        flat_after_s=_above_zero(row, "flat_after_s", row.number("flat_after_s")),
        redundant_with=row.text("redundant_with"),
        rollover_at=_above_zero(row, "rollover_at", _limit(row, "rollover_at", quantity)),
        one_way=row.choice("one_way", ("yes", "no")) == "yes" if row.text("one_way") else False,
        overflow_m=_limit(row, "overflow_m", quantity),
        gateway_id=row.text("gateway_id"),
        connection_id=row.text("connection_id"),
    )


def _unit(row: Row, quantity: Quantity) -> str:
    unit = row.text("unit")
    _to_si(row, "unit", 1.0, unit, quantity)
    return unit


def _limit(row: Row, column: str, quantity: Quantity) -> float | None:
    limit = row.number(column)
    return None if limit is None else _to_si(row, column, limit, row.text("unit"), quantity)


def _span(row: Row, column: str, quantity: Quantity) -> float | None:
    """Return a difference of two values in SI: offsets such as that of degrees Fahrenheit do not count."""
    span = row.number(column)
    if span is None:
        return None
    unit = row.text("unit")
    return _to_si(row, column, span, unit, quantity) - _to_si(row, column, 0.0, unit, quantity)


def _above_zero(row: Row, column: str, value: float | None) -> float | None:
    if value is not None and value <= 0:
        raise row.wrong(column, f"{row.text(column)} is not above 0")
    return value


def _to_si(row: Row, column: str, value: float, unit: str, quantity: Quantity) -> float:
    try:
        return to_si(value, unit or si_unit(quantity), quantity)
    except InputError as error:
        raise row.wrong(column, str(error)) from error


def _expected_every_s(row: Row) -> float:
    every_s = row.number("expected_every_s")
    if every_s is None:
        return DEFAULT_EXPECTED_EVERY_S
    if every_s <= 0:
        raise row.wrong("expected_every_s", f"{row.text('expected_every_s')} is not a time above 0 s")
    return every_s
