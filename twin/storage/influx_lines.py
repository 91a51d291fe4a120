"""A reading as InfluxDB line protocol, and back from the rows of a query.

One measurement; one tag, `sensor_id`; fields `value` and `raw_value` (always floats: InfluxDB refuses a field that is
an integer here and a float there), `unit`, `raw_unit`, `quality`, `reasons` (JSON, or nothing), `available_us` (when we
learned it, microseconds since 1970), and where there is one `seq`. Times are in whole microseconds. Tags cannot hold a
backslash or a control character, so these and `%` are percent-encoded; nothing about customers is written.

The same tags and time overwrite field by field, so a reading that is judged anew replaces the old one: that is why the
quality is no tag, and why `reasons` is written even where there are none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import unquote

from twin.readings import Quality, Reading
from twin.storage.readings_rows import EPOCH, from_microseconds, reasons_to_text, text_to_reasons, to_microseconds

MEASUREMENT = "reading"

_UNSAFE_IN_TAG = re.compile(r"[%\\\x00-\x1f\x7f]")
_ESCAPED_IN_TAG = re.compile(r"([,= ])")
_ESCAPED_IN_STRING = re.compile(r'(["\\])')

FIRST_MOMENT = EPOCH + timedelta(microseconds=-(2**63) // 1000 + 2)
"""The oldest moment that InfluxDB can keep (nanoseconds in 64 bits), in 1677."""
LAST_MOMENT = EPOCH + timedelta(microseconds=(2**63 - 1) // 1000 - 1)
"""The youngest moment that InfluxDB can keep, in 2262."""


def tag_text(sensor_id: str) -> str:
    """Return the sensor's id as it is kept in the tag."""
    return _UNSAFE_IN_TAG.sub(lambda found: f"%{ord(found[0]):02X}", sensor_id)


def sensor_of_tag(text: str) -> str:
    """Return the sensor id that `tag_text` wrote."""
    return unquote(text)


def to_line(reading: Reading) -> str:
    """Write one reading as one line, in microseconds."""
    fields = [
        f"value={float(reading.value)!r}",
        f"raw_value={float(reading.raw_value)!r}",
        f"unit={_string(reading.unit)}",
        f"raw_unit={_string(reading.raw_unit)}",
        f"available_us={to_microseconds(reading.available_at)}i",
        f"quality={_string(reading.quality)}",
        f"reasons={_string(reasons_to_text(reading.reasons))}",
    ]
    if reading.seq is not None:
        fields.append(f"seq={reading.seq}i")
    return (
        f"{MEASUREMENT},sensor_id={_tag(reading.sensor_id)} {','.join(fields)} {to_microseconds(reading.observed_at)}"
    )


def from_row(row: Mapping[str, str]) -> Reading | None:
    """Make a reading from one pivoted row; None if the point was not written by h2twin (fields are lacking).

    Raises:
        ValueError: If a field of ours holds something that we never write.
    """
    if not all(row.get(name) for name in ("sensor_id", "quality", "value", "raw_value", "available_us")):
        return None
    seq = row.get("seq")
    return Reading(
        sensor_id=sensor_of_tag(row["sensor_id"]),
        observed_at=moment_of(row["_time"]),
        available_at=from_microseconds(int(row["available_us"])),
        value=float(row["value"]),
        unit=row.get("unit", ""),
        raw_value=float(row["raw_value"]),
        raw_unit=row.get("raw_unit", ""),
        quality=Quality(row["quality"]),
        reasons=text_to_reasons(row.get("reasons", "")),
        seq=int(seq) if seq else None,
    )


def moment_of(text: str) -> datetime:
    """Read a time as InfluxDB writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


@lru_cache(maxsize=100_000)
def _tag(sensor_id: str) -> str:
    return _ESCAPED_IN_TAG.sub(r"\\\1", tag_text(sensor_id))


@lru_cache(maxsize=10_000)
def _string(text: str) -> str:
    escaped = _ESCAPED_IN_STRING.sub(r"\\\1", text)
    return f'"{escaped}"'
