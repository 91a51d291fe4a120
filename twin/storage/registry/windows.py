"""Windows that wait to be looked at again, and sensors that are stale by their sender's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from twin.storage.registry.part import Part
from twin.storage.registry.schema import stale_marks
from twin.storage.registry.schema import windows as table
from twin.storage.registry.trust import forget_touched
from twin.windows import Window, merged

_AT_ONCE = 500


class SqlWindows(Part):
    """Fulfils `twin.ports.WindowLog`."""

    def reopen(self, windows: Sequence[Window]) -> None:
        """Keep windows durably until they are settled; overlapping ones of one call become one."""
        rows = [{"sensor_id": w.sensor_id, "start": w.start, "end": w.end} for w in merged(windows)]
        if rows:
            with self._database.write() as connection:
                connection.execute(insert(table), rows)

    def reopened(self, limit: int = 1000) -> list[Window]:
        """Return up to `limit` windows that wait, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.window_id).limit(limit)).all()
        return [Window(row.sensor_id, row.start, row.end, row.window_id) for row in rows]

    def settle(self, windows: Sequence[Window]) -> None:
        """Forget windows that have been looked at, and with them the trust of the days they touch."""
        ids = [window.window_id for window in windows]
        if not ids:
            return
        with self._database.write() as connection:
            forget_touched(connection, windows)
            for first in range(0, len(ids), _AT_ONCE):
                connection.execute(delete(table).where(table.c.window_id.in_(ids[first : first + _AT_ONCE])))


class SqlStaleMarks(Part):
    """Fulfils `twin.ports.StaleMarks`."""

    def mark_stale(self, marks: Mapping[str, datetime]) -> None:
        """Note since when sensors are stale; a later mark replaces an earlier one."""
        if marks:
            rows = [{"sensor_id": sensor_id, "since": marks[sensor_id]} for sensor_id in sorted(marks)]
            with self._database.write() as connection:
                connection.execute(self._database.upsert(stale_marks), rows)

    def stale_marks(self) -> dict[str, datetime]:
        """Return since when each sensor was last said to be stale."""
        with self._database.read() as connection:
            return {row.sensor_id: row.since for row in connection.execute(select(stale_marks))}
