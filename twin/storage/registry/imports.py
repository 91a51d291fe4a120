"""How far imports of readings have come."""

from __future__ import annotations

import json
from datetime import datetime

from sqlalchemy import delete, select

from twin.ports import ImportProgress
from twin.storage.registry.part import Part
from twin.storage.registry.schema import imports as table


class SqlImports(Part):
    """Fulfils `twin.ports.ImportLog`."""

    def import_progress(self, digest: str) -> ImportProgress | None:
        """Return how far the import of a file has come, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.digest == digest)).one_or_none()
        if row is None:
            return None
        document = json.loads(row.document)
        begun_at = datetime.fromisoformat(document["begun_at"])
        return ImportProgress(row.digest, row.name, row.rows_done, begun_at, row.updated_at, document["counts"])

    def save_import(self, progress: ImportProgress) -> None:
        """Keep how far an import has come."""
        document = {"begun_at": progress.begun_at.isoformat(), "counts": dict(progress.counts)}
        row = {
            "digest": progress.digest,
            "name": progress.name,
            "rows_done": progress.rows_done,
            "updated_at": progress.updated_at,
            "document": json.dumps(document),
        }
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), [row])

    def forget_import(self, digest: str) -> None:
        """Forget an import."""
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.digest == digest))
