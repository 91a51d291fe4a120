"""Residuals of the supply model, one row a sensor and reading."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select

from twin.ports import Page
from twin.residuals import Residual
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import residuals as table

_LISTING = Listing("residuals", table.c.observed_at, table.c.sensor_id)


class SqlResiduals(Part):
    """Fulfils `twin.ports.ResidualLog`."""

    def save_residuals(self, residuals: Sequence[Residual]) -> None:
        """Keep residuals, all or none; of the same sensor and reading the last counts."""
        rows = {(one.sensor_id, one.observed_at): _row(one) for one in residuals}
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(table), [rows[key] for key in sorted(rows)])

    def residuals(
        self,
        *,
        sensor_id: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        known_at: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Residual]:
        """List residuals by observed_at (start inclusive, end exclusive), newest first."""
        query = select(table)
        if sensor_id is not None:
            query = query.where(table.c.sensor_id == sensor_id)
        if start is not None:
            query = query.where(table.c.observed_at >= start)
        if end is not None:
            query = query.where(table.c.observed_at < end)
        if known_at is not None:
            query = query.where(table.c.known_at <= known_at)
        with self._database.read() as connection:
            return _LISTING.page(connection, query, _residual, limit=limit, cursor=cursor)

    def residuals_since(self, start: datetime, *, known_at: datetime) -> list[Residual]:
        """Return all residuals of readings from `start` on that were known by then, by observed_at and sensor."""
        query = select(table).where(table.c.observed_at >= start, table.c.known_at <= known_at)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.observed_at, table.c.sensor_id)).all()
        return [_residual(row) for row in rows]

    def drop_residuals(self, before: datetime) -> int:
        """Forget residuals of readings before a moment; return how many."""
        with self._database.write() as connection:
            return int(connection.execute(delete(table).where(table.c.observed_at < before)).rowcount)


def _row(one: Residual) -> dict[str, object]:
    return {
        "sensor_id": one.sensor_id,
        "observed_at": one.observed_at,
        "known_at": one.known_at,
        "run_id": one.run_id,
        "observed": one.observed,
        "modelled": one.modelled,
        "assumed": one.assumed,
    }


def _residual(row: Row[*tuple[Any, ...]]) -> Residual:
    return Residual(
        sensor_id=row.sensor_id,
        observed_at=row.observed_at,
        known_at=row.known_at,
        run_id=row.run_id,
        observed=row.observed,
        modelled=row.modelled,
        assumed=bool(row.assumed),
    )
