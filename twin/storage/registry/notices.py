"""Notices in every state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select

from twin.errors import NotFoundError
from twin.notices import Notice, NoticeState
from twin.ports import Page
from twin.storage.registry.documents import Document
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import notices as table

_NOTICE = Document(Notice)
_LISTING = Listing("notices", table.c.created_at, table.c.notice_id)


class SqlNotices(Part):
    """Fulfils `twin.ports.NoticeLog`."""

    def save_notice(self, notice: Notice) -> None:
        """Add or replace one notice."""
        row = {
            "notice_id": notice.notice_id,
            "incident_id": notice.incident_id,
            "state": notice.state,
            "created_at": notice.created_at,
            "document": _NOTICE.encode(notice),
        }
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), row)

    def notice(self, notice_id: str) -> Notice:
        """Return one notice or raise NotFoundError."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.notice_id == notice_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no notice {notice_id!r}")
        return _notice(row)

    def notices_of(self, incident_id: str) -> list[Notice]:
        """Return the notices of an incident, oldest first."""
        query = select(table).where(table.c.incident_id == incident_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.created_at, table.c.notice_id)).all()
        return [_notice(row) for row in rows]

    def notices(
        self, *, states: Sequence[NoticeState] | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[Notice]:
        """List notices by created_at, newest first; `states` None means all, an empty sequence none."""
        query = select(table) if states is None else select(table).where(table.c.state.in_(states))
        with self._database.read() as connection:
            return _LISTING.page(connection, query, _notice, limit=limit, cursor=cursor)

    def count_notices(self) -> dict[str, int]:
        """Return the number of notices by state; states without one are left out."""
        with self._database.read() as connection:
            return dict(connection.execute(select(table.c.state, func.count()).group_by(table.c.state)).all())


def _notice(row: Row[*tuple[Any, ...]]) -> Notice:
    return _NOTICE.decode(row.document)
