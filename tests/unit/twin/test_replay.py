"""Replay in lock-step, with parts that write down in which order they were called."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.clock import ReplayClock
from twin.errors import UnavailableError
from twin.readings import Reading
from twin.replay import Replay, Row, Step, steps_from_readings

START = datetime(2026, 1, 1, tzinfo=UTC)


class Parts:
    """A gateway whose rows are taken at once, and a cycle; both write down what they saw."""

    def __init__(self, clock: ReplayClock, *, loses: int = 0) -> None:
        self.clock = clock
        self.loses = loses
        self.seen: list[tuple[str, datetime, int]] = []
        self.taken = 0

    def publish(self, rows: Sequence[Row]) -> int:
        self.seen.append(("publish", self.clock.now(), len(rows)))
        self.taken += len(rows)
        return len(rows) - self.loses

    def turn(self) -> Any:
        self.seen.append(("turn", self.clock.now(), self.taken))
        return None


def a_step(hours: int, rows: int = 2) -> Step:
    at = START + timedelta(hours=hours)
    return Step(at, tuple(Row(f"S{i}", at, 1.0, "m") for i in range(rows)))


def test_every_turn_comes_after_the_rows_of_its_moment_and_none_of_the_next() -> None:
    clock = ReplayClock(START)
    parts = Parts(clock)
    replay = Replay(clock, parts, lambda: parts.taken, parts)  # type: ignore[arg-type]
    replay.play([a_step(1), a_step(2, rows=3)], speed=None, stop=threading.Event(), on_turn=lambda _: None)
    one, two = START + timedelta(hours=1), START + timedelta(hours=2)
    assert parts.seen == [("publish", one, 2), ("turn", one, 2), ("publish", two, 3), ("turn", two, 5)]
    assert replay.published == 5


def test_rows_the_broker_did_not_take_stop_the_replay() -> None:
    clock = ReplayClock(START)
    parts = Parts(clock, loses=1)
    replay = Replay(clock, parts, lambda: parts.taken, parts)  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="acknowledged 1 of 2"):
        replay.play([a_step(1)], speed=None, stop=threading.Event(), on_turn=lambda _: None)


def test_an_ingester_that_does_not_keep_up_stops_the_replay() -> None:
    clock = ReplayClock(START)
    parts = Parts(clock)
    replay = Replay(clock, parts, lambda: 0, parts, patience_s=0.05)  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="0 of 2 readings"):
        replay.play([a_step(1)], speed=None, stop=threading.Event(), on_turn=lambda _: None)


def test_a_stopped_replay_publishes_nothing_more() -> None:
    clock = ReplayClock(START)
    parts = Parts(clock)
    stop = threading.Event()
    replay = Replay(clock, parts, lambda: parts.taken, parts)  # type: ignore[arg-type]
    replay.play([a_step(1), a_step(2)], speed=None, stop=stop, on_turn=lambda _: stop.set())
    assert [name for name, _, _ in parts.seen] == ["publish", "turn"]


@given(minutes=st.lists(st.integers(0, 600), min_size=1, max_size=40), every=st.integers(1, 120))
def test_steps_hold_every_reading_once_and_none_before_its_time(minutes: list[int], every: int) -> None:
    moments = [START + timedelta(minutes=m) for m in sorted(minutes)]
    readings = [Reading("S", at, at, 1.0, "m", 1.0, "m") for at in moments]
    steps = list(steps_from_readings(readings, every_s=every * 60, start=START))
    assert [row.observed_at for step in steps for row in step.rows] == moments
    for before, step in zip([START, *(s.at for s in steps)], steps, strict=False):
        assert step.at - before == timedelta(minutes=every)
        assert all(row.observed_at <= step.at for row in step.rows)


def test_a_reading_that_came_late_is_shown_late_and_not_when_it_was_observed() -> None:
    """Observed at 1 h, known at 3 h:  1h ... 2h ... 3h"""
    hours = [START + timedelta(hours=i) for i in range(4)]
    on_time = Reading("S", hours[1], hours[1], 1.0, "m", 1.0, "m")
    late = Reading("T", hours[1], hours[3], 2.0, "m", 2.0, "m")
    steps = steps_from_readings([on_time, late], every_s=3600, start=START)
    assert [[row.sensor_id for row in step.rows] for step in steps] == [["S"], [], ["T"]]
