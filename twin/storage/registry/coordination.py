"""What the roles of one installation need to know of each other: leases and signs of life."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select

from twin.ports import Beat
from twin.storage.registry.documents import Document
from twin.storage.registry.part import Part
from twin.storage.registry.schema import beats, leases

_FIGURES: Document[dict[str, float | str]] = Document(dict[str, float | str])


class SqlCoordination(Part):
    """Fulfils `twin.ports.Coordination`."""

    def acquire_lease(self, name: str, holder: str, *, ttl_s: float, now: datetime) -> bool:
        """Take or prolong a lease; False while another holder's has not run out (at its very end it has)."""
        insert = self._database.insert(leases)
        free_for_holder = or_(leases.c.holder == insert.excluded.holder, leases.c.expires_at <= now)
        taken = insert.on_conflict_do_update(
            index_elements=[leases.c.name],
            set_={"holder": insert.excluded.holder, "expires_at": insert.excluded.expires_at},
            where=free_for_holder,
        ).returning(leases.c.holder)
        row = {"name": name, "holder": holder, "expires_at": now + timedelta(seconds=ttl_s)}
        with self._database.write() as connection:
            return connection.execute(taken, row).one_or_none() is not None

    def release_lease(self, name: str, holder: str) -> None:
        """Give a lease back; nothing happens if another holds it."""
        with self._database.write() as connection:
            connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))

    def beat(self, beat: Beat) -> None:
        """Leave a sign of life (the newest per role is kept)."""
        insert = self._database.insert(beats)
        rest = {name: insert.excluded[name] for name in ("at", "ok", "detail", "figures")}
        newest = insert.on_conflict_do_update(
            index_elements=[beats.c.role], set_=rest, where=beats.c.at <= insert.excluded.at
        )
        row = {
            "role": beat.role,
            "at": beat.at,
            "ok": beat.ok,
            "detail": beat.detail,
            "figures": None if beat.figures is None else _figures_text(beat.figures),
        }
        with self._database.write() as connection:
            connection.execute(newest, row)

    def beats(self) -> dict[str, Beat]:
        """Return the newest sign of life of each role."""
        with self._database.read() as connection:
            rows = connection.execute(select(beats).order_by(beats.c.role)).all()
        return {
            row.role: Beat(
                role=row.role,
                at=row.at,
                ok=row.ok,
                detail=row.detail,
                figures=None if row.figures is None else _figures(row.figures),
            )
            for row in rows
        }


def _figures_text(figures: Mapping[str, float]) -> str:
    """Write figures as JSON; NaN and infinities, which metrics may be, as words."""
    return _FIGURES.encode({name: figure if math.isfinite(figure) else str(figure) for name, figure in figures.items()})


def _figures(text: str) -> dict[str, float]:
    return {name: float(figure) for name, figure in _FIGURES.decode(text).items()}
