"""How much room a spool has left, and the last of it: kept for what makes room again, never for more readings.

Every change goes to the file's log first, also one that makes room. So where the disk is short the log is kept short,
and an append is refused while there is still room for forwarding what waits.
"""

from __future__ import annotations

import sys

from twin.errors import StorageFullError
from twin.storage.readings_file import ReadingsFile, Session

_RESERVE_BYTES = 16 * 1024 * 1024


class Room:
    """The room of a file: on its disk, within its limit, and on its own free pages."""

    def __init__(self, file: ReadingsFile) -> None:
        self._file = file

    def keep_log_short(self) -> None:
        """Write the log into the file if the disk is short."""
        if self.is_disk_short():
            self._file.give_back()

    def is_disk_short(self) -> bool:
        """Whether the disk could soon not hold what is in the log: the file may grow by all of it."""
        free, total = self._file.disk_bytes()
        return free < 2 * self._reserve(total) + self._file.log_bytes()

    def is_short(self, session: Session) -> bool:
        """Whether little more than the reserve is left."""
        free, total = self._file.disk_bytes()
        return self._left(session, free) < 2 * self._reserve(total)

    def require_reserve(self, session: Session) -> None:
        """Raise StorageFullError when only the reserve is left."""
        free, total = self._file.disk_bytes()
        reserve = self._reserve(total)
        if self._left(session, free) < reserve or free < reserve / 2:
            raise StorageFullError(
                f"no room left for {self._file.path}: the last {reserve / 1e6:.0f} MB are kept for emptying it; free "
                "disk space, raise its limit, or bring InfluxDB back; nothing was stored"
            )

    def _left(self, session: Session, free_on_disk: float) -> float:
        pages, free_pages, page_bytes = self._file.pages(session)
        growth = free_on_disk
        if self._file.max_bytes is not None:
            growth = min(growth, self._file.max_bytes - pages * page_bytes)
        return growth + free_pages * page_bytes

    def _reserve(self, disk_bytes: float) -> float:
        """Return 16 MB, less on a small disk or in a small file."""
        return min(_RESERVE_BYTES, min(disk_bytes, self._file.max_bytes or sys.maxsize) // 20)
