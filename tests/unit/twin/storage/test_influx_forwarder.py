"""The thread behind the spool outlives whatever stands in its way."""

from __future__ import annotations

from pathlib import Path

from reading_builders import a_reading
from servers.process import wait_until

from twin.storage.influx_forwarder import Forwarder
from twin.storage.spool import Spool


class TakesAll:
    """A server that has whatever it is given."""

    def write(self, packed: bytes) -> None:
        assert packed


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
