"""The judge: holds every ledger against every stored row and every dead letter, one by one.

What was acknowledged must be stored or be a dead letter, never both and never twice; nothing may be there that nobody
sent. Of readings that contradict each other (same sensor, same time) exactly one is stored and the others are dead.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faults.ledger import Item, Key, items_of, read, to_us
from servers.influxdb import Influx

StoredRow = tuple[str, int, float]
"""A sensor, a moment in microseconds, and the value as it was received."""
Letter = tuple[str, bytes, str]
"""Topic, payload and reason of a dead letter."""

_RATE_LIMITED = "rate_limited"
_TOLD_AT_MOST = 5


@dataclass
class Reckoning:
    """What became of everything that was acknowledged, and each thing that went wrong (empty: nothing did)."""

    acknowledged: int = 0
    stored: int = 0
    dead: int = 0
    lost: int = 0
    doubled: int = 0
    rate_limited: int = 0
    wrongs: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing and nothing went wrong."""
        return not self.wrongs

    def wrong(self, what: str, things: Sequence[object]) -> int:
        """Note things that went wrong the same way; return how many they are."""
        if things:
            shown = ", ".join(str(thing)[:200] for thing in things[:_TOLD_AT_MOST])
            self.wrongs.append(f"{len(things)} {what}: {shown}")
        return len(things)


def reckon(ledgers: Iterable[Path], rows: Sequence[StoredRow], letters: Sequence[Letter]) -> Reckoning:
    """Hold ledgers against stored rows and dead letters."""
    sent = {item: is_acknowledged for path in ledgers for item, is_acknowledged in _items(path)}
    values: dict[Key, list[float]] = defaultdict(list)
    for sensor_id, time_us, value in rows:
        values[sensor_id, time_us].append(value)
    graves = _Graves(letters)
    stored = {item for item in sent if not item.is_bad and item.value in values.get(item.key, ())}
    dead = {item for item in sent if graves.hold(item)}
    found = Reckoning(sum(sent.values()), len(stored), len(dead), rate_limited=len(graves.limited))
    found.lost = found.wrong(
        "are neither stored nor dead", [i for i, known in sent.items() if known and i not in stored and i not in dead]
    )
    found.doubled = found.wrong("keys hold several rows", [key for key, held in values.items() if len(held) > 1])
    found.doubled += found.wrong("are stored and dead", [item for item in dead if item in stored])
    contested = {key for key, count in Counter(item.key for item in sent if not item.is_bad).items() if count > 1}
    found.wrong("contested keys hold no row", [key for key in contested if key not in values])
    good = [item for item in sent if not item.is_bad and item.key not in contested]
    found.wrong("good readings are dead letters", [i for i in good if i in dead and not graves.hold_as_limited(i)])
    known_rows = {(*item.key, item.value) for item in sent if not item.is_bad}
    found.wrong("rows were never sent", [row for row in rows if row not in known_rows])
    found.wrong("letters were never sent", graves.strange_to(sent))
    if len(sent) != len(stored) + len(dead):
        found.wrongs.append(f"{len(sent)} were sent, {len(stored)} are stored and {len(dead)} are dead")
    return found


class _Graves:
    """The dead letters, found by the bytes of the message or by what they say of a reading."""

    def __init__(self, letters: Sequence[Letter]) -> None:
        self._bytes = {(topic, payload) for topic, payload, _ in letters}
        self._said = {said for topic, payload, _ in letters if (said := _said(topic, payload))}
        self.limited = {(topic, payload) for topic, payload, reason in letters if reason == _RATE_LIMITED}
        self._limited_said = {_said(*letter) for letter in self.limited}

    def hold(self, item: Item) -> bool:
        return item.carrier in self._bytes or (bool(item.sensor_id) and _said(*item.alone) in self._said)

    def hold_as_limited(self, item: Item) -> bool:
        return item.carrier in self.limited or _said(*item.alone) in self._limited_said

    def strange_to(self, sent: Iterable[Item]) -> list[object]:
        """Return the letters that none of these items explains."""
        carriers, alone = set(), set()
        for item in sent:
            carriers.add(item.carrier)
            alone |= {said for said in [_said(*item.alone)] if said}
        return [letter for letter in self._bytes if letter not in carriers and _said(*letter) not in alone]


def _items(path: Path) -> Iterable[tuple[Item, bool]]:
    for message, _, acknowledged_at in read(path):
        for item in items_of(message):
            yield item, acknowledged_at is not None


def _said(topic: str, payload: bytes) -> tuple[object, ...] | None:
    """Return what a letter says of a reading, however it is written; None if it says nothing."""
    try:
        content = json.loads(payload)
        return topic, to_us(content["observed_at"]), repr(float(content["value"])), content.get("unit")
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None


# ------------------------------------------------------------------------------- reading without the code under test


def rows_in_sqlite(path: Path) -> list[StoredRow]:
    with closing(sqlite3.connect(path, timeout=30)) as database:
        return database.execute(
            "SELECT sensor_id, time, raw_value FROM reading JOIN series USING (series) ORDER BY series, time"
        ).fetchall()


def rows_in_influx(server: Influx, bucket: str) -> list[StoredRow]:
    """Ask the server for every point of the bucket, in whatever series it is."""
    question = (
        f'from(bucket: "{bucket}") |> range(start: 2000-01-01T00:00:00Z, stop: 2100-01-01T00:00:00Z)'
        ' |> filter(fn: (r) => r._measurement == "reading" and r._field == "raw_value")'
        ' |> keep(columns: ["_time", "_value", "sensor_id"]) |> group()'
    )
    request = urllib.request.Request(
        f"{server.url}/api/v2/query?org={server.org}",
        data=question.encode(),
        headers={
            "Authorization": f"Token {server.token}",
            "Content-Type": "application/vnd.flux",
            "Accept": "application/csv",
        },
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        text = response.read().decode()
    table = csv.DictReader(text.replace("\r\n", "\n").splitlines())
    return [(row["sensor_id"], to_us(row["_time"]), float(row["_value"])) for row in table if row.get("_time")]


def letters_in(path: Path) -> list[Letter]:
    with closing(sqlite3.connect(path, timeout=30)) as database:
        found: list[tuple[str, Any, str]] = database.execute(
            "SELECT topic, payload, reason FROM dead_letters ORDER BY letter_id"
        ).fetchall()
    return [(topic, bytes(payload), reason) for topic, payload, reason in found]


def count(path: Path, question: str) -> int:
    """Return one number from a database that may not be there yet, or be busy."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
            return int(database.execute(question).fetchone()[0])
    except sqlite3.OperationalError:
        return 0
