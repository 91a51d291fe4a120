"""A reading as InfluxDB line protocol, and back from the rows of a query.

One measurement; one tag, `sensor_id`; fields `value` and `raw_value` (always floats: InfluxDB refuses a field that is
an integer here and a float there), `unit`, `raw_unit`, `quality`, `reasons` (a JSON list), `available_us` (when we
learned it, microseconds since 1970), and where there is one `seq`. Times are in whole microseconds. Tags cannot hold a
backslash or a control character, so these and `%` are percent-encoded; nothing about customers is written.

A line is its sensor's head, two numbers, the words (which seldom change), and the rest:

    reading,sensor_id=P-1 value=31.5,raw_value=3.09,unit="m",...,available_us=1767225600000000i,seq=7i 1767225600000000

The same tags and time overwrite field by field, so a reading that is judged anew replaces the old one: that is why the
quality is no tag, and why `reasons` is written even where there are none.

No text is written empty: InfluxDB 2.7 loses an empty text that follows others in a column of its answer, and whatever
is below it moves up to another reading. No reasons are an empty JSON list; a unit of blanks only, or of nothing, is
written with one blank more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import unquote

from twin.readings import Quality, Reading
from twin.storage.readings_rows import EPOCH, from_microseconds, text_to_reasons

MEASUREMENT = "reading"

_UNSAFE_IN_TAG = re.compile(r"[%\\\x00-\x1f\x7f]")
_ESCAPED_IN_TAG = re.compile(r"([,= ])")
_ESCAPED_IN_STRING = re.compile(r'(["\\])')
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_ARRIVED = re.compile(
    rf"{MEASUREMENT},sensor_id=(?:[^\\ ]|\\.)* value=[^,]+,raw_value=([^,]+),unit={_TEXT},raw_unit={_TEXT},"
    rf"quality={_TEXT},reasons={_TEXT},available_us=(-?\d+)i",
    re.DOTALL,
)
_KEY = re.compile(rf"{MEASUREMENT},sensor_id=((?:[^\\ ]|\\.)*) .* (-?\d+)", re.DOTALL)

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


def head_of(sensor_id: str) -> str:
    """Return how every line of a sensor begins, up to its value."""
    tag = _ESCAPED_IN_TAG.sub(r"\\\1", tag_text(sensor_id))
    return f"{MEASUREMENT},sensor_id={tag} value="


def words_of(unit: str, raw_unit: str, quality: Quality, reasons: str) -> str:
    """Return the fields that are words, and the name of the field that follows them; `reasons` as a row holds them."""
    texts = {"unit": _filled(unit), "raw_unit": _filled(raw_unit), "quality": quality, "reasons": reasons or "[]"}
    return "".join(f",{name}={_string(text)}" for name, text in texts.items()) + ",available_us="


def line(
    head: str, value: float, raw_value: float, words: str, available_us: int, seq: int | None, time_us: int
) -> str:
    """Write a reading as a line, in microseconds."""
    number = repr(value)
    raw_number = number if raw_value == value != 0 else repr(raw_value)  # minus zero equals zero
    if seq is None:
        return f"{head}{number},raw_value={raw_number}{words}{available_us}i {time_us}"
    return f"{head}{number},raw_value={raw_number}{words}{available_us}i,seq={seq}i {time_us}"


def key_of(line: str) -> tuple[str, int]:
    """Return the sensor of a line that was written here, and its time in microseconds."""
    found = _KEY.fullmatch(line)
    assert found, f"no line of ours: {line!r}"
    return sensor_of_tag(re.sub(r"\\(.)", r"\1", found[1])), int(found[2])


def arrived_in(line: str) -> tuple[float, str, datetime]:
    """Return the raw value, the raw unit and the available_at of a line that was written here."""
    found = _ARRIVED.match(line)
    assert found, f"no line of ours: {line!r}"
    return float(found[1]), _unfilled(re.sub(r"\\(.)", r"\1", found[3])), from_microseconds(int(found[6]))


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
        unit=_unfilled(row.get("unit", "")),
        raw_value=float(row["raw_value"]),
        raw_unit=_unfilled(row.get("raw_unit", "")),
        quality=Quality(row["quality"]),
        reasons=text_to_reasons(row.get("reasons", "")),
        seq=int(seq) if seq else None,
    )


def moment_of(text: str) -> datetime:
    """Read a time as InfluxDB writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def _filled(unit: str) -> str:
    return unit if unit.strip(" ") else f"{unit} "


def _unfilled(unit: str) -> str:
    return unit if unit.strip(" ") else unit[:-1]


@lru_cache(maxsize=10_000)
def _string(text: str) -> str:
    escaped = _ESCAPED_IN_STRING.sub(r"\\\1", text)
    return f'"{escaped}"'
