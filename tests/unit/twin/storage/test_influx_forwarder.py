"""The thread behind the spool outlives whatever stands in its way."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from reading_builders import a_reading
from servers.process import wait_until

from twin.storage import influx_forwarder
from twin.storage.influx_forwarder import Forwarder
from twin.storage.influx_server import LinesRefusedError
from twin.storage.spool import Spool


class TakesAll:
    """A server that has whatever it is given, but lines with `refused`; it counts the lines of each request."""

    def __init__(self, refused: str = "nothing") -> None:
        self.refused = refused
        self.counts: list[int] = []

    def write(self, packed: bytes) -> None:
        lines = gzip.decompress(packed).decode().splitlines()
        self.counts.append(len(lines))
        if any(self.refused in line for line in lines):
            raise LinesRefusedError("it is refused")


def test_a_lock_that_cannot_be_opened_is_told_and_tried_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.meet("a bucket", {}, 0)
    spool.append([a_reading()])
    lock = tmp_path / "spool.db.forwarding"
    lock.mkdir()
    forwarder = Forwarder(spool, TakesAll(), lock)  # type: ignore[arg-type]
    forwarder.start()
    wait_until(lambda: forwarder.trouble is not None)
    assert str(lock) in str(forwarder.trouble)
    lock.rmdir()
    wait_until(lambda: spool.stats().pending == 0)
    wait_until(lambda: forwarder.trouble is None)
    forwarder.stop(5.0)
    spool.close()


@contextmanager
def forwarding(folder: Path, server: TakesAll) -> Iterator[tuple[Spool, Forwarder]]:
    spool = Spool(folder / "spool.db")
    forwarder = Forwarder(spool, server, folder / "lock")  # type: ignore[arg-type]
    forwarder.start()
    yield spool, forwarder
    forwarder.stop(5.0)
    spool.close()


def test_small_batches_gather_unless_somebody_waits_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influx_forwarder, "_GATHERING_S", 60.0)
    server = TakesAll()
    with forwarding(tmp_path, server) as (spool, forwarder):
        spool.append([a_reading()])
        forwarder.wake()
        wait_until(lambda: spool.stats().pending == 0)
        for second in (1, 2, 3):
            spool.append([a_reading(at_s=second)])
            forwarder.wake()
        forwarder.hurry()
        wait_until(lambda: spool.stats().pending == 0)
        assert server.counts == [1, 3]


def test_what_is_refused_is_found_by_halving(tmp_path: Path) -> None:
    """Of eight lines two are bad: 8, 4 (bad), 2 (bad), 1 (bad), 1, 2, 4 (bad), 2, 2 (bad), 1, 1 (bad)."""
    server = TakesAll(refused="seq=7i")
    spool = Spool(tmp_path / "spool.db")
    readings = [a_reading(at_s=second, seq=7 if second in (0, 7) else 1) for second in range(8)]
    for first in range(0, 8, 2):
        spool.append(readings[first : first + 2])
    spool.close()
    with forwarding(tmp_path, server) as (spool, _):
        wait_until(lambda: spool.stats().pending == 0)
        assert server.counts == [8, 4, 2, 1, 1, 2, 4, 2, 2, 1, 1]
        assert [(held.reading, held.reason) for held in spool.quarantined()] == [
            (readings[0], "it is refused"),
            (readings[7], "it is refused"),
        ]
