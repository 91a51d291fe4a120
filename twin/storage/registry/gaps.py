"""The missing intervals of every sensor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from twin.gaps import WAITING, Gap, GapState, GapTotals
from twin.ports import Page
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import gaps as table

_LISTING = Listing("gaps", table.c.start, table.c.gap_id)
_WAITING = table.c.state.in_([str(state) for state in WAITING])
_KEPT = [column.name for column in table.columns if column.name != "gap_id"]


class SqlGaps(Part):
    """Fulfils `twin.ports.GapLedger`."""

    def save_gaps(self, gaps: Sequence[Gap]) -> None:
        """Add or replace gaps by key, all or none; of the same key twice the last counts."""
        rows = {gap.key: {name: getattr(gap, name) for name in _KEPT} for gap in gaps}
        if not rows:
            return
        insert = self._database.insert(table)
        changed = {name: insert.excluded[name] for name in _KEPT if name not in ("sensor_id", "start")}
        upsert = insert.on_conflict_do_update(index_elements=[table.c.sensor_id, table.c.start], set_=changed)
        with self._database.write() as connection:
            connection.execute(upsert, [rows[key] for key in sorted(rows)])

    def open_gaps(self) -> list[Gap]:
        """Return every gap that is open or requested, by sensor and in order of time."""
        still_open = select(table).where(_WAITING)
        with self._database.read() as connection:
            return [_gap(row) for row in connection.execute(still_open.order_by(table.c.sensor_id, table.c.start))]

    def gaps(
        self,
        *,
        sensor_id: str | None = None,
        gateway_id: str | None = None,
        states: Sequence[GapState] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Gap]:
        """List gaps by their start (start inclusive, end exclusive), newest first."""
        query = select(table)
        if sensor_id is not None:
            query = query.where(table.c.sensor_id == sensor_id)
        if gateway_id is not None:
            query = query.where(table.c.gateway_id == gateway_id)
        if states is not None:
            query = query.where(table.c.state.in_([str(state) for state in states]))
        if start is not None:
            query = query.where(table.c.start >= start)
        if end is not None:
            query = query.where(table.c.start < end)
        with self._database.read() as connection:
            return _LISTING.page(connection, query, _gap, limit=limit, cursor=cursor)

    def count_gaps(self) -> dict[str, int]:
        """Return the number of gaps by state; states without any are left out."""
        with self._database.read() as connection:
            return dict(connection.execute(select(table.c.state, func.count()).group_by(table.c.state)).all())

    def gap_totals(self) -> GapTotals:
        """Return how many gaps are open or requested, how many readings they lack and since when."""
        totals = select(func.count(), func.sum(table.c.missing), func.min(table.c.start)).where(_WAITING)
        with self._database.read() as connection:
            gaps, missing, since = connection.execute(totals).one()
        return GapTotals(gaps, int(missing or 0), since)


def _gap(row: Row[*tuple[Any, ...]]) -> Gap:
    return Gap(**{**{name: getattr(row, name) for name in _KEPT}, "state": GapState(row.state)})
