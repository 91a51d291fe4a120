"""The ledger of keys: what it forgets, and that a decision made before it forgot is not used after."""

from __future__ import annotations

from pathlib import Path

from reading_builders import a_reading

from twin.ports import AppendResult, RefusedReading, StoreStats
from twin.storage.spool import Spool


def test_an_answer_from_before_keys_were_forgotten_is_not_used(tmp_path: Path) -> None:
    """
    one       asks: the key is new ................ appends on that answer: refused, must ask again
    another         appends it, forwards, forgets
    """
    spool = Spool(tmp_path / "spool.db", max_ledger=0)
    spool.meet("a bucket", {}, 0)
    reading = a_reading()
    keys, forgettings = spool.undecidable([reading])
    assert keys == set()
    assert spool.append([reading], elsewhere={}, forgettings=forgettings) == AppendResult(1, 0)
    spool.forwarded([reading], [])
    assert spool.forget_oldest() == 1
    assert spool.append([reading], elsewhere={}, forgettings=forgettings) is None
    assert spool.undecidable([reading])[0] == {reading.key}
    spool.close()


def test_what_waits_or_was_refused_is_never_forgotten(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", max_ledger=0)
    spool.meet("a bucket", {}, 0)
    waiting, refused, forwarded = (a_reading(at_s=second) for second in (0, 1, 2))
    spool.append([waiting, refused, forwarded], elsewhere={}, forgettings=0)
    spool.forwarded([forwarded], [RefusedReading(refused, "line", "reason")])
    assert spool.forget_oldest() == 1
    assert spool.stats() == StoreStats(readings=3, pending=1, quarantined=1)
    assert spool.waiting(9) == [waiting]
    assert spool.quarantined() == [RefusedReading(refused, "line", "reason")]
    assert spool.undecidable([waiting, refused, forwarded])[0] == {forwarded.key}
    spool.close()
