"""The judge: holds every ledger against every stored row and every dead letter, one by one.

What was acknowledged must be stored or be a dead letter, never both and never twice; nothing may be there that nobody
sent. Of readings that contradict each other (same sensor, same time) exactly one is stored and the others are dead.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.evidence import Letter, OpenGap, StoredRow
from faults.ledger import Item, Key, items_of, read, to_us

_RATE_LIMITED, _CONFLICT = "rate_limited", "conflict"
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


def wrong_gaps(gaps: Iterable[OpenGap], letters: Iterable[Letter]) -> list[OpenGap]:
    """Return the open gaps that miss something else than what lies between their ends as dead letters."""
    dead: dict[str, list[int]] = defaultdict(list)
    for topic, payload, reason in letters:
        said = _said(topic, payload)
        if said is not None and reason != _CONFLICT:
            dead[topic.rpartition("/")[2]].append(int(str(said[1])))
    return [
        (sensor_id, start, end, missing)
        for sensor_id, start, end, missing in gaps
        if missing != sum(start < time_us < end for time_us in dead[sensor_id])
    ]


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
