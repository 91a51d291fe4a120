"""A publisher in a process of its own, with a ledger: it sends its whole plan and repeats what is not confirmed.

`python -m faults.publishing LEDGER PORT RATE FLOW` speaks MQTT 3.1.1 by itself, so that nothing of h2twin judges
h2twin. It prints its progress as lines of JSON. On its standard input, `doubt TIME` makes it send again whatever was
confirmed since then (as a gateway does that is asked to fill a gap), `hold` and `go` stop and start it; when the
input closes, it ends.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from faults.flow import Flow
from faults.ledger import Ledger, Planned, items_of

_WINDOW = 1000
_PATIENCE_S = 5.0
_TELL_EVERY_S = 0.1
_CONNACK, _PUBACK = 2, 4


class State:
    """What a sender has had confirmed of its messages; told as lines of JSON on standard output."""

    def __init__(self, messages: Iterable[Planned]) -> None:
        self._items = {message.n: sum(1 for _ in items_of(message)) for message in messages}
        self._told = 0.0
        self.confirmed: set[int] = set()

    def tell(self, *, is_done: bool) -> None:
        """Tell it, if that was not just done."""
        now = time.monotonic()
        if now - self._told < _TELL_EVERY_S:
            return
        self._told = now
        state = {
            "messages": len(self._items),
            "planned": sum(self._items.values()),
            "acknowledged": sum(self._items[n] for n in self.confirmed),
            "is_done": is_done and len(self.confirmed) == len(self._items),
        }
        sys.stdout.write(json.dumps(state) + "\n")
        sys.stdout.flush()


class Publisher:
    """Sends the plan at up to `rate` messages a second, with at most a window of them unacknowledged."""

    def __init__(self, ledger: Ledger, flow: Flow, port: int, rate: float) -> None:
        self._ledger = ledger
        self._messages = {message.n: message for message in flow.messages()}
        self._client_id = f"publisher-{flow.name}"
        self._port = port
        self._rate = rate
        self._state = State(self._messages.values())
        self._due = deque(flow.order())
        self._under_way: dict[int, int] = {}
        self._socket: socket.socket | None = None
        self._unread = b""
        self._packet_id = 0
        self._sent = 0
        self._began = time.monotonic()
        self._heard = 0.0
        self._holding = False

    def run(self, commands: IO[bytes]) -> None:
        """Work until the input closes."""
        os.set_blocking(commands.fileno(), False)
        while True:
            watched = [commands, *([self._socket] if self._socket else [])]
            ready, _, _ = select.select(watched, [], [], 0.02)
            if commands in ready and not self._obey(commands.read()):
                return
            try:
                self._turn()
            except OSError:
                self._lose_connection()
                time.sleep(0.05)
            self._state.tell(is_done=not self._due and not self._under_way)

    def _obey(self, text: bytes | None) -> bool:
        for command, *argument in (line.split() for line in (text or b"").splitlines()):
            self._holding = command == b"hold"
            if command == b"doubt":
                self._drop_confirmations(self._ledger.doubt(float(argument[0])))
        return text != b""

    def _drop_confirmations(self, numbers: list[int]) -> None:
        self._state.confirmed.difference_update(numbers)
        self._due.extend(numbers)

    def _turn(self) -> None:
        if self._socket is None:
            self._connect()
        self._receive()
        self._send()
        if self._under_way and time.monotonic() - self._heard > _PATIENCE_S:
            raise TimeoutError("the broker acknowledges nothing any more")

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=_PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + _text(self._client_id)
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        self._unread = self._socket.recv(4)
        if self._unread != b"\x20\x02\x00\x00":
            raise ConnectionError(f"the broker answered {self._unread!r}")
        self._unread = b""
        self._heard = time.monotonic()

    def _lose_connection(self) -> None:
        """Forget the connection; what was under way on it is sent again, first."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._due.extendleft(reversed(self._under_way.values()))
        self._under_way.clear()

    def _send(self) -> None:
        room = _WINDOW - len(self._under_way)
        allowed = int((time.monotonic() - self._began) * self._rate) - self._sent
        count = min(room, allowed, len(self._due))
        if count <= 0 or self._holding:
            return
        numbers = [self._due.popleft() for _ in range(count)]
        at = time.monotonic()
        self._heard = at if not self._under_way else self._heard
        packets = [self._packet(self._messages[n]) for n in numbers]
        self._ledger.note_sent(numbers, time.time())
        self._sent += count
        assert self._socket is not None
        self._socket.sendall(b"".join(packets))

    def _packet(self, message: Planned) -> bytes:
        self._packet_id = self._packet_id % 65_535 + 1
        self._under_way[self._packet_id] = message.n
        body = _text(message.topic) + struct.pack("!H", self._packet_id) + message.payload
        return b"\x32" + _length(len(body)) + body

    def _receive(self) -> None:
        assert self._socket is not None
        while select.select([self._socket], [], [], 0)[0]:
            data = self._socket.recv(64 * 1024)
            if not data:
                raise ConnectionError("the broker closed the connection")
            self._heard = time.monotonic()
            acknowledged = list(self._acknowledged_in(data))
            self._ledger.note_acknowledged(acknowledged, time.time())
            self._state.confirmed.update(acknowledged)

    def _acknowledged_in(self, data: bytes) -> Iterator[int]:
        data = self._unread + data
        whole = len(data) - len(data) % 4
        self._unread = data[whole:]
        for kind, length, packet_id in struct.iter_unpack("!BBH", data[:whole]):
            if (kind >> 4, length) != (_PUBACK, 2):
                raise ConnectionError(f"the broker sent {kind:#x}")
            if packet_id in self._under_way:
                yield self._under_way.pop(packet_id)


def _text(text: str) -> bytes:
    return struct.pack("!H", len(text.encode())) + text.encode()


def _length(length: int) -> bytes:
    digits = bytearray()
    while True:
        length, digit = divmod(length, 128)
        digits.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(digits)


def main(path: str, port: str, rate: str, flow: str) -> None:
    ledger = Ledger(Path(path))
    plan = Flow(**json.loads(flow))
    ledger.plan(plan.messages())
    Publisher(ledger, plan, int(port), float(rate)).run(sys.stdin.buffer)
    ledger.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
