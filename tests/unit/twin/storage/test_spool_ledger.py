"""The ledger of keys: what it forgets, and that a decision made before it forgot is not used after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from reading_builders import a_reading, after
from spooled import refused_line, send_everything, waiting_lines

from twin.ports import AppendResult, StoreStats
from twin.readings import Quality
from twin.storage import readings_table as table
from twin.storage.readings_file import Session
from twin.storage.spool import Answer, Question, Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """A spool that forgets every key as soon as it may."""
    spool = Spool(tmp_path / "spool.db", max_ledger=0)
    spool.meet("a bucket", {}, 0)
    yield spool
    spool.close()


def test_an_answer_from_before_keys_were_forgotten_is_not_used(spool: Spool) -> None:
    """
    one       is asked of an old key: new to the server ...... appends on that answer: must ask again
    another                                    appends it, forwards, forgets
    """
    spool.append([a_reading(at_s=9)])
    send_everything(spool)
    assert spool.forget_oldest() == 1
    reading = a_reading()
    question = spool.append([reading])
    assert question == Question({reading.key}, 1)
    answer = Answer({}, question.forgettings)
    assert spool.append([reading], answer) == AppendResult(1, 0)
    assert spool.append([reading], answer) == AppendResult(0, 1)
    send_everything(spool)
    assert spool.forget_oldest() == 1
    assert spool.append([reading], answer) == Question({reading.key}, 2)
    assert spool.append([reading], Answer({reading.key: reading}, 2)) == AppendResult(0, 1)
    other = replace(reading, raw_value=9.0)
    assert spool.append([other, a_reading(at_s=10)], Answer({reading.key: reading}, 2)) == AppendResult(1, 0, (other,))


def test_a_verdict_found_before_keys_were_forgotten_is_not_used(spool: Spool) -> None:
    reading = a_reading()
    spool.append([reading])
    send_everything(spool)
    assert spool.forget_oldest() == 1
    judged = replace(reading, quality=Quality.BAD)
    assert spool.requalify([judged], Answer({}, 0)) == Question({reading.key}, 1)
    assert spool.requalify([judged], Answer({reading.key: reading}, 1)) == 1
    assert spool.stats() == StoreStats(readings=1, pending=1)
    assert send_everything(spool) == [judged]


def test_the_verdict_of_another_process_is_built_upon(spool: Spool) -> None:
    """
    one       asks the server ...................... judges on that answer: the row that is there now
    another          fetches it and judges it
    """
    reading = a_reading()
    spool.append([reading])
    send_everything(spool)
    spool.forget_oldest()
    bad, suspect = (replace(reading, quality=quality) for quality in (Quality.BAD, Quality.SUSPECT))
    answer = Answer({reading.key: reading}, 1)
    assert [spool.requalify([judged], answer) for judged in (bad, suspect, suspect)] == [1, 1, 0]
    assert send_everything(spool) == [bad, suspect]


def test_only_keys_below_their_sensors_floor_are_asked_for(spool: Spool) -> None:
    spool.append([a_reading(), a_reading(at_s=50), a_reading("flow-1", at_s=10)])
    send_everything(spool)
    assert spool.forget_oldest() == 3
    between = a_reading(at_s=30)
    assert spool.append([between, a_reading(at_s=99), a_reading("new", at_s=-99)]) == Question({between.key}, 1)
    assert spool.append([a_reading(at_s=50.000001), a_reading("flow-1", at_s=51)]) == AppendResult(2, 0)


def test_what_waits_or_was_refused_is_never_forgotten(spool: Spool) -> None:
    refused, sent, waiting = (a_reading(at_s=second) for second in (0, 1, 2))
    spool.append([refused, sent])
    parcel = spool.next_parcel(9)
    assert parcel is not None
    spool.append([waiting])
    spool.delivered(parcel, [refused_line(parcel, refused)])
    assert spool.forget_oldest() == 1
    assert spool.stats() == StoreStats(readings=3, pending=1, quarantined=1)
    assert waiting_lines(spool) == [waiting]
    assert [held.reading for held in spool.quarantined()] == [refused]
    assert spool.append([refused, sent, waiting]) == Question({sent.key}, 1)


def test_a_late_reading_that_waits_keeps_what_came_after_it(spool: Spool) -> None:
    """What is older than anything that waits can be forgotten, nothing else."""
    spool.append([a_reading(at_s=second) for second in (0, 20, 30)])
    send_everything(spool)
    late = a_reading(at_s=10)
    spool.append([late])
    assert spool.forget_oldest() == 1
    assert spool.forget_oldest() == 0
    assert spool.between("pressure-1", after(0), after(99), known_at=None, limit=None) == [
        a_reading(at_s=second) for second in (10, 20, 30)
    ]
    send_everything(spool)
    assert spool.forget_oldest() == 3


def test_what_comes_late_while_keys_are_being_forgotten_is_kept(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    forwarder   sees that nothing waits ...................... forgets
    another                              appends an old reading
    """
    spool.append([a_reading("flow-1", at_s=5), a_reading(at_s=9)])
    send_everything(spool)
    all_series = table.all_series

    def all_series_and_a_late_reading(session: Session) -> list[int]:
        spool.append([a_reading(at_s=7)])
        return all_series(session)

    monkeypatch.setattr(table, "all_series", all_series_and_a_late_reading)
    assert spool.forget_oldest() == 1
    assert waiting_lines(spool) == [a_reading(at_s=7)]
    assert spool.append([a_reading(at_s=7), a_reading(at_s=9)]) == AppendResult(0, 2)
    assert spool.append([a_reading("flow-1", at_s=5)]) == Question({a_reading("flow-1", at_s=5).key}, 1)
