"""Other spools in front of the same bucket: what of a parcel came through one of them first.

InfluxDB overwrites what it holds without a word, so it is asked before a parcel is written. Of what it holds, a repeat
is left out, and so is another value for the same sensor and time: the first one stays. A reading that was judged anew
is written over what it was. Two spools that ask and write in the same moment do not see each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from twin.clock import format_time
from twin.ports import DeadLetter
from twin.readings import Reading
from twin.storage.influx_lines import arrived_in, key_of
from twin.storage.readings_rows import from_microseconds, raw

TOPIC = "spool/"
"""What the topic of a conflict's letter begins with, before the sensor's id: nobody takes it, so it is not requeued."""

Key = tuple[str, datetime]


@dataclass(slots=True)
class Sifted:
    """What of a parcel is to be written, the letters of its conflicts, and the readings that stand in place of ours."""

    lines: list[str] = field(default_factory=list)
    conflicts: list[DeadLetter] = field(default_factory=list)
    firsts: dict[Key, Reading] = field(default_factory=dict)


def keys_of(lines: Sequence[str]) -> list[Key]:
    """Return the key of every line."""
    return [(sensor_id, from_microseconds(time)) for sensor_id, time in map(key_of, lines)]


def sift(lines: Sequence[str], held: Mapping[Key, Reading], judged_anew: Collection[Key]) -> Sifted:
    """Set apart the lines of readings of which the bucket holds one already; `judged_anew` are keys of the lines."""
    sifted = Sifted()
    for line, key in zip(lines, keys_of(lines), strict=True):
        first = held.get(key)
        if first is None:
            sifted.lines.append(line)
            continue
        *arrived, available_at = arrived_in(line)
        if tuple(arrived) != raw(first):
            sifted.conflicts.append(_letter(line, key, available_at, first))
            sifted.firsts[key] = first
        elif key in judged_anew:
            sifted.lines.append(line)
        else:
            sifted.firsts[key] = first
    return sifted


def _letter(line: str, key: Key, available_at: datetime, first: Reading) -> DeadLetter:
    value, unit, _ = arrived_in(line)
    detail = (
        f"{value!r} {unit} came for {key[0]} at {format_time(key[1])}, but {first.raw_value!r} {first.raw_unit} had "
        "come through another ingester; the first one stays"
    )
    return DeadLetter(0, available_at, f"{TOPIC}{key[0]}", line.encode(), "conflict", detail)
