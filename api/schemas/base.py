"""What every answer has in common: fields read from the twin's own records, lists in pages, times with a zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from twin.clock import parse_time
from twin.errors import InputError
from twin.ports import Page

T = TypeVar("T")
S = TypeVar("S")


class Out(BaseModel):
    """An answer; `Out.model_validate(record)` reads the record's attributes."""

    model_config = ConfigDict(from_attributes=True)


class In(BaseModel):
    """A body that is sent to us; unknown fields are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(extra="forbid")


def example(value: dict[str, Any], base: type[BaseModel] = Out) -> ConfigDict:
    """Return the configuration of a model whose documentation shows `value`."""
    return ConfigDict(**{**base.model_config, "json_schema_extra": {"examples": [value]}})


class PageOut(BaseModel, Generic[T]):
    """One page of a list. `next_cursor` asks for the next one; null says that this was the last."""

    items: list[T]
    next_cursor: str | None = None


def page_out(page: Page[S], to_out: Callable[[S], T]) -> PageOut[T]:
    """Show a page of records."""
    return PageOut(items=[to_out(item) for item in page.items], next_cursor=page.next_cursor)


def _to_moment(value: object) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError("write a time as text, RFC 3339 with a zone, for instance 2026-01-01T00:00:00Z")
    try:
        return parse_time(value)
    except InputError as error:
        raise ValueError(str(error)) from error


Moment = Annotated[
    datetime, BeforeValidator(_to_moment), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
"""A time as callers must write it: RFC 3339 with a zone; inside it is UTC."""
