"""The model files in use, one per kind; older ones are kept by hash."""

from __future__ import annotations

from sqlalchemy import select

from twin.network import NetworkKind
from twin.ports import ModelFile
from twin.storage.registry.part import Part
from twin.storage.registry.schema import model_files as table
from twin.storage.registry.schema import model_files_in_use as in_use


class SqlModelFiles(Part):
    """Fulfils `twin.ports.ModelFiles`."""

    def save_model_file(self, file: ModelFile) -> None:
        """Make `file` the one in use for its kind."""
        row = {column.name: getattr(file, column.name) for column in table.columns}
        with self._database.write() as connection:
            connection.execute(self._database.upsert(table), row)
            connection.execute(self._database.upsert(in_use), {"kind": file.kind, "sha256": file.sha256})

    def model_file(self, kind: NetworkKind) -> ModelFile | None:
        """Return the file in use, or None if none was imported."""
        used = (in_use.c.kind == table.c.kind) & (in_use.c.sha256 == table.c.sha256)
        with self._database.read() as connection:
            row = connection.execute(select(table).join(in_use, used).where(in_use.c.kind == kind)).one_or_none()
        if row is None:
            return None
        return ModelFile(
            kind=NetworkKind(row.kind),
            name=row.name,
            sha256=row.sha256,
            content=bytes(row.content),
            imported_at=row.imported_at,
        )
