"""What was done by whom; only ever added to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, insert, select

from twin.ports import AuditEntry, Page
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import audit as table

_LISTING = Listing("audit entries", table.c.at, table.c.entry_id)


class SqlAudit(Part):
    """Fulfils `twin.ports.AuditLog`."""

    def record(self, entry: AuditEntry) -> None:
        """Add an entry."""
        row = {
            "at": entry.at,
            "actor": entry.actor,
            "action": entry.action,
            "subject": entry.subject,
            "detail": entry.detail,
        }
        with self._database.write() as connection:
            connection.execute(insert(table), row)

    def audit_entries(self, *, limit: int = 100, cursor: str | None = None) -> Page[AuditEntry]:
        """List entries, newest first."""
        with self._database.read() as connection:
            return _LISTING.page(connection, select(table), _entry, limit=limit, cursor=cursor)


def _entry(row: Row[*tuple[Any, ...]]) -> AuditEntry:
    return AuditEntry(at=row.at, actor=row.actor, action=row.action, subject=row.subject, detail=row.detail)
