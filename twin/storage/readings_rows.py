"""How a reading looks in a row: times as whole microseconds since 1970 in UTC, trust as a number, reasons as JSON.

Nothing is rounded on the way in or out. What could not come back exactly is refused before anything is written.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from twin.errors import InputError, NaiveDatetimeError
from twin.readings import Quality, Reading

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_US = -62_135_596_800_000_000
"""The microsecond with which year 1 begins: no datetime is older."""
LAST_US = 253_402_300_799_999_999
"""The last microsecond of year 9999: no datetime is younger."""

QUALITY_CODES = {Quality.GOOD: 0, Quality.SUSPECT: 1, Quality.BAD: 2, Quality.ESTIMATED: 3}
"""The number of each quality in the file. Numbers are never given a second meaning."""
QUALITIES = {code: quality for quality, code in QUALITY_CODES.items()}

_INT64 = range(-(2**63), 2**63)


def to_microseconds(moment: datetime) -> int:
    """Return the whole microseconds from 1970-01-01T00:00Z to `moment`.

    Raises:
        NaiveDatetimeError: If `moment` has no zone.
    """
    try:
        since = moment - EPOCH
    except TypeError as error:
        raise NaiveDatetimeError(f"{moment.isoformat()} has no zone; a reading's times are aware") from error
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(us: int) -> datetime:
    """Return the UTC moment `us` microseconds after 1970-01-01T00:00Z."""
    return EPOCH + timedelta(microseconds=us)


@lru_cache(maxsize=4096)
def reasons_to_text(reasons: tuple[str, ...]) -> str:
    """Write reasons as a JSON list, none of them as the empty text."""
    return json.dumps([str(reason) for reason in reasons]) if reasons else ""


def text_to_reasons(text: str) -> tuple[str, ...]:
    """Read what `reasons_to_text` wrote."""
    return tuple(json.loads(text)) if text else ()


def is_storable(text: str) -> bool:
    """Whether `text` can be written as UTF-8 (lone surrogates cannot) and holds no control characters."""
    return not any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in text)


def require_exact(reading: Reading) -> None:
    """Return if the reading's numbers can be kept exactly.

    Raises:
        InputError: If a value is not finite, the sequence number does not fit, or the sensor has no id.
    """
    if not (math.isfinite(reading.value) and math.isfinite(reading.raw_value)):
        raise InputError(f"{reading.sensor_id} at {reading.observed_at}: {reading.raw_value!r} is not a finite value")
    if reading.seq is not None and reading.seq not in _INT64:
        raise InputError(f"{reading.sensor_id} at {reading.observed_at}: seq {reading.seq} does not fit 64 bits")
    if not reading.sensor_id:
        raise InputError(f"a reading at {reading.observed_at} names no sensor")


def verdict(reading: Reading) -> tuple[float, str, tuple[str, ...]]:
    """Return what judging decides of a reading; all else is what arrived."""
    return reading.value, reading.quality, reading.reasons


def raw(reading: Reading) -> tuple[float, str]:
    """Return what tells a repeat from a conflict: the value and unit that arrived."""
    return reading.raw_value, reading.raw_unit
