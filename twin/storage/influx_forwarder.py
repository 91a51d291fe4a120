"""The thread that carries lines from the spool's journal to the server.

It sends up to about 5,000 lines at a time, packed as they are, and deletes them from the journal only when the server
has said yes. A parcel with a bad line is halved until the line stands alone, and that one is quarantined with the
server's words; what of the others is sent twice stays what it is. While the server is away, overloaded or does not let
us in, it waits longer and longer and drops nothing. After a small parcel it waits a moment, so that many small batches
do not become many small requests.

Where other spools carry readings to the same bucket, the server is asked first what it holds of a parcel; see
influx_rivals.py.

Several processes may open one spool; a lock on a file beside it lets exactly one of them forward, and the system frees
the lock when that one dies.
"""

from __future__ import annotations

import fcntl
import logging
import threading
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from twin.errors import TwinError, UnavailableError
from twin.ports import DeadLetters
from twin.readings import Reading
from twin.storage.influx_rivals import keys_of, sift
from twin.storage.influx_server import InfluxServer, LinesRefusedError
from twin.storage.spool import Spool
from twin.storage.spool_journal import Parcel, pack, unpack
from twin.storage.spool_quarantine import RefusedLine

LINES_AT_ONCE = 5_000
_GATHERING_S = 0.1
_IDLE_S = 0.5
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 15.0

_log = logging.getLogger(__name__)


class Forwarder:
    """Forwards until it is stopped. `trouble` says why it cannot at present, or is None.

    `conflicts` takes what came first through another spool with another value; without it, a spool that is not alone is
    left to other processes.
    """

    def __init__(
        self, spool: Spool, server: InfluxServer, lock_path: Path, *, conflicts: DeadLetters | None = None
    ) -> None:
        self._spool = spool
        self._server = server
        self._lock_path = lock_path
        self._conflicts = conflicts
        self._wake = threading.Event()
        self._hurried = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="influx-forwarder", daemon=True)
        self.trouble: str | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something to forward."""
        self._wake.set()

    def hurry(self) -> None:
        """Say that somebody waits for all to be forwarded."""
        self._hurried.set()
        self._wake.set()

    def stop(self, within_s: float) -> None:
        """Stop after the parcel in hand; what is not forwarded stays in the spool."""
        self._stopping.set()
        self.hurry()
        self._thread.join(within_s)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        with ExitStack() as stack:
            lock: IO[bytes] | None = None
            while not self._stopping.is_set():
                try:
                    lock = lock or stack.enter_context(self._lock_path.open("ab"))
                    sent, forgotten = self._forward() if self._is_ours(lock) else (0, 0)
                except Exception as error:  # the thread must outlive whatever happens: readings wait behind it
                    self._note_trouble(error)
                    self._stopping.wait(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                    continue
                self._note_no_trouble()
                pause_s = _FIRST_PAUSE_S
                if not sent and not forgotten:
                    self._wake.wait(_IDLE_S)
                    self._wake.clear()
                elif sent < LINES_AT_ONCE // 2 and not forgotten:
                    self._hurried.wait(_GATHERING_S)
                    self._hurried.clear()

    def _is_ours(self, lock: IO[bytes]) -> bool:
        """Whether this process is the one that forwards."""
        if self._conflicts is None and not self._spool.is_alone():
            fcntl.flock(lock, fcntl.LOCK_UN)
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _forward(self) -> tuple[int, int]:
        """Send a parcel; return how many readings left the journal, and how many keys the ledger forgot."""
        parcel = self._spool.next_parcel(LINES_AT_ONCE)
        if parcel is None:
            return 0, self._spool.forget_oldest()
        packed, firsts = (parcel.packed, ()) if self._spool.is_alone() else self._sift(parcel)
        refused = self._send(packed) if packed else []
        self._spool.delivered(parcel, refused, firsts)
        for item in refused:
            _log.error("InfluxDB refused a reading, it is quarantined: %s: %s", item.line, item.reason)
        return parcel.readings, self._spool.forget_oldest()

    def _sift(self, parcel: Parcel) -> tuple[bytes, Collection[Reading]]:
        """Return what of a parcel is to be written, and what the bucket holds in place of the rest."""
        if self._conflicts is None:
            raise UnavailableError("another spool writes to the bucket: the ingester itself forwards this one")
        lines = unpack(parcel.packed)
        held = self._server.first_come(keys_of(lines))
        if not held:
            return parcel.packed, ()
        sifted = sift(lines, held, self._spool.judged_anew(parcel))
        if sifted.conflicts:
            self._conflicts.bury(sifted.conflicts)
            _log.error(
                "%d readings are dead letters (conflict), another ingester was first: %s",
                len(sifted.conflicts),
                sifted.conflicts[0].detail,
            )
        return pack(sifted.lines) if sifted.lines else b"", sifted.firsts.values()

    def _send(self, packed: bytes) -> list[RefusedLine]:
        """Write packed lines; return those that the server refuses even alone."""
        try:
            self._server.write(packed)
        except LinesRefusedError as error:
            if self._stopping.is_set():
                raise UnavailableError("stopped while looking for the line that InfluxDB refuses") from error
            lines = unpack(packed)
            if len(lines) == 1:
                return [RefusedLine(lines[0], str(error))]
            half = len(lines) // 2
            return self._send(pack(lines[:half])) + self._send(pack(lines[half:]))
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
