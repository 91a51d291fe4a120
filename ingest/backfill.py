"""What we ask a gateway for on `h2/{gateway_id}/backfill`: readings that are missing here, to be sent again.

```json
{"request_id": "8f1c...", "gaps": [{"sensor_id": "P-1", "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z",
                                    "first_seq": 18, "last_seq": 21}]}
```

`from` and `to` are the times of the readings before and after the gap, which we have; what lies between them is asked
for. `first_seq` and `last_seq` (inclusive) are there where numbers told of the gap; otherwise they are left out. The
gateway sends what it still has as ordinary messages, with their own times and numbers; there is no other answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from ingest.decoders import strict_json
from ingest.decoders.base import LONGEST_NAME, UndecodableError
from ingest.decoders.times import read_time
from twin.clock import format_time
from twin.gaps import Gap

MOST_IN_ONE = 200
"""Gaps in one message."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Readings of one sensor that are asked for: by number where both numbers are given, else between two times."""

    sensor_id: str
    after: datetime
    before: datetime
    first_seq: int | None = None
    last_seq: int | None = None


def encode_request(gaps: Sequence[Gap]) -> bytes:
    """Return the payload that asks for the readings of `gaps`."""
    return strict_json.dump({"request_id": uuid4().hex, "gaps": [_item(gap) for gap in gaps]})


def decode_request(payload: bytes) -> list[Wanted]:
    """Return what is asked for.

    Raises:
        UndecodableError: If it is no such request.
    """
    message = strict_json.load(payload)
    items = message.get("gaps") if isinstance(message, dict) else None
    if not isinstance(items, list):
        raise UndecodableError('a backfill request must be an object {"request_id": ..., "gaps": [...]}')
    return [_wanted(item) for item in items]


def _item(gap: Gap) -> dict[str, object]:
    item: dict[str, object] = {
        "sensor_id": gap.sensor_id,
        "from": format_time(gap.start),
        "to": format_time(gap.end),
    }
    return {**item, "first_seq": gap.first_seq, "last_seq": gap.last_seq} if gap.by_seq else item


def _wanted(item: object) -> Wanted:
    if not isinstance(item, dict):
        raise UndecodableError(f"a gap must be a JSON object, not {strict_json.brief(item)}")
    name, first, last = item.get("sensor_id"), item.get("first_seq"), item.get("last_seq")
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise UndecodableError("a gap must name its sensor")
    if not (isinstance(first, int | None) and isinstance(last, int | None)):
        raise UndecodableError("first_seq and last_seq must be whole numbers")
    return Wanted(name, read_time(item.get("from")), read_time(item.get("to")), first, last)
