"""The isolation valves of the supply network."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from twin.storage.registry.part import Part
from twin.storage.registry.schema import isolation_valves as table
from twin.valves import Valve


class SqlValves(Part):
    """Fulfils `twin.ports.ValveRegistry`."""

    def upsert_valves(self, valves: Sequence[Valve]) -> None:
        """Add or replace valves by valve_id, all or none; of the same valve twice the last counts."""
        rows = {
            valve.valve_id: {column.name: getattr(valve, column.name) for column in table.columns} for valve in valves
        }
        if not rows:
            return
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), [rows[valve_id] for valve_id in sorted(rows)])

    def valves(self) -> list[Valve]:
        """Return all valves in order of valve_id."""
        with self._database.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.valve_id)).all()
        return [Valve(row.valve_id, row.link_id, row.near_node, row.operable, row.normally_closed) for row in rows]
