"""The trust of every sensor on every closed day, kept until a late reading has opened the day again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from sqlalchemy import Connection, bindparam, delete, select

from twin.clock import as_utc
from twin.storage.registry.documents import Document
from twin.storage.registry.part import Part
from twin.storage.registry.schema import trust_days as table
from twin.trust import TrustDay
from twin.windows import Window

_DOCUMENT = Document(TrustDay)


class SqlTrust(Part):
    """Fulfils `twin.ports.TrustLog`; settling windows forgets the days they touch in the same transaction."""

    def save_trust(self, days: Sequence[TrustDay]) -> None:
        """Add or replace days, all or none; of the same sensor and day twice the last counts."""
        rows = {
            (day.sensor_id, day.day): {
                "sensor_id": day.sensor_id,
                "day": day.day.isoformat(),
                "document": _DOCUMENT.encode(day),
            }
            for day in days
        }
        if rows:
            with self._database.write() as connection:
                connection.execute(self._database.upsert(table), [rows[key] for key in sorted(rows)])

    def trust_days(self, first: date, last: date, *, sensor_id: str | None = None) -> list[TrustDay]:
        """Return the days kept from `first` to `last` (inclusive), by day and sensor."""
        query = select(table.c.document).where(table.c.day >= first.isoformat(), table.c.day <= last.isoformat())
        if sensor_id is not None:
            query = query.where(table.c.sensor_id == sensor_id)
        with self._database.read() as connection:
            documents = connection.execute(query.order_by(table.c.day, table.c.sensor_id)).scalars()
            return [_DOCUMENT.decode(document) for document in documents]


def forget_touched(connection: Connection, windows: Sequence[Window]) -> None:
    """Forget the days that windows of their sensors touch."""
    touched = (table.c.day >= bindparam("first"), table.c.day <= bindparam("last"))
    forget = delete(table).where(table.c.sensor_id == bindparam("touched_id"), *touched)
    days = [{"touched_id": w.sensor_id, "first": _day(w.start), "last": _day(w.end)} for w in windows]
    if days:
        connection.execute(forget, days)


def _day(moment: datetime) -> str:
    return as_utc(moment).date().isoformat()
