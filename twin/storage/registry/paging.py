"""Lists newest first, page by page: the cursor names the last row seen, so new rows never shift a page."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, Connection, Row, Select, literal, tuple_

from twin.clock import as_utc
from twin.errors import InputError
from twin.ports import Page

T = TypeVar("T")
LONGEST_PAGE = 1000


@dataclass(frozen=True)
class Listing:
    """A list called `name`, in order of a moment and, where moments are equal, of a unique id."""

    name: str
    moment: Column[Any]
    identity: Column[Any]

    def page(
        self,
        connection: Connection,
        query: Select[*tuple[Any, ...]],
        record: Callable[[Row[*tuple[Any, ...]]], T],
        *,
        limit: int,
        cursor: str | None,
    ) -> Page[T]:
        """Return up to `limit` rows of `query` after `cursor`, newest first, each made into a record.

        Raises:
            InputError: If the limit is not 1 to 1000, or the cursor is none of this list's.
        """
        if not 1 <= limit <= LONGEST_PAGE:
            raise InputError(f"limit is {limit}; it must be 1 to {LONGEST_PAGE}")
        if cursor is not None:
            moment, last = self._read(cursor)
            seen = tuple_(literal(moment, self.moment.type), literal(last, self.identity.type))
            query = query.where(tuple_(self.moment, self.identity) < seen)
        newest_first = query.order_by(self.moment.desc(), self.identity.desc()).limit(limit + 1)
        rows = connection.execute(newest_first).all()
        shown = rows[:limit]
        is_last = len(rows) <= limit
        return Page(tuple(record(row) for row in shown), None if is_last else self._write(shown[-1]))

    def _write(self, row: Row[*tuple[Any, ...]]) -> str:
        key = (self.name, row._mapping[self.moment], row._mapping[self.identity])
        return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()

    def _read(self, cursor: str) -> tuple[datetime, int | str]:
        identity = int if isinstance(self.identity.type, BigInteger) else str
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            text = base64.b64decode(padded, altchars=b"-_", validate=True)
            name, moment, last = msgspec.json.decode(text, type=tuple[str, datetime, identity])  # type: ignore[valid-type]
        except (ValueError, msgspec.MsgspecError) as error:
            raise InputError("the cursor is broken; start the list again without it") from error
        if name != self.name:
            raise InputError(f"the cursor belongs to the list of {name}; start {self.name} without it")
        return as_utc(moment), last
