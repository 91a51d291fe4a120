"""API keys: never the secret, only its salted hash."""

from __future__ import annotations

from sqlalchemy import select

from twin.ports import ApiKey
from twin.storage.registry.part import Part
from twin.storage.registry.schema import api_keys as table


class SqlKeys(Part):
    """Fulfils `twin.ports.KeyStore`."""

    def save_key(self, key: ApiKey) -> None:
        """Add or replace a key by id."""
        row = {column.name: getattr(key, column.name) for column in table.columns}
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), row)

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key or None."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.key_id == key_id)).one_or_none()
        return None if row is None else ApiKey(**row._mapping)

    def keys(self) -> list[ApiKey]:
        """Return all keys in order of creation."""
        with self._database.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.created_at, table.c.key_id)).all()
        return [ApiKey(**row._mapping) for row in rows]
