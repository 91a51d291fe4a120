"""Reading a provider's JSON without trusting it: every way it can be wrong is an `InputError` that says where.

The standard library's reader takes NaN, Infinity, 1e999 and repeated keys in silence; here all of them are refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from twin.clock import parse_time
from twin.errors import InputError


def read_json(body: bytes) -> Any:
    """Return what the JSON text `body` holds.

    Raises:
        InputError: If it is no UTF-8, no JSON, nested too deeply, repeats a key, or holds a number that is not finite.
    """
    try:
        return json.loads(
            body.decode("utf-8-sig"), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_repeats
        )
    except RecursionError as error:
        raise InputError("the weather payload is nested too deeply to be one") from error
    except ValueError as error:
        raise InputError(f"the weather payload is no JSON: {error}") from error


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return `value` if it is a JSON object, else raise InputError naming `where`."""
    if not isinstance(value, dict):
        raise InputError(f"{where} should be an object, not {_shown(value)}")
    return value


def sequence(value: Any, where: str) -> Sequence[Any]:
    """Return `value` if it is a JSON array, else raise InputError naming `where`."""
    if not isinstance(value, list):
        raise InputError(f"{where} should be a list, not {_shown(value)}")
    return value


def text(value: Any, where: str) -> str:
    """Return `value` if it is a string, else raise InputError naming `where`."""
    if not isinstance(value, str):
        raise InputError(f"{where} should be a text, not {_shown(value)}")
    return value


def number(value: Any, where: str) -> float:
    """Return `value` as a float if it is a finite number, else raise InputError naming `where`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} should be a number, not {_shown(value)}")
    try:
        found = float(value)
    except OverflowError as error:
        raise InputError(f"{where} is too large a number") from error
    if not math.isfinite(found):
        raise InputError(f"{where} is {found}, which is no amount")
    return found


def amount(value: Any, where: str) -> float | None:
    """Return a rain amount (None stays None: unknown is not zero); a negative one is an InputError."""
    if value is None:
        return None
    found = number(value, where)
    if found < 0:
        raise InputError(f"{where} is {found}: rain cannot be negative")
    return found


def moment(value: Any, where: str) -> datetime:
    """Return an aware UTC time, else raise InputError naming `where`."""
    try:
        return parse_time(text(value, where))
    except InputError as error:
        raise type(error)(f"{where}: {error}") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _finite(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise ValueError(f"{digits[:20]} is too large a number")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for place, (key, _) in enumerate(pairs) if key in dict(pairs[:place]))
        raise ValueError(f"the key {repeated[:60]!r} stands there twice")
    return found


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"
