"""Incidents, open and closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select

from twin.errors import NotFoundError
from twin.incidents import Incident, IncidentKind, IncidentState, judged_anew
from twin.ports import Page
from twin.storage.registry.documents import Document
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import incidents as table

_INCIDENT = Document(Incident)
_LISTING = Listing("incidents", table.c.opened_at, table.c.incident_id)


class SqlIncidents(Part):
    """Fulfils `twin.ports.IncidentLog`."""

    def save_incidents(self, incidents: Sequence[Incident]) -> None:
        """Add or replace incidents by id, all or none; of the same id twice the last counts."""
        by_id = {incident.incident_id: incident for incident in incidents}
        if by_id:
            with self._database.write() as connection:
                self._replace(connection, by_id)

    def save_judgement(self, incidents: Sequence[Incident]) -> list[Incident]:
        """Add or replace incidents as judged, with the marks as stored; see `IncidentLog.save_judgement`."""
        by_id = {incident.incident_id: incident for incident in incidents}
        if not by_id:
            return []
        with self._database.write() as connection:
            for stored in self._held(connection, list(by_id)):
                by_id[stored.incident_id] = judged_anew(stored, by_id[stored.incident_id])
            self._replace(connection, by_id)
        return list(by_id.values())

    def change_incident(self, incident_id: str, change: Callable[[Incident], Incident]) -> Incident:
        """Read, change and keep one incident in one transaction; see `IncidentLog.change_incident`."""
        with self._database.write() as connection:
            held = self._held(connection, [incident_id])
            if not held:
                raise _unknown(incident_id)
            changed = change(held[0])
            self._replace(connection, {incident_id: changed})
        return changed

    def _held(self, connection: Connection, incident_ids: Sequence[str]) -> list[Incident]:
        """Return those of the incidents that are stored; no other transaction writes them until this one ends."""
        wanted = select(table).where(table.c.incident_id.in_(incident_ids)).order_by(table.c.incident_id)
        return [_incident(row) for row in connection.execute(wanted.with_for_update())]

    def _replace(self, connection: Connection, by_id: Mapping[str, Incident]) -> None:
        rows = [_row(by_id[incident_id]) for incident_id in sorted(by_id)]
        connection.execute(self._database.upsert(table), rows)

    def incident(self, incident_id: str) -> Incident:
        """Return one incident or raise NotFoundError."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.incident_id == incident_id)).one_or_none()
        if row is None:
            raise _unknown(incident_id)
        return _incident(row)

    def open_incidents(self) -> list[Incident]:
        """Return every incident that is not closed, oldest first."""
        still_open = select(table).where(table.c.state != IncidentState.CLOSED)
        with self._database.read() as connection:
            rows = connection.execute(still_open.order_by(table.c.opened_at, table.c.incident_id)).all()
        return [_incident(row) for row in rows]

    def incidents(
        self,
        *,
        kind: IncidentKind | None = None,
        state: IncidentState | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Incident]:
        """List incidents by opened_at (start inclusive, end exclusive), newest first."""
        query = select(table)
        if kind is not None:
            query = query.where(table.c.kind == kind)
        if state is not None:
            query = query.where(table.c.state == state)
        if start is not None:
            query = query.where(table.c.opened_at >= start)
        if end is not None:
            query = query.where(table.c.opened_at < end)
        with self._database.read() as connection:
            return _LISTING.page(connection, query, _incident, limit=limit, cursor=cursor)

    def count_incidents(self) -> dict[str, int]:
        """Return the number of incidents ever opened, by kind; kinds that never occurred are left out."""
        with self._database.read() as connection:
            return dict(connection.execute(select(table.c.kind, func.count()).group_by(table.c.kind)).all())


def _unknown(incident_id: str) -> NotFoundError:
    return NotFoundError(f"there is no incident {incident_id!r}")


def _row(incident: Incident) -> dict[str, object]:
    return {
        "incident_id": incident.incident_id,
        "kind": incident.kind,
        "state": incident.state,
        "opened_at": incident.opened_at,
        "document": _INCIDENT.encode(incident),
    }


def _incident(row: Row[*tuple[Any, ...]]) -> Incident:
    return _INCIDENT.decode(row.document)
