"""One SQLite file shared by several processes and threads, durable after every commit.

WAL (a write-ahead log) lets readers go on while one writes; `synchronous=FULL` makes a commit survive a power cut. A
transaction borrows one connection for as long as it lasts, so no connection is ever used by two threads at once. Write
transactions begin IMMEDIATE: whoever decides something from what is stored holds the right to write already.

The file carries our application id and the version of its layout: older ones are migrated, newer ones refused.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
import threading
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from twin.errors import ConfigError, StorageFullError, TwinError, UnavailableError
from twin.ports import Fullness

_CHECKPOINT_PAGES = 20_000
_LOG_LIMIT_BYTES = 256 * 1024 * 1024
_CACHE_KIB = 32_000
_FULL_DISK_BYTES = 1024 * 1024


@dataclass(slots=True)
class Session:
    """A borrowed connection in a transaction, and the ids of sensors and words it already looked up.

    `phrases` are texts that were made from such ids.
    """

    connection: sqlite3.Connection
    series: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    phrases: dict[Hashable, str] = field(default_factory=dict)
    synchronous: str = "FULL"

    def forget(self) -> None:
        """Drop looked-up ids: a rolled-back transaction may have made them."""
        self.series.clear()
        self.words.clear()
        self.texts.clear()
        self.phrases.clear()


class ReadingsFile:
    """Opens the file, brings its layout up to date, and lends connections.

    `layout` is a script for each version, in order; `max_bytes` stops the file from growing further (None: the disk
    decides); a writer waits up to `busy_timeout_s` seconds for another one.

    Raises:
        ConfigError: If the file is not ours or was written by a newer version.
        UnavailableError: If it cannot be opened, StorageFullError if the disk is full.
    """

    def __init__(
        self,
        path: Path,
        *,
        application_id: int,
        layout: Sequence[str],
        busy_timeout_s: float = 10.0,
        max_bytes: int | None = None,
    ) -> None:
        self.path = path
        self._folder = path.parent
        self._log = path.with_name(f"{path.name}-wal")
        self._busy_timeout_s = busy_timeout_s
        self.max_bytes = max_bytes
        self._idle: list[Session] = []
        self._lock = threading.Lock()
        self._closed = False
        with self._errors_told(), self._borrowed() as session:
            _take_up(session.connection, path, application_id, layout, busy_timeout_s)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Lend a connection that sees one unchanging state of the file."""
        with self._transaction("BEGIN") as session:
            yield session

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Session]:
        """Lend the right to write; commit at the end, or leave nothing behind on any error.

        A commit that need not be `durable` does not wait for the disk: a power cut may undo it, whole, until the next
        durable one. A crash of the process does not.
        """
        with self._transaction("BEGIN IMMEDIATE", "FULL" if durable else "NORMAL") as session:
            yield session

    def require_room(self) -> None:
        """Raise StorageFullError if the disk has no room for another batch."""
        if self._disk_is_full():
            raise StorageFullError(f"the disk under {self.path} is full: free disk space")

    def fullness(self) -> list[Fullness]:
        """Return how full the disk under the file is, and the file itself where it has a limit.

        Raises:
            UnavailableError: If the disk or the file cannot be asked.
        """
        found = []
        if self.max_bytes is not None:
            with self.reading() as session:
                pages, free, page_bytes = self.pages(session)
            found.append(Fullness("file", (pages - free) * page_bytes, self.max_bytes))
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError as error:
            raise UnavailableError(f"the disk under {self.path} cannot be asked: {error}") from error
        return [*found, Fullness("disk", disk.used, disk.used + disk.free)]

    def disk_bytes(self) -> tuple[float, float]:
        """Return the free bytes of the disk and all of them; unknown counts as boundless."""
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError:
            return math.inf, math.inf
        return disk.free, disk.total

    def pages(self, session: Session) -> tuple[int, int, int]:
        """Return the number of pages of the file, how many of them are free, and the bytes of each."""
        names = ("page_count", "freelist_count", "page_size")
        pages, free, page_bytes = (session.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        return pages, free, page_bytes

    def log_bytes(self) -> int:
        """Return the size of the write-ahead log: what the file may grow by when it is written into it."""
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def give_back(self) -> None:
        """Write the log into the file and give its room back to the disk, as far as readers allow."""
        with self._errors_told(), self._borrowed() as session:
            session.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close idle connections now and borrowed ones when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for session in idle:
            session.connection.close()

    @contextmanager
    def _transaction(self, begin: str, synchronous: str = "FULL") -> Iterator[Session]:
        with self._errors_told(), self._borrowed() as session:
            try:
                if session.synchronous != synchronous:
                    session.connection.execute(f"PRAGMA synchronous={synchronous}")
                    session.synchronous = synchronous
                session.connection.execute(begin)
                yield session
                session.connection.execute("COMMIT")
            except BaseException:
                session.forget()
                if session.connection.in_transaction:
                    with suppress(sqlite3.Error):
                        session.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _borrowed(self) -> Iterator[Session]:
        with self._lock:
            if self._closed:
                raise UnavailableError(f"{self.path} is closed")
            session = self._idle.pop() if self._idle else None
        session = session or Session(self._connect())
        try:
            yield session
        finally:
            with self._lock:
                is_kept = not self._closed and not session.connection.in_transaction
                if is_kept:
                    self._idle.append(session)
            if not is_kept:
                session.connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={_LOG_LIMIT_BYTES}")
        connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        if self.max_bytes is not None:
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count={max(1, self.max_bytes // page_bytes)}")
        return connection

    @contextmanager
    def _errors_told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._told(error) from error

    def _told(self, error: sqlite3.Error) -> TwinError:
        code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
        if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._disk_is_full()):
            return StorageFullError(
                f"no room left for {self.path} ({error}): free disk space or raise its limit; nothing was stored"
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return UnavailableError(f"{self.path} was locked by another process for {self._busy_timeout_s:g} s")
        if code == sqlite3.SQLITE_NOTADB:
            return ConfigError(f"{self.path} is not an SQLite file: name another file, or restore it from a backup")
        if code == sqlite3.SQLITE_CORRUPT:
            return UnavailableError(f"{self.path} is damaged ({error}): stop h2twin and restore it from a backup")
        return UnavailableError(f"{self.path} cannot be used ({error}): check that its folder exists and is writable")

    def _disk_is_full(self) -> bool:
        return self.disk_bytes()[0] < _FULL_DISK_BYTES


def _take_up(
    connection: sqlite3.Connection, path: Path, application_id: int, layout: Sequence[str], busy_timeout_s: float
) -> None:
    """Switch the file to WAL and run the layout scripts it lacks, in one transaction."""
    _refuse_foreign(connection, path, application_id, len(layout))
    _switch_to_wal(connection, busy_timeout_s)
    if _version(connection) == len(layout):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        _refuse_foreign(connection, path, application_id, len(layout))
        for script in layout[_version(connection) :]:
            for statement in filter(None, map(str.strip, script.split(";"))):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id={application_id}")
        connection.execute(f"PRAGMA user_version={len(layout)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_foreign(connection: sqlite3.Connection, path: Path, application_id: int, newest: int) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    if owner != application_id and not (is_empty and owner == 0):
        raise ConfigError(f"{path} is not the file h2twin expects there: name another one; it was left untouched")
    if _version(connection) > newest:
        raise ConfigError(
            f"{path} has layout {_version(connection)}, this h2twin knows layouts up to {newest}: "
            "upgrade h2twin, or use another data directory; it was left untouched"
        )


def _switch_to_wal(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    """Set WAL mode; SQLite does not wait for others here, so we do."""
    end = time.monotonic() + busy_timeout_s
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise ConfigError(f"the file system cannot hold a WAL database (got {mode!r}): use a local disk")
        return
