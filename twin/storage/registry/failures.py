"""The one place where a database's errors become ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from twin.errors import ConflictError, InputError, StorageFullError, TwinError, UnavailableError

_SQLITE_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})  # the second: no room for the WAL's index
_SQLITE_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_POSTGRES_FULL = "53100"
_POSTGRES_LOCKED = frozenset({"55P03", "40P01", "57014"})


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Turn whatever the database called `name` raises in the block into an error of `twin.errors`."""
    try:
        yield
    except exc.SQLAlchemyError as error:
        raise _as_ours(error, name) from error
    except OverflowError as error:
        raise InputError(f"a number is too large for the database {name}: {error}") from error


def _as_ours(error: exc.SQLAlchemyError, name: str) -> TwinError:
    cause = getattr(error, "orig", None)
    if isinstance(cause, TwinError):
        return cause
    if isinstance(error, exc.TimeoutError):
        return UnavailableError(f"every connection to the database {name} is in use; try again: {error}")
    if isinstance(cause, sqlite3.Error):
        return _sqlite_error(cause, name)
    return _postgres_error(cause or error, name)


def _sqlite_error(cause: sqlite3.Error, name: str) -> TwinError:
    code: int = getattr(cause, "sqlite_errorcode", 0)
    primary = code & 0xFF
    if code in _SQLITE_FULL or primary in _SQLITE_FULL:
        return StorageFullError(f"no room left for the database {name}: free disk space, then try again ({cause})")
    if primary in _SQLITE_LOCKED:
        return UnavailableError(f"the database {name} is locked by another process; try again ({cause})")
    if primary in _SQLITE_DAMAGED:
        return UnavailableError(f"the database {name} is damaged: restore it from a backup ({cause})")
    if primary == sqlite3.SQLITE_CONSTRAINT:
        return ConflictError(f"the database {name} holds this already, or lacks what it refers to ({cause})")
    if primary == sqlite3.SQLITE_TOOBIG:
        return InputError(f"one item is too large for the database {name} ({cause})")
    return UnavailableError(f"the database {name} cannot be used: check its file and folder ({cause})")


def _postgres_error(cause: BaseException, name: str) -> TwinError:
    state = getattr(cause, "sqlstate", None) or ""
    said = str(cause).strip()
    if state == _POSTGRES_FULL:
        return StorageFullError(f"no room left for the database {name}: free its disk, then try again ({said})")
    if state in _POSTGRES_LOCKED:
        return UnavailableError(f"the database {name} is locked by another process; try again ({said})")
    if state.startswith("23"):
        return ConflictError(f"the database {name} holds this already, or lacks what it refers to ({said})")
    if state.startswith(("22", "54")):
        return InputError(f"the database {name} cannot keep this ({said})")
    return UnavailableError(f"the database {name} does not answer as it should: check server and access ({said})")
