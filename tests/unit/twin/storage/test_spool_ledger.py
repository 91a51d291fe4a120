"""The ledger of keys: what it forgets, and that a decision made before it forgot is not used after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reading_builders import a_reading

from twin.ports import AppendResult, RefusedReading, StoreStats
from twin.readings import Quality
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


def test_a_verdict_that_changes_while_the_old_one_is_sent_is_sent_too(tmp_path: Path) -> None:
    """
    forwarder   takes the reading ...... sends it ............. notes that the server has it
    re-judging                  changes the verdict: waits on
    """
    spool = Spool(tmp_path / "spool.db")
    spool.meet("a bucket", {}, 0)
    first, second = a_reading(), a_reading(at_s=1)
    spool.append([first, second], elsewhere={}, forgettings=0)
    judged = [replace(reading, quality=Quality.BAD, reasons=("spike",)) for reading in (first, second)]
    assert spool.requalify(judged, elsewhere={}, forgettings=0) == 2
    spool.forwarded([first], [RefusedReading(second, "line", "reason")])
    assert spool.stats() == StoreStats(readings=2, pending=2)
    assert spool.waiting(9) == judged
    spool.forwarded(judged, [])
    assert spool.stats() == StoreStats(readings=2, pending=0)
    spool.close()


def test_a_verdict_found_before_keys_were_forgotten_is_not_used(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", max_ledger=0)
    spool.meet("a bucket", {}, 0)
    reading = a_reading()
    spool.append([reading], elsewhere={}, forgettings=0)
    spool.forwarded([reading], [])
    assert spool.forget_oldest() == 1
    judged = replace(reading, quality=Quality.BAD)
    assert spool.requalify([judged], elsewhere={}, forgettings=0) is None
    assert spool.requalify([judged], elsewhere={reading.key: reading}, forgettings=1) == 1
    assert spool.stats() == StoreStats(readings=1, pending=1)
    assert spool.waiting(9) == [judged]
    spool.close()


def test_what_the_server_refused_waits_for_a_person_with_its_new_verdict(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.meet("a bucket", {}, 0)
    reading = a_reading()
    spool.append([reading], elsewhere={}, forgettings=0)
    spool.forwarded([], [RefusedReading(reading, "line", "reason")])
    judged = replace(reading, quality=Quality.BAD)
    assert spool.requalify([judged], elsewhere={}, forgettings=0) == 1
    assert spool.stats() == StoreStats(readings=1, pending=0, quarantined=1)
    assert spool.quarantined() == [RefusedReading(judged, "line", "reason")]
    spool.release_quarantined()
    assert spool.waiting(9) == [judged]
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
