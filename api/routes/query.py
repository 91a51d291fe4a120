"""What the list routes take: times, page sizes, ids and cursors, each refused with a sentence when it is wrong."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

from fastapi import Path, Query

from api.schemas.base import Moment
from twin.errors import InputError
from twin.ports import Page

T = TypeVar("T")

From = Annotated[Moment | None, Query(alias="from", description="Not before this time (inclusive).")]
To = Annotated[Moment | None, Query(alias="to", description="Before this time (exclusive).")]
KnownAt = Annotated[Moment | None, Query(description="Only what was known by this time.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many items.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next_cursor` of the page before.")]
NO_CONTROL = r"^[^\x00-\x1f\x7f]+$"
Id = Annotated[str, Path(min_length=1, max_length=200, pattern=NO_CONTROL)]
IdFilter = Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_CONTROL)]


def require_order(start: datetime | None, end: datetime | None) -> None:
    """Refuse a window that ends before it begins.

    Raises:
        InputError: If `end` lies before `start`.
    """
    if start is not None and end is not None and end < start:
        raise InputError(f"to ({end.isoformat()}) lies before from ({start.isoformat()})")


def make_cursor(of: str, key: str) -> str:
    """Write a cursor: `of` names the list it belongs to, `key` where the next page begins."""
    return base64.urlsafe_b64encode(json.dumps([of, key]).encode()).decode().rstrip("=")


def read_cursor(of: str, cursor: str | None) -> str | None:
    """Return the key in a cursor made for the list `of`, or None without a cursor.

    Raises:
        InputError: If the cursor is broken or belongs to another list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        made_for, key = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InputError("the cursor is broken: use next_cursor of the page before, or none at all") from error
    if made_for != of or not isinstance(key, str):
        raise InputError("the cursor belongs to another list: use next_cursor of the page before, or none at all")
    return key


def page_by_key(items: Sequence[T], key_of: Callable[[T], str], *, of: str, limit: int, cursor: str | None) -> Page[T]:
    """Return the page of `items`, put in order of their unique keys, that begins after the cursor's key."""
    after = read_cursor(of, cursor)
    rest = sorted((item for item in items if after is None or key_of(item) > after), key=key_of)
    page = tuple(rest[:limit])
    more = len(rest) > limit
    return Page(page, make_cursor(of, key_of(page[-1])) if more else None)
