"""The thread that carries readings from the spool to the server.

It writes up to 5,000 lines at a time and moves them on in the spool only when the server has said yes. A batch with a
bad line is halved until the line stands alone, and that one is quarantined with the server's words. While the server
is away, overloaded or does not let us in, it waits longer and longer and drops nothing.

Several processes may open one spool; a lock on a file beside it lets exactly one of them forward, and the system frees
the lock when that one dies.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from twin.errors import TwinError, UnavailableError
from twin.ports import RefusedReading
from twin.readings import Reading
from twin.storage.influx_lines import to_line
from twin.storage.influx_server import InfluxServer, LinesRefusedError
from twin.storage.spool import Spool

BATCH = 5_000
_IDLE_S = 0.5
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 15.0

_log = logging.getLogger(__name__)


class Forwarder:
    """Forwards until it is stopped. `trouble` says why it cannot at present, or is None."""

    def __init__(self, spool: Spool, server: InfluxServer, lock_path: Path) -> None:
        self._spool = spool
        self._server = server
        self._lock_path = lock_path
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="influx-forwarder", daemon=True)
        self.trouble: str | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to forward."""
        self._wake.set()

    def stop(self, within_s: float) -> None:
        """Stop after the batch in hand; what is not forwarded stays in the spool."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(within_s)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        with ExitStack() as stack:
            lock: IO[bytes] | None = None
            while not self._stopping.is_set():
                try:
                    lock = lock or stack.enter_context(self._lock_path.open("ab"))
                    is_moving = self._is_ours(lock) and self._forward_batch() > 0
                except Exception as error:  # the thread must outlive whatever happens: readings wait behind it
                    self._note_trouble(error)
                    self._stopping.wait(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    continue
                self._note_no_trouble()
                pause_s = _FIRST_PAUSE_S
                if not is_moving:
                    self._wake.wait(_IDLE_S)
                    self._wake.clear()

    def _is_ours(self, lock: IO[bytes]) -> bool:
        """Whether this process is the one that forwards."""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _forward_batch(self) -> int:
        """Send one batch; return how many readings left the queue, or the ledger where none waits."""
        readings = self._spool.waiting(BATCH)
        if not readings:
            return self._spool.forget_oldest()
        refused = self._send(readings)
        bad = {item.reading.key for item in refused}
        self._spool.forwarded([reading for reading in readings if reading.key not in bad], refused)
        for item in refused:
            _log.error("InfluxDB refused a reading, it is quarantined: %s: %s", item.line, item.reason)
        self._spool.forget_oldest()
        return len(readings)

    def _send(self, readings: Sequence[Reading]) -> list[RefusedReading]:
        """Write readings; return those that the server refuses even alone."""
        lines = [to_line(reading) for reading in readings]
        try:
            self._server.write(lines)
        except LinesRefusedError as error:
            if self._stopping.is_set():
                raise UnavailableError("stopped while looking for the line that InfluxDB refuses") from error
            if len(readings) == 1:
                return [RefusedReading(readings[0], lines[0], str(error))]
            half = len(readings) // 2
            return self._send(readings[:half]) + self._send(readings[half:])
        return []

    def _note_trouble(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
        if not isinstance(error, TwinError):
            _log.exception("forwarding to InfluxDB failed unexpectedly; it is tried again", exc_info=error)
        elif self.trouble is None:
            _log.warning("readings wait in the spool: %s", error)
        self.trouble = str(error)

    def _note_no_trouble(self) -> None:
        if self.trouble is not None:
            _log.warning("readings flow to InfluxDB again")
        self.trouble = None
