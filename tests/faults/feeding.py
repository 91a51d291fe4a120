"""A device in a process of its own, with a ledger, that gives its readings to `h2twin gateway` and to nobody else.

`python -m faults.feeding LEDGER PORT RATE FLOW` runs the gateway in front of the broker at PORT and feeds it line by
line. What the gateway has given its receipt for counts as acknowledged; the device forgets it and never sends it again.
On its standard input, `kill` kills the gateway (-9) and starts it anew; the last ones wait for `go`; when the input
closes, both end.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import IO

from faults.flow import Flow
from faults.ledger import Ledger, Planned
from faults.publishing import State

WITHHELD = 0.2
"""This share of the lines, the last ones, is not fed before it is told to."""
_WINDOW = 1000
_CHUNK = 64 * 1024


class Device:
    """Feeds the plan at up to `rate` lines a second, with at most a window of them without a receipt."""

    def __init__(self, ledger: Ledger, plan: list[Planned], order: list[int], gateway: list[str], rate: float) -> None:
        self._ledger = ledger
        self._messages = {message.n: message for message in plan}
        self._due = deque(n for n in order if n in self._messages)
        self._state = State(self._messages.values())
        self._gateway = gateway
        self._rate = rate
        self._withheld = int(WITHHELD * len(self._due))
        self._sent = 0
        self._began = time.monotonic()
        self._under_way: deque[int] = deque()
        self._unwritten = b""
        self._unread = b""
        self._start()

    def run(self, commands: IO[bytes]) -> None:
        """Work until the input closes; then let the gateway end by itself."""
        os.set_blocking(commands.fileno(), False)
        while True:
            ready, _, _ = select.select([commands, self._receipts], [], [], 0.02)
            if commands in ready:
                command = commands.read()
                if command == b"":
                    break
                self._obey((command or b"").splitlines())
            elif self._receipts in ready and not self._listen():
                raise RuntimeError(f"the gateway ended by itself with {self._process.wait()}")
            self._feed()
            self._state.tell(is_done=not self._due and not self._under_way)
        self._lines.close()
        sys.exit(self._process.wait(60))

    def _obey(self, commands: list[bytes]) -> None:
        for command in commands:
            if command == b"go":
                self._withheld = 0
            else:
                self._kill()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._gateway, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._lines, self._receipts = self._process.stdin, self._process.stdout
        os.set_blocking(self._lines.fileno(), False)

    def _kill(self) -> None:
        """Kill the gateway; what it has no receipt for is fed again to the next one, first."""
        self._process.kill()
        self._process.wait()
        while self._listen():
            pass
        self._receipts.close()
        self._lines.close()
        self._due.extendleft(reversed(self._under_way))
        self._under_way.clear()
        self._unwritten = self._unread = b""
        self._start()

    def _feed(self) -> None:
        allowed = int((time.monotonic() - self._began) * self._rate) - self._sent
        count = min(_WINDOW - len(self._under_way), allowed, len(self._due) - self._withheld)
        if count > 0:
            numbers = [self._due.popleft() for _ in range(count)]
            self._ledger.note_sent(numbers, time.time())
            self._sent += count
            self._under_way.extend(numbers)
            self._unwritten += b"".join(_line(self._messages[n]) for n in numbers)
        try:
            written = os.write(self._lines.fileno(), self._unwritten[:_CHUNK]) if self._unwritten else 0
        except BlockingIOError:
            return
        self._unwritten = self._unwritten[written:]

    def _listen(self) -> bool:
        """Take receipts; False when no more will come."""
        data = os.read(self._receipts.fileno(), _CHUNK)
        *receipts, self._unread = (self._unread + data).split(b"\n")
        kept = []
        for receipt in receipts:
            n = self._under_way.popleft()
            (kept if "kept" in json.loads(receipt) else self._due).append(n)
        self._ledger.note_acknowledged(kept, time.time())
        self._state.confirmed.update(kept)
        return bool(data)


def _line(message: Planned) -> bytes:
    """Return a message as a gateway is fed with it."""
    content = json.loads(message.payload)
    _, _, *single = message.topic.split("/")
    return json.dumps({"sensor_id": single[0], **content} if single else content).encode() + b"\n"


def main(path: str, port: str, rate: str, flow: str) -> None:
    drawn = Flow(**json.loads(flow))
    plan = [message for message in drawn.messages() if not message.is_bad]
    (gateway_id,) = {message.topic.split("/")[1] for message in plan}
    ledger = Ledger(Path(path))
    ledger.plan(plan)
    gateway = [
        sys.executable, "-m", "api", "gateway", "--gateway-id", gateway_id, "--broker", f"mqtt://127.0.0.1:{port}",
        "--outbox", f"{path}.outbox", "--receipts",
    ]  # fmt: skip
    Device(ledger, plan, drawn.order(), gateway, float(rate)).run(sys.stdin.buffer)


if __name__ == "__main__":
    main(*sys.argv[1:])
