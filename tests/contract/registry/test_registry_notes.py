"""Events, gaps, windows and stale marks: what is noted around the readings."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twin.errors import InputError
from twin.events import EPISODE, Event, EventKind, event
from twin.gaps import Gap, GapState, GapTotals
from twin.storage.registry import SqlRegistry
from twin.windows import Window, merged

_numbers = itertools.count(1)
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def a_gap(sensor_id: str = "P-1", minutes: float = 0.0, **changes: object) -> Gap:
    gap = Gap(
        sensor_id=sensor_id,
        gateway_id="G-1",
        start=at(minutes),
        end=at(minutes + 20),
        missing=3,
        missing_at_first=4,
        found_at=at(minutes + 21),
        state=GapState.REQUESTED,
        first_seq=17,
        last_seq=20,
        requests=2,
        requested_at=at(minutes + 25),
        closed_at=at(minutes + 30),
    )
    return replace(gap, **changes)  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------- events


def test_the_same_thing_again_prolongs_its_event_and_keeps_its_first_detail(registry: SqlRegistry) -> None:
    assert registry.log_events([event(EventKind.RATE_LIMITED, "G-1", at(0), "300/s")]) == 1
    assert registry.log_events([event(EventKind.RATE_LIMITED, "G-1", at(59), "400/s")]) == 0
    (kept,) = registry.events().items
    assert kept == Event(EventKind.RATE_LIMITED, "G-1", at(0), at(59), "300/s", 2, kept.event_id)
    assert kept.is_security


@pytest.mark.parametrize(
    ("other", "events"),
    [
        pytest.param(event(EventKind.RATE_LIMITED, "G-1", at(61)), 2, id="after more than an hour of silence"),
        pytest.param(event(EventKind.RATE_LIMITED, "G-2", at(1)), 2, id="another subject"),
        pytest.param(event(EventKind.CLOCK_SKEW, "G-1", at(1)), 2, id="another kind"),
        pytest.param(event(EventKind.RATE_LIMITED, "G-1", at(-30)), 1, id="told late"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False], ids=["in one call", "in two calls"])
def test_what_belongs_to_an_episode(registry: SqlRegistry, other: Event, events: int, at_once: bool) -> None:
    first = event(EventKind.RATE_LIMITED, "G-1", at(0))
    if at_once:
        assert registry.log_events([first, other]) == events
    else:
        registry.log_events([first])
        registry.log_events([other])
    assert len(registry.events().items) == events
    assert sum(item.times_seen for item in registry.events().items) == 2
    assert sum(registry.count_events().values()) == events


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(minutes=st.lists(st.integers(0, 600), min_size=1, max_size=12), split=st.integers(0, 12))
def test_in_order_of_time_the_episodes_do_not_depend_on_the_batches(
    registry: SqlRegistry, minutes: list[int], split: int
) -> None:
    subject = f"M-{next(_numbers)}"  # all examples share one registry
    told = [event(EventKind.DEVICE_ALARM, subject, at(minute)) for minute in sorted(minutes)]
    registry.log_events(told[:split])
    registry.log_events(told[split:])
    gaps = zip(sorted(minutes), sorted(minutes)[1:], strict=False)
    expected = 1 + sum(timedelta(minutes=b - a) > EPISODE for a, b in gaps)
    kept = registry.events(subject=subject, limit=1000).items
    assert len(kept) == expected
    assert sum(item.times_seen for item in kept) == len(minutes)


def test_events_are_listed_newest_first_by_kind_subject_and_time(registry: SqlRegistry) -> None:
    registry.log_events(
        [
            event(EventKind.CLOCK_SKEW, "G-1", at(0)),
            event(EventKind.DEVICE_ALARM, "M-1", at(10)),
            event(EventKind.CLOCK_SKEW, "G-2", at(20)),
        ]
    )

    def subjects(**asked: object) -> list[str]:
        return [item.subject for item in registry.events(**asked).items]  # type: ignore[arg-type]

    assert subjects() == ["G-2", "M-1", "G-1"]
    assert subjects(kinds=[EventKind.CLOCK_SKEW]) == ["G-2", "G-1"]
    assert subjects(kinds=[]) == []
    assert subjects(subject="M-1") == ["M-1"]
    assert subjects(start=at(10), end=at(20)) == ["M-1"]
    first = registry.events(limit=2)
    assert [item.subject for item in registry.events(limit=2, cursor=first.next_cursor).items] == ["G-1"]


def test_words_that_no_database_keeps_are_mended(registry: SqlRegistry) -> None:
    registry.log_events([event(EventKind.POISON_MESSAGE, "a\x00b", at(0), "c\ud800")])
    (kept,) = registry.events().items
    assert (kept.subject, kept.detail) == ("a\ufffdb", "c\ufffd")


def test_two_threads_begin_an_episode_once(registry: SqlRegistry) -> None:
    with ThreadPoolExecutor(8) as pool:
        told = [event(EventKind.REPLAYED, "G-1", at(minute)) for minute in range(8)]
        began = sum(pool.map(lambda one: registry.log_events([one]), told))
    (kept,) = registry.events().items
    assert (began, kept.times_seen, kept.first_at, kept.last_at) == (1, 8, at(0), at(7))


# ---------------------------------------------------------------------------------------------------------- gaps


def test_a_gap_comes_back_as_it_was_and_is_replaced_by_its_key(registry: SqlRegistry) -> None:
    registry.save_gaps([a_gap()])
    assert registry.gaps().items == (a_gap(),)
    closed = a_gap(state=GapState.CLOSED, missing=0, end=at(15))
    registry.save_gaps([a_gap(missing=1), closed])
    assert registry.gaps().items == (closed,)
    assert registry.count_gaps() == {"closed": 1}


def test_open_gaps_are_those_that_wait(registry: SqlRegistry) -> None:
    states = [GapState.OPEN, GapState.REQUESTED, GapState.CLOSED, GapState.GIVEN_UP]
    registry.save_gaps([a_gap(f"S-{number}", state=state) for number, state in enumerate(states)])
    registry.save_gaps([a_gap("S-0", 60), a_gap("S-0", 30)])
    assert [(gap.sensor_id, gap.start) for gap in registry.open_gaps()] == [
        ("S-0", at(0)),
        ("S-0", at(30)),
        ("S-0", at(60)),
        ("S-1", at(0)),
    ]


def test_gaps_are_listed_newest_first_and_filtered(registry: SqlRegistry) -> None:
    registry.save_gaps(
        [a_gap("A", 0), a_gap("B", 10, gateway_id="G-2"), a_gap("A", 20, state=GapState.OPEN, first_seq=None)]
    )

    def found(**asked: object) -> list[datetime]:
        return [gap.start for gap in registry.gaps(**asked).items]  # type: ignore[arg-type]

    assert found() == [at(20), at(10), at(0)]
    assert found(sensor_id="A") == [at(20), at(0)]
    assert found(gateway_id="G-2") == [at(10)]
    assert found(states=[GapState.OPEN]) == [at(20)]
    assert found(start=at(10), end=at(20)) == [at(10)]
    first = registry.gaps(limit=2)
    assert [gap.start for gap in registry.gaps(limit=2, cursor=first.next_cursor).items] == [at(0)]


def test_of_several_gaps_all_are_kept_or_none(registry: SqlRegistry) -> None:
    with pytest.raises(InputError):
        registry.save_gaps([a_gap("A"), a_gap("B\x00")])
    assert registry.gaps().items == ()


# -------------------------------------------------------------------------------------- windows and stale marks


def test_windows_wait_until_they_are_settled(registry: SqlRegistry) -> None:
    registry.reopen([Window("B", at(5), at(9)), Window("A", at(0), at(4)), Window("A", at(2), at(6))])
    registry.reopen([Window("A", at(1), at(2))])
    waiting = registry.reopened()
    assert [(w.sensor_id, w.start, w.end) for w in waiting] == [
        ("A", at(0), at(6)),
        ("B", at(5), at(9)),
        ("A", at(1), at(2)),
    ]
    assert registry.reopened(limit=1) == waiting[:1]
    registry.settle(waiting[:2])
    assert registry.reopened() == waiting[2:]
    registry.settle([])
    registry.settle(waiting)
    assert registry.reopened() == []


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 30), st.integers(0, 10)).map(
            lambda w: Window(w[0], at(w[1]), at(w[1] + w[2]))
        )
    )
)
def test_merged_windows_cover_the_same_minutes_and_do_not_touch(windows: list[Window]) -> None:
    def minutes(some: list[Window]) -> set[tuple[str, int]]:
        return {(w.sensor_id, m) for w in some for m in range(41) if w.start <= at(m) <= w.end}

    found = merged(windows)
    assert minutes(found) == minutes(windows)
    for before, after in itertools.pairwise(found):
        assert before.sensor_id < after.sensor_id or before.end < after.start


def test_the_newest_mark_says_since_when_a_sensor_is_stale(registry: SqlRegistry) -> None:
    registry.mark_stale({"A": at(0), "B": at(1)})
    registry.mark_stale({"A": at(5)})
    registry.mark_stale({})
    assert registry.stale_marks() == {"A": at(5), "B": at(1)}


def test_the_totals_are_of_the_gaps_that_wait(registry: SqlRegistry) -> None:
    assert registry.gap_totals() == GapTotals(0, 0, None)
    registry.save_gaps([a_gap(state=state, missing=7) for state in (GapState.CLOSED,)])
    registry.save_gaps([a_gap("A", 20, missing=2, state=GapState.OPEN), a_gap("B", 10, missing=3)])
    registry.save_gaps([a_gap("C", 5, missing=50, state=GapState.GIVEN_UP)])
    assert a_gap("B").state is GapState.REQUESTED
    assert registry.gap_totals() == GapTotals(2, 5, at(10))
