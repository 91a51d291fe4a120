"""What waits in a spool, read back by a reader of line protocol of the tests' own."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

from twin.readings import Quality, Reading
from twin.storage.spool import Spool
from twin.storage.spool_journal import Parcel
from twin.storage.spool_quarantine import RefusedLine

_LINE = re.compile(r"reading,sensor_id=((?:[^\\\\ ,]|\\\\.)+) (.+) (-?\d+)")
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]+)(?:,|$)')


def waiting_lines(spool: Spool) -> list[Reading]:
    """Return what the next parcel holds, all in one."""
    parcel = spool.next_parcel(10**9)
    return readings_in(parcel) if parcel else []


def send_everything(spool: Spool) -> list[Reading]:
    """Do what the forwarder does, with a server that takes everything; return what it was given."""
    sent = []
    while parcel := spool.next_parcel(500):
        sent += readings_in(parcel)
        spool.delivered(parcel)
    return sent


def readings_in(parcel: Parcel) -> list[Reading]:
    """Return the readings of a parcel in order."""
    lines = gzip.decompress(parcel.packed).decode().splitlines()
    assert len(lines) == parcel.readings
    return [_reading(line) for line in lines]


def refused_line(parcel: Parcel, reading: Reading, reason: str = "reason") -> RefusedLine:
    """Say of the line of a reading in a parcel that the server refuses it."""
    for line in gzip.decompress(parcel.packed).decode().splitlines():
        if _reading(line) == reading:
            return RefusedLine(line, reason)
    raise AssertionError(f"{reading} is not in the parcel")


def _reading(line: str) -> Reading:
    found = _LINE.fullmatch(line)
    assert found, line
    fields = dict(_FIELD.findall(found[2]))
    words = {name: re.sub(r"\\(.)", r"\1", text[1:-1]) for name, text in fields.items() if text.startswith('"')}
    return Reading(
        sensor_id=unquote(re.sub(r"\\(.)", r"\1", found[1])),
        observed_at=_moment(found[3]),
        available_at=_moment(fields["available_us"].removesuffix("i")),
        value=float(fields["value"]),
        unit=words["unit"],
        raw_value=float(fields["raw_value"]),
        raw_unit=words["raw_unit"],
        quality=Quality(words["quality"]),
        reasons=tuple(json.loads(words["reasons"])) if words["reasons"] else (),
        seq=int(fields["seq"].removesuffix("i")) if "seq" in fields else None,
    )


def _moment(us: str) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(us))
