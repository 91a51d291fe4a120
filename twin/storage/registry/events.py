"""What happened around the readings, one row an episode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from twin.events import EPISODE, Event, EventKind
from twin.ports import Page
from twin.storage.registry.columns import mended_text
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import events as table

_LISTING = Listing("events", table.c.first_at, table.c.event_id)
_TURNS = 0x6576_656E  # "even"


class SqlEvents(Part):
    """Fulfils `twin.ports.EventLog`."""

    def log_events(self, events: Sequence[Event]) -> int:
        """Keep events, each prolonging the episode it belongs to; see `EventLog.log_events`."""
        episodes = _episodes(events)
        if not episodes:
            return 0
        with self._database.write() as connection:
            self._database.take_turns(connection, _TURNS)  # two processes must not begin the same episode twice
            return sum(not self._prolong(connection, episode) for episode in episodes)

    def events(
        self,
        *,
        kinds: Sequence[EventKind] | None = None,
        subject: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Event]:
        """List events by first_at (start inclusive, end exclusive), newest first."""
        query = select(table)
        if kinds is not None:
            query = query.where(table.c.kind.in_([str(kind) for kind in kinds]))
        if subject is not None:
            query = query.where(table.c.subject == subject)
        if start is not None:
            query = query.where(table.c.first_at >= start)
        if end is not None:
            query = query.where(table.c.first_at < end)
        with self._database.read() as connection:
            return _LISTING.page(connection, query, _event, limit=limit, cursor=cursor)

    def count_events(self) -> dict[str, int]:
        """Return the number of events by kind; kinds that never occurred are left out."""
        with self._database.read() as connection:
            return dict(connection.execute(select(table.c.kind, func.count()).group_by(table.c.kind)).all())

    def _prolong(self, connection: Connection, event: Event) -> bool:
        """Join an event to the episode it belongs to; where there is none, begin one and return False."""
        same = (table.c.kind == event.kind, table.c.subject == event.subject)
        near = (table.c.last_at >= event.first_at - EPISODE, table.c.first_at <= event.last_at + EPISODE)
        found = connection.execute(
            select(table).where(*same, *near).order_by(table.c.last_at.desc()).limit(1)
        ).one_or_none()
        if found is None:
            connection.execute(insert(table), _row(event))
            return False
        grown = {
            "first_at": min(found.first_at, event.first_at),
            "last_at": max(found.last_at, event.last_at),
            "times_seen": found.times_seen + event.times_seen,
        }
        connection.execute(update(table).where(table.c.event_id == found.event_id).values(grown))
        return True


def _episodes(events: Iterable[Event]) -> list[Event]:
    """Return events in order of time with the repeats within one episode joined."""
    joined: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for told in sorted(events, key=lambda event: event.first_at):
        event = replace(told, subject=mended_text(told.subject), detail=mended_text(told.detail))
        of_subject = joined[(event.kind, event.subject)]
        last = of_subject[-1] if of_subject else None
        if last is None or event.first_at - last.last_at > EPISODE:
            of_subject.append(event)
            continue
        newest = max(last.last_at, event.last_at)
        times = last.times_seen + event.times_seen
        of_subject[-1] = Event(last.kind, last.subject, last.first_at, newest, last.detail, times)
    return [event for of_subject in joined.values() for event in of_subject]


def _row(event: Event) -> dict[str, object]:
    return {
        "kind": event.kind,
        "subject": event.subject,
        "first_at": event.first_at,
        "last_at": event.last_at,
        "detail": event.detail,
        "times_seen": event.times_seen,
    }


def _event(row: Row[*tuple[Any, ...]]) -> Event:
    return Event(
        kind=EventKind(row.kind),
        subject=row.subject,
        first_at=row.first_at,
        last_at=row.last_at,
        detail=row.detail,
        times_seen=row.times_seen,
        event_id=row.event_id,
    )
