"""Every run as issued, failed ones included."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select

from twin.errors import ConflictError, NotFoundError
from twin.forecasts import Run, RunKind, RunStatus
from twin.ports import Page
from twin.storage.registry.documents import Document
from twin.storage.registry.paging import Listing
from twin.storage.registry.part import Part
from twin.storage.registry.schema import runs as table

_RUN = Document(Run)
_LISTING = Listing("runs", table.c.issued_at, table.c.run_number)


class SqlForecasts(Part):
    """Fulfils `twin.ports.ForecastArchive`. Of two runs issued at one moment the one saved later is the newer."""

    def save_run(self, run: Run) -> None:
        """Keep a run; its id is new, else a ConflictError leaves the archived one as it was issued."""
        row = {
            "run_id": run.run_id,
            "kind": run.kind,
            "status": run.status,
            "issued_at": run.issued_at,
            "document": _RUN.pack(run),
        }
        try:
            with self._database.write() as connection:
                connection.execute(insert(table), row)
        except ConflictError as error:
            raise ConflictError(f"run {run.run_id!r} is archived already; a new run needs a new id") from error

    def latest_run(self, kind: RunKind, *, good_only: bool, issued_by: datetime | None = None) -> Run | None:
        """Return the newest run of a kind (issued_at <= issued_by), or None. Good is any status but failed."""
        query = select(table).where(table.c.kind == kind)
        if good_only:
            query = query.where(table.c.status != RunStatus.FAILED)
        if issued_by is not None:
            query = query.where(table.c.issued_at <= issued_by)
        newest_first = query.order_by(table.c.issued_at.desc(), table.c.run_number.desc())
        with self._database.read() as connection:
            row = connection.execute(newest_first.limit(1)).one_or_none()
        return None if row is None else _run(row)

    def runs(
        self,
        kind: RunKind,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Run]:
        """List runs by issued_at (start inclusive, end exclusive), newest first."""
        query = select(table).where(table.c.kind == kind)
        if start is not None:
            query = query.where(table.c.issued_at >= start)
        if end is not None:
            query = query.where(table.c.issued_at < end)
        with self._database.read() as connection:
            return _LISTING.page(connection, query, _run, limit=limit, cursor=cursor)

    def run(self, run_id: str) -> Run:
        """Return one run or raise NotFoundError."""
        with self._database.read() as connection:
            row = connection.execute(select(table).where(table.c.run_id == run_id)).one_or_none()
        if row is None:
            raise NotFoundError(f"there is no run {run_id!r}")
        return _run(row)

    def count_runs(self) -> dict[str, int]:
        """Return the number of good forecasts by kind; kinds without one are left out."""
        good = select(table.c.kind, func.count()).where(table.c.status != RunStatus.FAILED).group_by(table.c.kind)
        with self._database.read() as connection:
            return dict(connection.execute(good).all())


def _run(row: Row[*tuple[Any, ...]]) -> Run:
    return _RUN.unpack(bytes(row.document))
