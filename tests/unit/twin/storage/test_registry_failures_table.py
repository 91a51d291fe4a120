"""Each error of a driver becomes the error that tells the caller what to do next."""

from __future__ import annotations

import sqlite3

import psycopg.errors
import pytest
from sqlalchemy import exc

from twin.errors import ConflictError, InputError, NaiveDatetimeError, StorageFullError, TwinError, UnavailableError
from twin.storage.registry.failures import translated


def _from_sqlite(name: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = getattr(sqlite3, name)
    return error


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (_from_sqlite("SQLITE_FULL"), StorageFullError),
        (_from_sqlite("SQLITE_IOERR_SHMSIZE"), StorageFullError),
        (_from_sqlite("SQLITE_BUSY"), UnavailableError),
        (_from_sqlite("SQLITE_BUSY_SNAPSHOT"), UnavailableError),
        (_from_sqlite("SQLITE_LOCKED"), UnavailableError),
        (_from_sqlite("SQLITE_READONLY"), UnavailableError),
        (_from_sqlite("SQLITE_IOERR"), UnavailableError),
        (_from_sqlite("SQLITE_CORRUPT"), UnavailableError),
        (_from_sqlite("SQLITE_CONSTRAINT_UNIQUE"), ConflictError),
        (_from_sqlite("SQLITE_TOOBIG"), InputError),
        (sqlite3.ProgrammingError("without a code"), UnavailableError),
        (psycopg.errors.DiskFull(), StorageFullError),
        (psycopg.errors.LockNotAvailable(), UnavailableError),
        (psycopg.errors.DeadlockDetected(), UnavailableError),
        (psycopg.errors.AdminShutdown(), UnavailableError),
        (psycopg.errors.TooManyConnections(), UnavailableError),
        (psycopg.errors.ReadOnlySqlTransaction(), UnavailableError),
        (psycopg.OperationalError("connection refused"), UnavailableError),
        (psycopg.errors.UniqueViolation(), ConflictError),
        (psycopg.errors.ForeignKeyViolation(), ConflictError),
        (psycopg.errors.NumericValueOutOfRange(), InputError),
        (psycopg.errors.ProgramLimitExceeded(), InputError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value) or type(value).__name__,
)
def test_the_kind_of_error_follows_the_cause(cause: Exception, expected: type[TwinError]) -> None:
    wrapped = exc.DBAPIError("INSERT INTO customers …", {"street": "Rua da Água"}, cause, hide_parameters=True)
    with pytest.raises(TwinError) as caught, translated("sqlite:///registry.sqlite"):
        raise wrapped
    assert type(caught.value) is expected
    assert caught.value.__cause__ is wrapped
    assert "sqlite:///registry.sqlite" in str(caught.value)
    assert "Rua da Água" not in str(caught.value)


def test_an_error_of_ours_inside_a_statement_stays_itself() -> None:
    ours = NaiveDatetimeError("2026-01-01T00:00:00 has no zone")
    with pytest.raises(NaiveDatetimeError) as caught, translated("db"):
        raise exc.StatementError("could not bind", "SELECT 1", {}, ours)
    assert caught.value is ours


def test_a_used_up_pool_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="in use"), translated("db"):
        raise exc.TimeoutError("QueuePool limit reached")


def test_other_errors_pass_as_they_are() -> None:
    with pytest.raises(ZeroDivisionError), translated("db"):
        1 / 0  # noqa: B018
