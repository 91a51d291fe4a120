"""The sensors that are known here."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from twin.readings import ElementType, Kind, Sensor
from twin.storage.registry.part import Part
from twin.storage.registry.schema import sensors as table
from twin.units import Quantity


class SqlSensors(Part):
    """Fulfils `twin.ports.SensorRegistry`."""

    def upsert_sensors(self, sensors: Sequence[Sensor]) -> None:
        """Add or replace sensors, all or none; of the same id twice the last counts."""
        rows = {sensor.sensor_id: _row(sensor) for sensor in sensors}
        if not rows:
            return
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), [rows[sensor_id] for sensor_id in sorted(rows)])

    def sensors(self) -> dict[str, Sensor]:
        """Return all sensors by id, in order of id."""
        with self._database.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.sensor_id)).all()
        return {
            row.sensor_id: Sensor(
                **{
                    **row._mapping,
                    "quantity": Quantity(row.quantity),
                    "kind": Kind(row.kind),
                    "element_type": ElementType(row.element_type),
                }
            )
            for row in rows
        }


def _row(sensor: Sensor) -> dict[str, object]:
    return {column.name: getattr(sensor, column.name) for column in table.columns}
