"""What has come and waits for the worker: messages in order of receipt, with the connection each came by."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from ingest.message import Message
from ingest.pipeline import PreparedBatch
from ingest.wire.connection import Connection


@dataclass(slots=True)
class Batch:
    """Messages to be made durable together, and the packet ids (0 with QoS 0) they are acknowledged by.

    It is suspect if it met a defect and a batch after it did not.
    """

    messages: list[Message] = field(default_factory=list)
    receipts: list[tuple[Connection, list[int]]] = field(default_factory=list)
    prepared: PreparedBatch | None = None
    is_durable: bool = False
    is_suspect: bool = False

    def acknowledge(self) -> None:
        """Acknowledge in order of receipt, each message on the connection it came by."""
        for connection, packet_ids in self.receipts:
            connection.acknowledge([packet_id for packet_id in packet_ids if packet_id])
            connection.ring()


class Inbox:
    """Between the thread that listens and the one that works. It takes what it is given; its owner minds its size.

    What waits is taken out in batches: up to `batch` messages, or as many as make up `batch_bytes` of payload. A batch
    that is not full is waited for no longer than `linger_s`.
    """

    def __init__(self, *, batch: int, batch_bytes: int, linger_s: float, idle_s: float) -> None:
        self.count = 0
        self.size = 0
        self._batch = batch
        self._batch_bytes = batch_bytes
        self._linger_s = linger_s
        self._idle_s = idle_s
        self._closing = False
        self._chunks: deque[tuple[Connection, Sequence[Message], list[int]]] = deque()
        self._arrival = threading.Condition()

    def put(self, connection: Connection, messages: Sequence[Message], packet_ids: list[int]) -> None:
        """Put messages down that came together."""
        with self._arrival:
            was_short = not self._is_full
            had_none = not self.count
            self._chunks.append((connection, messages, packet_ids))
            self.count += len(messages)
            self.size += sum([len(message.payload) for message in messages])
            if had_none or (was_short and self._is_full):
                self._arrival.notify()

    def take(self, *, wait: bool = True) -> Batch:
        """Return up to a batch of messages, waiting for them; an empty one once the inbox is closed and empty."""
        with self._arrival:
            while wait and not self.count:
                if self._closing:
                    return Batch()
                self._arrival.wait(self._idle_s)
            if wait and not (self._is_full or self._closing):
                self._arrival.wait(self._linger_s)
            return self._take_some()

    def close(self) -> None:
        """Let `take` wait no more."""
        with self._arrival:
            self._closing = True
            self._arrival.notify_all()

    @property
    def _is_full(self) -> bool:
        """Whether a whole batch waits."""
        return self.count >= self._batch or self.size >= self._batch_bytes

    def _take_some(self) -> Batch:
        batch, size = Batch(), 0
        while self._chunks and (room := self._batch - len(batch.messages)) and size < self._batch_bytes:
            connection, messages, packet_ids = self._chunks.popleft()
            sizes = list(accumulate([len(message.payload) for message in messages], initial=size))
            room = min(room, bisect_left(sizes, self._batch_bytes))
            if len(messages) > room:
                self._chunks.appendleft((connection, messages[room:], packet_ids[room:]))
                messages, packet_ids = messages[:room], packet_ids[:room]
            batch.messages += messages
            batch.receipts.append((connection, packet_ids))
            size = sizes[len(messages)]
        self.count -= len(batch.messages)
        self.size -= size
        return batch
