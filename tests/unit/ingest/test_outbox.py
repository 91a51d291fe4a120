"""The outbox on the disk: numbers, repeats, room, and what survives."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.outbox import AHEAD, Outbox, OutboxFullError, Taken
from twin.clock import ReplayClock
from twin.errors import ConfigError, InputError
from twin.replay import Row

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=100)


def a_row(minute: float, sensor_id: str = "P-1", value: float = 1.0) -> Row:
    return Row(sensor_id, START + timedelta(minutes=minute), value, "m")


@pytest.fixture
def clock() -> ReplayClock:
    return ReplayClock(NOW)


@pytest.fixture
def outbox(tmp_path: Path, clock: ReplayClock) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.db", clock)
    yield opened
    opened.close()


def numbers(outbox: Outbox) -> list[int | None]:
    return [kept.seq for kept in outbox.waiting()]


def test_readings_are_numbered_by_sensor_and_come_back_as_they_were(outbox: Outbox) -> None:
    rows = [a_row(0), a_row(0, "P-2", 2.5), a_row(1), a_row(2)]
    assert outbox.put(rows) == Taken(4, 0)
    assert numbers(outbox) == [0, 0, 1, 2]
    assert [(k.sensor_id, k.observed_at, k.value, k.unit) for k in outbox.waiting()] == [
        (row.sensor_id, row.observed_at, row.value, row.unit) for row in rows
    ]


def test_numbers_go_on_after_a_restart(tmp_path: Path, clock: ReplayClock) -> None:
    first = Outbox(tmp_path / "o.db", clock)
    first.put([a_row(0), a_row(1)])
    first.acknowledge([first.waiting()[0].position])
    first.close()
    second = Outbox(tmp_path / "o.db", clock)
    assert second.unsent == 1
    second.put([a_row(2)])
    assert numbers(second) == [1, 2]
    second.close()


def test_an_exact_repeat_is_absorbed_and_history_and_contradictions_carry_no_number(outbox: Outbox) -> None:
    outbox.put([a_row(5), a_row(9)])
    assert outbox.put([a_row(5), a_row(9), a_row(9)]) == Taken(0, 3)
    assert outbox.put([a_row(3), a_row(3), a_row(9, value=8.0)]) == Taken(2, 1)
    assert numbers(outbox) == [0, 1, None, None]


def test_a_reading_from_the_future_does_not_make_history_of_the_present(outbox: Outbox) -> None:
    outbox.put([a_row(0), Row("P-1", NOW + 2 * AHEAD, 1.0, "m"), a_row(1)])
    assert numbers(outbox) == [0, None, 1]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(Row("", START, 1.0, "m"), id="no name"),
        pytest.param(Row("P-1", START, float("nan"), "m"), id="no number"),
        pytest.param(Row("P-1", datetime(2026, 1, 1), 1.0, "m"), id="no zone"),  # noqa: DTZ001
        pytest.param(Row("P\n1", START, 1.0, "m"), id="a line break in the name"),
    ],
)
def test_one_bad_reading_of_a_put_takes_none(outbox: Outbox, row: Row) -> None:
    with pytest.raises(InputError):
        outbox.put([a_row(0), row])
    assert outbox.put([a_row(0)]) == Taken(1, 0)
    assert numbers(outbox) == [0]


def test_what_is_acknowledged_can_be_asked_for_again(outbox: Outbox) -> None:
    outbox.put([a_row(minute) for minute in range(6)])
    outbox.acknowledge([kept.position for kept in outbox.waiting()][:5])
    assert outbox.unsent == 1
    assert outbox.ask_again("P-1", a_row(1).observed_at, a_row(4).observed_at) == 2
    assert [kept.seq for kept in outbox.asked_again()] == [2, 3]
    assert outbox.ask_again("P-1", a_row(4).observed_at, a_row(9).observed_at) == 0, "the last one waits anyway"
    outbox.acknowledge([kept.position for kept in outbox.asked_again()])
    assert outbox.asked_again() == []
    assert outbox.unsent == 1


def fill(outbox: Outbox, *, first: int) -> int:
    """Put until it is full; return the first minute that was not taken."""
    for minute in range(first, 100_000, 100):
        try:
            outbox.put([a_row(m) for m in range(minute, minute + 100)])
        except OutboxFullError:
            return minute
    raise AssertionError("it never was full")


def test_room_is_made_of_what_was_acknowledged_and_never_of_what_waits(tmp_path: Path, clock: ReplayClock) -> None:
    outbox = Outbox(tmp_path / "o.db", clock, most_bytes=400_000)
    outbox.put([a_row(minute) for minute in range(1000)])
    outbox.acknowledge([kept.position for kept in outbox.waiting()])
    taken = fill(outbox, first=1000)
    with pytest.raises(OutboxFullError, match="readings wait for the broker; nothing was taken"):
        outbox.put([a_row(taken)])
    waiting = outbox.waiting(limit=100_000)
    assert [kept.seq for kept in waiting] == list(range(1000, taken))
    assert outbox.kept() == len(waiting), "all that was acknowledged had to go first"
    assert outbox.bytes_used() < 500_000
    outbox.acknowledge([kept.position for kept in waiting])
    outbox.put([a_row(taken)])
    assert [kept.seq for kept in outbox.waiting()] == [taken], "no number is left out by a refusal"
    outbox.close()


def test_one_reading_that_waits_does_not_keep_the_room_of_the_others(tmp_path: Path, clock: ReplayClock) -> None:
    outbox = Outbox(tmp_path / "o.db", clock, most_bytes=400_000)
    outbox.put([a_row(0, "never taken"), *(a_row(minute) for minute in range(3000))])
    outbox.acknowledge([kept.position for kept in outbox.waiting(limit=5000)][1:])
    for minute in range(3000, 30_000, 1000):
        outbox.put([a_row(m) for m in range(minute, minute + 1000)])
        outbox.acknowledge([kept.position for kept in outbox.waiting(limit=5000)][1:])
    assert [kept.sensor_id for kept in outbox.waiting()] == ["never taken"]
    outbox.close()


def test_what_was_acknowledged_is_kept_for_its_time_only(tmp_path: Path, clock: ReplayClock) -> None:
    outbox = Outbox(tmp_path / "o.db", clock, keep=timedelta(hours=1))
    outbox.put([a_row(0), a_row(1)])
    outbox.acknowledge([outbox.waiting()[0].position])
    clock.advance_to(NOW + timedelta(hours=2))
    outbox.put([a_row(2)])
    assert [kept.seq for kept in outbox.waiting()] == [1, 2]
    assert outbox.kept() == 2
    outbox.close()


def test_a_full_disk_is_named(tmp_path: Path, clock: ReplayClock) -> None:
    outbox = Outbox(tmp_path / "o.db", clock)
    outbox.put([a_row(0)])
    pages = outbox._db.execute("PRAGMA page_count").fetchone()[0]
    outbox._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(OutboxFullError, match="disk"):
        outbox.put([a_row(minute) for minute in range(1, 5000)])
    assert outbox.unsent == 1
    outbox._db.execute("PRAGMA max_page_count = 100000")
    outbox.put([a_row(1)])
    assert numbers(outbox) == [0, 1]
    outbox.close()


def test_one_outbox_serves_one_gateway(tmp_path: Path, clock: ReplayClock) -> None:
    first = Outbox(tmp_path / "o.db", clock)
    with pytest.raises(ConfigError, match="another gateway uses the outbox"):
        Outbox(tmp_path / "o.db", clock)
    first.close()
    Outbox(tmp_path / "o.db", clock).close()


def test_what_was_put_is_on_the_disk(tmp_path: Path, clock: ReplayClock) -> None:
    outbox = Outbox(tmp_path / "o.db", clock)
    outbox.put([a_row(0)])
    assert outbox._db.execute("PRAGMA synchronous").fetchone() == (2,)
    with sqlite3.connect(tmp_path / "o.db") as other:
        assert other.execute("SELECT count(*) FROM reading").fetchone() == (1,)
    other.close()
    outbox.close()


@given(st.lists(st.lists(st.tuples(st.integers(0, 20), st.sampled_from("AB"), st.integers(0, 1)), max_size=6)))
@settings(max_examples=60)
def test_numbers_have_no_holes_and_rise_with_time(
    tmp_path_factory: pytest.TempPathFactory, puts: list[list[tuple[int, str, int]]]
) -> None:
    outbox = Outbox(tmp_path_factory.mktemp("o") / "o.db", ReplayClock(NOW))
    for rows in puts:
        outbox.put([a_row(minute, name, float(value)) for minute, name, value in rows])
    kept = outbox.waiting(limit=10_000)
    given_ = {(minute, name, value) for rows in puts for minute, name, value in rows}
    assert {(k.observed_at, k.sensor_id, k.value) for k in kept} == {
        (a_row(minute).observed_at, name, float(value)) for minute, name, value in given_
    }
    assert len(kept) == len(given_)
    for name in "AB":
        numbered = [k for k in kept if k.sensor_id == name and k.seq is not None]
        assert [k.seq for k in numbered] == list(range(len(numbered)))
        assert [k.observed_at for k in numbered] == sorted({k.observed_at for k in numbered})
    outbox.close()
