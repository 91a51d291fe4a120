"""JSON as a measuring network must read it: a repeated key is an error, not "the last one wins"."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import msgspec

from ingest.decoders.base import Refusal, UndecodableError

DEEPEST = 64
"""Deeper nesting is refused: no measurement needs it, and writing it out again would exhaust the stack."""


def load(payload: bytes) -> object:
    """Return the JSON value in `payload`, with NaN, Infinity and 1e999 as the floats they spell.

    They are no JSON, but the item that holds one is refused later by name, and its neighbours are kept.

    Raises:
        UndecodableError: If it is not UTF-8, not JSON, nested too deeply, or repeats a key within an object.
    """
    try:
        value = json.loads(payload.decode("utf-8"), object_pairs_hook=_without_repeats)
        _refuse_depth(value)
        return value
    except RecursionError as error:
        raise UndecodableError("the JSON is nested too deeply") from error
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError, an integer of thousands of digits
        raise UndecodableError(f"not JSON: {error}") from error


def as_finite(value: object) -> float:
    """Return a JSON number as a finite float.

    Raises:
        UndecodableError: If it is no number (true, "3.2" and null are none), or `not_finite`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UndecodableError(f"the value must be a JSON number, not {brief(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UndecodableError("the value is not finite", Refusal.NOT_FINITE)
    return number


def brief(value: object) -> str:
    """Return `value` as text short enough for a log line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def dump(value: object) -> bytes:
    """Write what `load` returned, non-finite floats and lone surrogates included, compactly, always the same way."""
    try:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
    except ValueError as error:  # an integer too long to print
        raise UndecodableError(f"cannot be written as JSON: {error}") from error


def _refuse_depth(value: object) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return
    raise RecursionError


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UndecodableError("a key comes twice in one object")
    return found


def quotes_in(payload: bytes) -> int:
    """Count the quotation marks: two for every key and every string, unless something is escaped or repeated."""
    return payload.count(b'"')


DecodeError = msgspec.MsgspecError
"""What msgspec raises for text that is no JSON or not of the expected shape."""
