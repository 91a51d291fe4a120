"""Messages caught while listening: a few of each topic, never more memory than `MOST_BYTES`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest.message import Message

MOST_TOPICS = 5_000
MOST_BYTES = 16 * 1024 * 1024
LONGEST_PAYLOAD = 256 * 1024
FIRST_KEPT, LAST_KEPT = 3, 2
"""How many messages of a topic are kept: the first ones (births come first), and the newest."""


@dataclass(slots=True)
class _Topic:
    first: list[tuple[int, Message]] = field(default_factory=list)
    last: list[tuple[int, Message]] = field(default_factory=list)


@dataclass(slots=True)
class Catch:
    """What was caught, in order of arrival; `left_out` counts messages that were not kept."""

    messages: int = 0
    left_out: int = 0
    _bytes: int = 0
    _topics: dict[str, _Topic] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Keep a message if it is one of the first or the newest of its topic, and there is room."""
        self.messages += 1
        known = self._topics.get(message.topic)
        no_room = self._bytes + len(message.payload) > MOST_BYTES or len(message.payload) > LONGEST_PAYLOAD
        if no_room or (known is None and len(self._topics) >= MOST_TOPICS):
            self.left_out += 1
            return
        topic = self._topics.setdefault(message.topic, _Topic())
        self._bytes += len(message.payload)
        if len(topic.first) < FIRST_KEPT:
            topic.first.append((self.messages, message))
            return
        topic.last.append((self.messages, message))
        if len(topic.last) > LAST_KEPT:
            _, dropped = topic.last.pop(0)
            self._bytes -= len(dropped.payload)
            self.left_out += 1

    @property
    def topics(self) -> int:
        """The number of topics."""
        return len(self._topics)

    def __iter__(self) -> Iterator[Message]:
        """Return the kept messages in order of arrival."""
        kept = [entry for topic in self._topics.values() for entry in (*topic.first, *topic.last)]
        return (message for _, message in sorted(kept, key=lambda entry: entry[0]))
