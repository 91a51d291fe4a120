"""Saved engine states: the newest few per model and key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import delete, select

from twin.forecasts import DrainageState
from twin.storage.registry.documents import Document
from twin.storage.registry.part import Part
from twin.storage.registry.schema import states as table

_FLOODED: Document[Mapping[str, float]] = Document(Mapping[str, float])  # type: ignore[type-abstract]

STATES_KEPT = 5
"""So many states are kept per model and key: a cycle uses the newest, a late reading may need one before it."""


class SqlStates(Part):
    """Fulfils `twin.ports.StateArchive`."""

    def save_state(self, state: DrainageState) -> None:
        """Keep a state (replacing one of the same model, key and time) and drop those beyond the newest few."""
        row = {column.name: getattr(state, column.name) for column in table.columns}
        row["flooded_m3"] = _FLOODED.encode(state.flooded_m3)
        alike = (table.c.model_id == state.model_id) & (table.c.key == state.key)
        newest = select(table.c.valid_at).where(alike).order_by(table.c.valid_at.desc()).limit(STATES_KEPT)
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), row)
            kept = connection.execute(newest).scalars().all()
            connection.execute(delete(table).where(alike, table.c.valid_at < kept[-1]))

    def latest_state(self, model_id: str, key: str, *, by: datetime) -> DrainageState | None:
        """Return the newest state of exactly this key with valid_at <= by, or None."""
        alike = select(table).where(table.c.model_id == model_id, table.c.key == key)
        newest = alike.where(table.c.valid_at <= by).order_by(table.c.valid_at.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(newest).one_or_none()
        if row is None:
            return None
        return DrainageState(
            model_id=row.model_id,
            key=row.key,
            valid_at=row.valid_at,
            content=bytes(row.content),
            available_at=row.available_at,
            continuity_error_pct=row.continuity_error_pct,
            rain_mm=row.rain_mm,
            cold=row.cold,
            flooded_m3=_FLOODED.decode(row.flooded_m3),
        )
