"""The journal of lines: what is in it, in which order it is sent, and what becomes of a line that is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading_builders import NOON, a_reading, after
from spooled import readings_in, refused_line, send_everything, waiting_lines

from twin.errors import StorageFullError
from twin.ports import AppendResult, StoreStats
from twin.readings import Quality, Reading
from twin.storage.influx_lines import head_of, key_of, line, words_of
from twin.storage.readings_file import ReadingsFile
from twin.storage.readings_rows import is_storable
from twin.storage.spool import Question, Spool
from twin.storage.spool_layout import APPLICATION_ID, LAYOUT


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.db")
    spool.meet("a bucket", {}, 0)
    yield spool
    spool.close()


def append(spool: Spool, *readings: Reading) -> AppendResult:
    result = spool.append(readings)
    assert isinstance(result, AppendResult)
    return result


def judge(spool: Spool, *readings: Reading) -> int:
    changed = spool.requalify(readings)
    assert isinstance(changed, int)
    return changed


def bad(reading: Reading) -> Reading:
    return replace(reading, quality=Quality.BAD, reasons=("spike",))


def test_only_what_was_stored_is_sent_and_the_first_of_a_key(spool: Spool) -> None:
    old, new, repeat = a_reading(), a_reading(at_s=1), replace(a_reading(at_s=1), available_at=after(99))
    append(spool, old)
    assert append(spool, old, new, repeat, a_reading(at_s=1, raw_value=9.0)).stored == 1
    assert append(spool, old, new).stored == 0
    assert send_everything(spool) == [old, new]
    assert spool.stats() == StoreStats(readings=2)


def test_small_batches_are_sent_together_and_large_ones_in_parts(spool: Spool) -> None:
    for second in range(0, 30, 10):
        append(spool, *(a_reading(at_s=second + more) for more in range(10)))
    append(spool, *(a_reading(at_s=second) for second in range(30, 12_030)))
    sizes = []
    while parcel := spool.next_parcel(25):
        sizes.append(parcel.readings)
        spool.delivered(parcel)
    assert sizes == [20, 10, 5000, 5000, 2000]
    assert spool.stats() == StoreStats(readings=12_030)


def test_what_is_not_delivered_is_sent_again(spool: Spool) -> None:
    append(spool, a_reading())
    assert waiting_lines(spool) == waiting_lines(spool) == [a_reading()]


def test_what_comes_while_a_parcel_is_under_way_stays(spool: Spool) -> None:
    append(spool, a_reading())
    parcel = spool.next_parcel(9)
    assert parcel is not None
    append(spool, a_reading(at_s=1))
    spool.delivered(parcel)
    assert waiting_lines(spool) == [a_reading(at_s=1)]


def test_a_forwarder_that_slept_through_another_s_work_deletes_nothing_of_it(spool: Spool) -> None:
    append(spool, a_reading())
    asleep = spool.next_parcel(9)
    assert asleep is not None
    assert send_everything(spool) == [a_reading()]
    append(spool, a_reading(at_s=1))
    spool.delivered(asleep)
    assert spool.stats() == StoreStats(readings=2, pending=1)
    assert waiting_lines(spool) == [a_reading(at_s=1)]


def test_the_last_verdict_is_sent_last(spool: Spool) -> None:
    readings = [a_reading(at_s=second) for second in range(3)]
    append(spool, *readings)
    assert judge(spool, bad(readings[1])) == 1
    assert judge(spool, readings[1], bad(readings[1]), readings[0]) == 0
    assert judge(spool, readings[1]) == 1
    assert send_everything(spool) == [*readings, bad(readings[1]), readings[1]]


def test_a_new_verdict_also_waits_in_a_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", max_waiting=3)
    append(spool, a_reading(), a_reading(at_s=1))
    judge(spool, bad(a_reading()))
    with pytest.raises(StorageFullError):
        judge(spool, bad(a_reading(at_s=1)))
    assert send_everything(spool) == [a_reading(), a_reading(at_s=1), bad(a_reading())]
    assert judge(spool, bad(a_reading(at_s=1))) == 1
    spool.close()


def test_what_the_server_may_still_trust_is_known_until_it_was_told(spool: Spool) -> None:
    reading, other = a_reading(), a_reading("flow-1")
    append(spool, reading, other, a_reading(at_s=1, quality=Quality.BAD))
    send_everything(spool)
    judge(spool, bad(reading))
    asked = ["pressure-1", "flow-1", "unknown"]
    assert spool.withdrawn(asked, by=after(0)) == {reading.key}
    assert spool.withdrawn(asked, by=after(-1)) == set()
    judge(spool, reading)
    assert spool.withdrawn(asked, by=after(0)) == set()
    judge(spool, bad(reading))
    send_everything(spool)
    assert spool.withdrawn(asked, by=after(0)) == set()


def test_a_refused_line_waits_for_a_person_with_its_new_verdict(spool: Spool) -> None:
    reading = a_reading()
    append(spool, reading)
    parcel = spool.next_parcel(9)
    assert parcel is not None
    refused = refused_line(parcel, reading)
    spool.delivered(parcel, [refused])
    assert judge(spool, bad(reading)) == 1
    assert spool.stats() == StoreStats(readings=1, pending=0, quarantined=1)
    assert spool.withdrawn(["pressure-1"], by=after(0)) == {reading.key}
    (held,) = spool.quarantined()
    assert (held.reading, held.line, held.reason) == (bad(reading), refused.line, "reason")
    assert append(spool, reading) == AppendResult(0, 1)
    assert spool.release_quarantined() == 1
    assert spool.stats() == StoreStats(readings=1, pending=1)
    assert spool.withdrawn(["pressure-1"], by=after(0)) == {reading.key}
    assert send_everything(spool) == [bad(reading)]


def test_a_refused_line_that_was_judged_anew_meanwhile_comes_again(spool: Spool) -> None:
    """
    forwarder   takes the reading ...... sends it ............. it is refused: no matter, its new line comes
    re-judging                  changes the verdict
    """
    reading = a_reading()
    append(spool, reading)
    first = spool.next_parcel(9)
    assert first is not None
    judge(spool, bad(reading))
    spool.delivered(first, [refused_line(first, reading)])
    assert spool.stats() == StoreStats(readings=1, pending=1)
    second = spool.next_parcel(9)
    assert second is not None
    assert readings_in(second) == [bad(reading)]
    spool.delivered(second, [refused_line(second, bad(reading))])
    assert spool.stats() == StoreStats(readings=1, quarantined=1)


def test_a_line_refused_twice_is_held_once(spool: Spool) -> None:
    append(spool, a_reading())
    judge(spool, bad(a_reading()))
    parcel = spool.next_parcel(9)
    assert parcel is not None
    lines = [refused_line(parcel, reading, why) for reading, why in ((a_reading(), "a"), (bad(a_reading()), "b"))]
    spool.delivered(parcel, lines)
    assert spool.stats() == StoreStats(readings=1, quarantined=1)
    assert [held.reason for held in spool.quarantined()] == ["b"]


def test_a_spool_that_is_opened_again_sends_what_waited(tmp_path: Path) -> None:
    first = Spool(tmp_path / "spool.db")
    append(first, a_reading())
    first.close()
    second = Spool(tmp_path / "spool.db")
    assert send_everything(second) == [a_reading()]
    second.close()


@given(
    sensor_id=st.text(min_size=1).filter(is_storable),
    number=st.floats(allow_nan=False, allow_infinity=False),
    seq=st.none() | st.integers(-(2**63), 2**63 - 1),
    time=st.integers(-(2**62), 2**62),
    reasons=st.sampled_from(["", '["said \\"no\\", 7 12"]']),
)
def test_the_key_of_a_line_is_the_key_it_was_written_with(
    sensor_id: str, number: float, seq: int | None, time: int, reasons: str
) -> None:
    words = words_of("m 3", "", Quality.GOOD, reasons)
    assert key_of(line(head_of(sensor_id), number, number, words, 0, seq, time)) == (sensor_id, time)


def test_zeros_keep_their_signs() -> None:
    words = words_of("m", "m", Quality.GOOD, "")
    assert " value=-0.0,raw_value=0.0," in line(head_of("x"), -0.0, 0.0, words, 0, None, 0)
    assert " value=0.0,raw_value=-0.0," in line(head_of("x"), 0.0, -0.0, words, 0, None, 0)


# ------------------------------------------------------------------------------------------ the first layout


WAITS, FORWARDED, QUARANTINED = 0, 1, 2


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A spool as h2twin 1 left it: of ten readings two wait (one is bad), one was refused, seven were sent."""
    path = tmp_path / "spool.db"
    ReadingsFile(path, application_id=APPLICATION_ID, layout=LAYOUT[:1]).close()
    noon = int((NOON - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000
    states = {4: WAITS, 5: QUARANTINED, 6: WAITS}
    with sqlite3.connect(path) as old:
        old.execute("INSERT INTO series (sensor_id, floor) VALUES ('pressure-1', ?)", (noon,))
        old.execute("INSERT INTO word (text) VALUES ('m'), (''), ('[\"spike\"]')")
        for second in range(10):
            time, judged = noon + second * 1_000_000, (2, 3) if second == 6 else (0, 2)
            row = (1, time, time + 1_000_000, 3.0, 1, 3.0, 1, *judged, None, states.get(second, FORWARDED))
            old.execute(f"INSERT INTO reading VALUES ({', '.join('?' * 11)})", row)
        key = (noon + 5_000_000,)
        old.execute("INSERT INTO quarantine VALUES (1, ?, 'reading,sensor_id=pressure-1 ...', 'a reason')", key)
        old.execute("UPDATE tally SET readings=10, waiting=2, quarantined=1, ledger=7, destination='a bucket'")
    old.close()
    return path


def old_readings() -> list[Reading]:
    readings = [a_reading(at_s=second) for second in range(10)]
    readings[6] = bad(readings[6])
    return readings


def test_what_waited_in_a_file_of_the_first_layout_is_sent(old_file: Path) -> None:
    spool = Spool(old_file)
    held = old_readings()
    assert spool.stats() == StoreStats(readings=10, pending=2, quarantined=1)
    assert spool.destination() == "a bucket"
    assert spool.between("pressure-1", NOON, after(99), known_at=None, limit=None) == held
    assert append(spool, *(a_reading(at_s=second) for second in range(12))) == AppendResult(2, 10)
    assert spool.append([a_reading(at_s=-1)]) == Question({a_reading(at_s=-1).key}, 0)
    assert spool.withdrawn(["pressure-1"], by=after(99)) == {held[6].key}
    assert send_everything(spool) == [a_reading(at_s=10), a_reading(at_s=11), held[4], held[6]]
    assert spool.withdrawn(["pressure-1"], by=after(99)) == set()
    assert spool.stats() == StoreStats(readings=12, pending=0, quarantined=1)
    assert [(item.reading, item.reason) for item in spool.quarantined()] == [(held[5], "a reason")]
    spool.release_quarantined()
    assert send_everything(spool) == [held[5]]
    spool.close()


def test_what_waited_in_the_first_layout_has_its_turn_while_more_comes(old_file: Path) -> None:
    spool = Spool(old_file)
    append(spool, a_reading(at_s=10))
    parcel = spool.next_parcel(1)
    assert parcel is not None
    append(spool, a_reading(at_s=11))
    spool.delivered(parcel)
    assert waiting_lines(spool) == [a_reading(at_s=11), old_readings()[4], old_readings()[6]]
    spool.close()


def test_a_new_verdict_on_what_waited_in_the_first_layout_is_the_last(old_file: Path) -> None:
    spool = Spool(old_file)
    judged = replace(old_readings()[4], quality=Quality.SUSPECT)
    assert judge(spool, judged) == 1
    assert send_everything(spool) == [judged, judged, old_readings()[6]]
    spool.close()


def test_nothing_is_forgotten_before_the_first_layout_is_taken_over(old_file: Path) -> None:
    spool = Spool(old_file, max_ledger=0)
    assert spool.forget_oldest() == 0
    send_everything(spool)
    assert spool.forget_oldest() == 9
    spool.close()


def test_a_file_of_the_first_layout_is_laid_out_like_a_new_one(old_file: Path, tmp_path: Path) -> None:
    Spool(old_file).close()
    Spool(tmp_path / "new.db").close()
    layouts = []
    for path in (old_file, tmp_path / "new.db"):
        with sqlite3.connect(path) as plain:
            layouts.append(plain.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall())
        plain.close()
    assert layouts[0] == layouts[1]
    assert "state" not in str(layouts[0])
    assert "waiting ON" not in str(layouts[0])
