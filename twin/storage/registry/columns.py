"""Column types that hold the same on SQLite and PostgreSQL, and refuse what only one of them could keep."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect, Double, Integer, Text
from sqlalchemy.types import TypeDecorator

from twin.clock import as_utc
from twin.errors import InputError


class Moment(TypeDecorator[datetime]):
    """An aware UTC moment, exact to the microsecond; a naive one is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC; SQLite keeps it as text without a zone, which sorts by time."""
        if value is None:
            return None
        moment = as_utc(value)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC, aware."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """Text in order of its code points on both databases; what PostgreSQL cannot keep is refused on both."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Text:
        """Return plain text; PostgreSQL is told to sort it like Python does, whatever its locale."""
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Return the text as a plain `str`, also for an enum."""
        return None if value is None else storable_text(value)


class Finite(TypeDecorator[float]):
    """A double that is a number: SQLite would silently keep NaN as NULL."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:  # noqa: ARG002
        """Return the number; refuse NaN and infinities."""
        if value is None:
            return None
        if not math.isfinite(value):
            raise InputError(f"{value} is not a finite number")
        return float(value)


Serial = BigInteger().with_variant(Integer, "sqlite")
"""The type of ids that the database counts up itself (SQLite does so for INTEGER only)."""


def storable_text(text: str) -> str:
    """Return `text` as a plain `str`.

    Raises:
        InputError: If it holds a NUL character or a lone surrogate, which PostgreSQL's text cannot keep.
    """
    plain = str(text)
    if "\x00" in plain:
        raise InputError(f"{plain[:80]!r} holds a NUL character")
    if not plain.isascii():
        try:
            plain.encode()
        except UnicodeEncodeError as error:
            raise InputError(f"{plain[:80]!r} is not valid Unicode") from error
    return plain


def mended_text(text: str) -> str:
    """Return `text` with what `storable_text` would refuse replaced by U+FFFD."""
    return text.replace("\x00", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
