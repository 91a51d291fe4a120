"""What a publisher has sent and what the broker has acknowledged of it, on a disk.

A message is written down before it is sent, and marked as acknowledged after the acknowledgement came: a crash in
between leaves a message that counts as unconfirmed and is sent again. So the ledger never claims too much, and nothing
that could have been stored is missing from it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

WRONG_UNIT = "L/s"
"""No pressure is measured in it: an item that carries it must become a dead letter."""

_LAYOUT = """
CREATE TABLE IF NOT EXISTS message (
    n INTEGER PRIMARY KEY, topic TEXT NOT NULL, payload BLOB NOT NULL, is_bad INTEGER NOT NULL,
    sent_at REAL, acknowledged_at REAL, confirmed_at REAL
)
"""

Key = tuple[str, int]
"""A sensor and a moment in microseconds since 1970."""


@dataclass(frozen=True)
class Planned:
    """A message to be sent; one that `is_bad` must become a dead letter as a whole."""

    n: int
    topic: str
    payload: bytes
    is_bad: bool = False


@dataclass(frozen=True)
class Item:
    """One thing that must not be lost: a reading, or (with no sensor) a whole message that is no reading.

    `carrier` is the message it came in (topic, payload), `alone` the message that would carry it alone.
    """

    sensor_id: str
    time_us: int
    value: float
    is_bad: bool
    carrier: tuple[str, bytes]
    alone: tuple[str, bytes]

    @property
    def key(self) -> Key:
        return self.sensor_id, self.time_us


class Ledger:
    """The file of one publisher. `acknowledged_at` is the first time, `confirmed_at` the latest one that counts."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute(_LAYOUT)

    def plan(self, messages: Iterable[Planned]) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO message (n, topic, payload, is_bad) VALUES (?, ?, ?, ?)",
            ((m.n, m.topic, m.payload, m.is_bad) for m in messages),
        )
        self._database.execute("COMMIT")

    def note_sent(self, numbers: Sequence[int], at: float) -> None:
        """Write down what is about to be sent."""
        self._note("sent_at = coalesce(sent_at, ?)", numbers, at)

    def note_acknowledged(self, numbers: Sequence[int], at: float) -> None:
        """Write down what the broker has acknowledged."""
        self._note("acknowledged_at = coalesce(acknowledged_at, ?1), confirmed_at = ?1", numbers, at)

    def doubt(self, since: float) -> list[int]:
        """Take every confirmation from `since` on as none: the broker may have forgotten. Return whose it was."""
        numbers = [n for (n,) in self._database.execute("SELECT n FROM message WHERE confirmed_at >= ?", (since,))]
        self._database.execute("UPDATE message SET confirmed_at = NULL WHERE confirmed_at >= ?", (since,))
        return numbers

    def close(self) -> None:
        self._database.close()

    def _note(self, change: str, numbers: Sequence[int], at: float) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(f"UPDATE message SET {change} WHERE n = ?2", [(at, n) for n in numbers])
        self._database.execute("COMMIT")


def read(path: Path) -> list[tuple[Planned, float | None, float | None]]:
    """Return every message that was sent, when it was sent first, and when it was acknowledged first."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute(
            "SELECT n, topic, payload, is_bad, sent_at, acknowledged_at FROM message WHERE sent_at IS NOT NULL"
        ).fetchall()
    return [(Planned(n, topic, bytes(payload), bool(bad)), sent, at) for n, topic, payload, bad, sent, at in rows]


def items_of(message: Planned) -> Iterator[Item]:
    """Return the readings in a message, or the message itself where it is none. Knows the native format by itself."""
    carrier = (message.topic, message.payload)
    if message.is_bad:
        yield Item("", message.n, 0.0, True, carrier, carrier)
        return
    content: dict[str, Any] = json.loads(message.payload)
    _, gateway, *single = message.topic.split("/")
    for item in content.get("readings", [content]):
        sensor_id = single[0] if single else item.pop("sensor_id")
        alone = (f"h2/{gateway}/{sensor_id}", json.dumps(item).encode())
        yield Item(sensor_id, to_us(item["observed_at"]), item["value"], item.get("unit") == WRONG_UNIT, carrier, alone)


def to_us(text: str) -> int:
    """Return the microseconds since 1970 of an RFC 3339 time."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
