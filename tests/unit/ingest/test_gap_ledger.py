"""The ledger of gaps: whatever came in whatever order, it says what is lacking, counted by brute force."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from fakes import MemoryNotebook, MemoryReadings, away
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.backfill import decode_request
from ingest.gap_book import GapBook
from ingest.gap_keeper import GapKeeper, GapRules
from ingest.gap_watch import GapWatch
from ingest.notes import keep
from ingest.sensors import SensorTable
from twin.clock import ReplayClock
from twin.errors import UnavailableError
from twin.events import EventKind
from twin.gaps import Gap, GapState, gap_between
from twin.ports import Page
from twin.readings import Reading, Reason, Sensor
from twin.units import Quantity

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)
EVERY = timedelta(minutes=5)
SENSOR = Sensor("P-1", Quantity.PRESSURE, expected_every_s=EVERY.total_seconds())


class Ledger(MemoryNotebook):
    """A ledger of gaps in memory, with the lists that the book asks for."""

    def gaps(
        self,
        *,
        sensor_id: str | None = None,
        gateway_id: str | None = None,
        states: Sequence[GapState] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Gap]:
        self._answer()
        found = [
            gap
            for gap in self.noted_gaps.values()
            if gap.sensor_id == sensor_id
            and (states is None or gap.state in states)
            and (start is None or gap.start >= start)
            and (end is None or gap.start < end)
        ]
        return Page(tuple(sorted(found, key=lambda gap: gap.start, reverse=True)[:limit]))


class Readings(MemoryReadings):
    """A store whose newest readings cannot always be had."""

    is_away = False

    def latest(self, sensor_ids: Sequence[str], **asked: object) -> dict[str, Reading]:  # type: ignore[override]
        if self.is_away:
            raise away()
        return super().latest(sensor_ids, **asked)  # type: ignore[arg-type]


class OneSensor:
    """A registry with the sensor and nothing else."""

    def sensors(self) -> dict[str, Sensor]:
        return {SENSOR.sensor_id: SENSOR}

    def upsert_sensors(self, sensors: Sequence[Sensor]) -> None:
        raise NotImplementedError


class Desk:
    """Everything around the ledger, with one watch for each ingester and a clock that is moved by hand."""

    def __init__(self, ingesters: int = 1, rules: GapRules | None = None) -> None:
        self.store, self.ledger, self.clock = Readings(), Ledger(), ReplayClock(NOW)
        self.seconds = 0.0
        self.sent: list[tuple[str, bytes]] = []
        self.shared = ingesters > 1
        self.watches = [self._watch() for _ in range(ingesters)]
        self.rules = rules
        self.broker_is_away = False

    def _watch(self) -> GapWatch:
        return GapWatch(self.store, {"P-1": SENSOR}, shared=self.shared, seconds=lambda: self.seconds)

    def take_in(self, readings: Sequence[Reading], *, ingester: int = 0, dies_before_storing: bool = False) -> None:
        notes = self.watches[ingester].observe(readings, ["g1"] * len(readings))
        keep(notes, self.ledger)
        if not dies_before_storing:
            self.store.append(readings)

    def restart(self, ingester: int = 0) -> None:
        self.watches[ingester] = self._watch()

    def keeper(self, ingester: int = 0) -> GapKeeper:
        table = SensorTable(OneSensor())
        table.refresh()
        book = GapBook(self.store, self.ledger, self.clock)  # type: ignore[arg-type]
        return GapKeeper(
            self.watches[ingester],
            book,
            self.ledger,  # type: ignore[arg-type]
            table,
            self.clock,
            publish=self._publish,
            rules=self.rules,
        )

    def _publish(self, messages: Sequence[tuple[str, bytes]]) -> int:
        if self.broker_is_away:
            return 0
        self.sent += messages
        return len(messages)

    def settle(self) -> None:
        self.seconds += 60
        for ingester in range(len(self.watches)):
            self.keeper(ingester).settle_places()

    def recheck(self) -> None:
        self.keeper().ask(self.ledger.open_gaps(), at_once=True)

    def waiting(self) -> list[Gap]:
        return self.ledger.open_gaps()


def a_reading(slot: int, seq: int | None = None, *, jitter_s: float = 0.0, reasons: tuple[str, ...] = ()) -> Reading:
    at = START + slot * EVERY + timedelta(seconds=jitter_s)
    return Reading("P-1", at, NOW, 1.0, "m", 1.0, "m", reasons=reasons, seq=seq)


def slots_within(gaps: Sequence[Gap]) -> set[int]:
    """The slots strictly inside the gaps."""
    inside = range(-5, 200)
    return {slot for gap in gaps for slot in inside if gap.start < START + slot * EVERY < gap.end}


# ------------------------------------------------------------------------------------------- between neighbours


@pytest.mark.parametrize(
    ("before", "after", "missing", "numbers"),
    [
        pytest.param((0, None), (1, None), None, None, id="on time"),
        pytest.param((0, None), (2, None), 1, None, id="one slot left out"),
        pytest.param((0, None), (10, None), 9, None, id="nine slots left out"),
        pytest.param((0, 5), (1, 9), 3, (6, 8), id="numbers jump within the cadence"),
        pytest.param((0, 5), (10, 6), None, None, id="a pause, but nothing was said in it"),
        pytest.param((0, 5), (1, 0), None, None, id="counted anew"),
        pytest.param((0, 5), (4, 0), 3, None, id="counted anew after a pause"),
        pytest.param((0, 5), (1, 2**62), None, None, id="a jump nobody can have counted"),
        pytest.param((0, 5), (3, None), 2, None, id="number lacking after"),
        pytest.param((0, None), (3, 5), 2, None, id="number lacking before"),
    ],
)
def test_what_is_missing_between_two_neighbours(
    before: tuple[int, int | None], after: tuple[int, int | None], missing: int | None, numbers: tuple[int, int] | None
) -> None:
    gap = gap_between(a_reading(*before), a_reading(*after), every_s=300, gateway_id="g1", found_at=START)
    assert (None if gap is None else gap.missing) == missing
    assert gap is None or (gap.first_seq, gap.last_seq) == (numbers or (None, None))


# ------------------------------------------------------------------------------------------------- any order


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[int], list[list[int]]]:
    """Which slots of 30 are ever stored, and the batches in which they come, some of them twice."""
    stored = draw(st.lists(st.integers(0, 29), min_size=1, max_size=30, unique=True))
    order = draw(st.permutations(stored)) + draw(st.lists(st.sampled_from(stored), max_size=5))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=6)))
    return stored, [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True) if order[a:b]]


@given(deliveries(), st.booleans(), st.integers(1, 3), st.randoms(use_true_random=False))
@settings(max_examples=150)
def test_any_order_of_deliveries_ends_in_the_same_ledger(
    given_: tuple[list[int], list[list[int]]], numbered: bool, ingesters: int, chance: random.Random
) -> None:
    stored, batches = given_
    desk = Desk(ingesters)
    for batch in batches:
        desk.take_in(
            [a_reading(slot, slot + 100 if numbered else None) for slot in batch], ingester=chance.randrange(ingesters)
        )
        if chance.random() < 0.3:
            desk.settle()
    desk.settle()
    if desk.shared:
        desk.recheck()  # what fills a gap that another one noted may look in order to who gets it
    lacking = set(range(min(stored), max(stored))) - set(stored)
    assert slots_within(desk.waiting()) == lacking
    assert sum(gap.missing for gap in desk.waiting()) == len(lacking)
    if numbered:
        told = {seq for gap in desk.waiting() for seq in range(gap.first_seq or 0, (gap.last_seq or 0) + 1)}
        assert told == {slot + 100 for slot in lacking}


@given(deliveries(), st.booleans(), st.randoms(use_true_random=False))
@settings(max_examples=100)
def test_kills_and_redeliveries_change_nothing(
    given_: tuple[list[int], list[list[int]]], numbered: bool, chance: random.Random
) -> None:
    stored, batches = given_
    first = batches[0][0]
    desk = Desk()
    kept = sorted(slot for slot in stored if slot >= first)
    for batch in batches:
        readings = [a_reading(slot, slot if numbered else None) for slot in batch if slot >= first]
        if chance.random() < 0.4:  # killed after the notes were kept, before the readings were
            desk.take_in(readings, dies_before_storing=True)
            desk.recheck()
            desk.restart()
        desk.take_in(readings)
        if chance.random() < 0.3:
            desk.settle()
        if chance.random() < 0.3:
            desk.restart()
    desk.recheck()
    lacking = set(range(kept[0], kept[-1])) - set(kept)
    assert slots_within(desk.waiting()) == lacking
    assert sum(gap.missing for gap in desk.waiting()) == len(lacking)


# ------------------------------------------------------------------------------------------------ single stories


def test_a_jump_is_noted_before_the_reading_is_stored() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 7)])
    desk.take_in([a_reading(3, 10)], dies_before_storing=True)
    assert [(gap.first_seq, gap.last_seq, gap.missing, gap.gateway_id) for gap in desk.waiting()] == [(8, 9, 2, "g1")]
    desk.recheck()
    assert desk.sent == [], "nobody is asked before both ends are stored"
    desk.take_in([a_reading(3, 10)])
    desk.recheck()
    assert len(desk.sent) == 1


@given(st.permutations(range(8)))
def test_in_one_batch_readings_may_come_in_any_order(order: list[int]) -> None:
    desk = Desk()
    desk.take_in([a_reading(-1)])
    desk.take_in([a_reading(n) for n in order if n != 5])
    assert slots_within(desk.waiting()) == {5}
    desk.seconds += 1_000
    assert desk.watches[0].take_due() == [], "nothing is left to look at in the store"


def test_what_remains_of_a_gap_behind_the_place_that_is_looked_at_stays_in_the_ledger() -> None:
    """Killed with a place in mind: the gap 1-6 in the ledger is split by 4, and only 2 and 3 are looked at again."""
    desk = Desk()
    desk.take_in([a_reading(1)])
    desk.take_in([a_reading(6)])
    desk.take_in([a_reading(4)])
    desk.restart()
    desk.take_in([a_reading(3), a_reading(2)])
    desk.settle()
    assert slots_within(desk.waiting()) == {5}


def test_a_gap_across_our_own_downtime_is_found() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 7)])
    desk.restart()
    desk.take_in([a_reading(5, 12)])
    assert [(gap.first_seq, gap.last_seq) for gap in desk.waiting()] == [(8, 11)]


def test_a_store_that_is_away_at_first_sight_hides_no_gap() -> None:
    desk = Desk()
    desk.take_in([a_reading(0)])
    desk.restart()
    desk.store.is_away = True
    desk.take_in([a_reading(4)])
    desk.store.is_away = False
    desk.settle()
    assert slots_within(desk.waiting()) == {1, 2, 3}


def test_places_that_could_not_be_looked_at_are_looked_at_later() -> None:
    """Two places, on two days: where the store is away at the first of them, the other one waits too."""
    desk = Desk(ingesters=2)
    slots = (0, 3, 400, 403)
    for slot in slots:
        desk.take_in([a_reading(slot)])
    desk.store.is_away = True
    with pytest.raises(UnavailableError):
        desk.settle()
    desk.store.is_away = False
    desk.settle()
    found = {(gap.start, gap.end) for gap in desk.waiting()}
    assert found == set(pairwise(START + slot * EVERY for slot in slots))


def test_a_late_reading_splits_a_gap_and_the_last_one_closes_it() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 0), a_reading(6, 6)])
    desk.take_in([a_reading(3, 3)])
    desk.settle()
    assert [(gap.first_seq, gap.last_seq, gap.missing_at_first) for gap in desk.waiting()] == [(1, 2, 5), (4, 5, 2)]
    desk.take_in([a_reading(slot, slot) for slot in (5, 4, 2, 1)])
    desk.settle()
    assert desk.waiting() == []
    assert {(gap.state, gap.missing, gap.closed_at) for gap in desk.ledger.noted_gaps.values()} == {
        (GapState.CLOSED, 0, desk.clock.now())
    }


def test_a_restarted_device_is_no_gap_but_noted_once_an_episode() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 900), a_reading(1, 0), a_reading(2, 1), a_reading(3, 0), a_reading(4, 1)])
    assert desk.waiting() == []
    [noted] = desk.ledger.noted_events
    assert (noted.kind, noted.subject) == (EventKind.DEVICE_STATUS, "P-1")
    assert noted.detail == "began to count anew: seq 0 after 900"


def test_readings_without_numbers_fill_a_gap_that_numbers_told_of() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 0), a_reading(4, 4)])
    desk.store.append([a_reading(slot) for slot in (1, 2, 3)])  # imported from the archive of the SCADA
    desk.recheck()
    assert desk.waiting() == []
    assert desk.sent == []


def test_a_reading_from_the_future_makes_no_gap() -> None:
    desk = Desk()
    early = a_reading(2000, 1, reasons=(Reason.EARLY,))
    desk.take_in([a_reading(0, 0), early, a_reading(2, 2)])
    desk.settle()
    assert [(gap.first_seq, gap.last_seq) for gap in desk.waiting()] == [(1, 1)]


def test_a_gap_whose_end_was_never_stored_does_not_stay_for_ever() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 0)])
    desk.take_in([a_reading(5, 5)], dies_before_storing=True)
    desk.recheck()
    assert len(desk.waiting()) == 1
    desk.clock.advance_to(desk.clock.now() + timedelta(hours=2))
    desk.recheck()
    assert desk.waiting() == []


# --------------------------------------------------------------------------------------------------- asking


def test_a_gateway_is_asked_with_growing_waits_and_given_up_at_last() -> None:
    rules = GapRules(ask_after=tuple(timedelta(minutes=m) for m in (1, 5, 30)))
    desk = Desk(rules=rules)
    found_at = desk.clock.now()
    desk.take_in([a_reading(0, 0), a_reading(3, 3)])
    asked_at = []
    for minute in range(60):
        desk.clock.advance_to(found_at + timedelta(minutes=minute))
        if desk.keeper().ask(desk.waiting()):
            asked_at.append(minute)
    assert asked_at == [1, 6]
    [gap] = desk.ledger.noted_gaps.values()
    assert (gap.state, gap.requests, gap.missing) == (GapState.GIVEN_UP, 2, 2)
    [wanted] = decode_request(desk.sent[0][1])
    assert desk.sent[0][0] == "h2/g1/backfill"
    assert (wanted.sensor_id, wanted.first_seq, wanted.last_seq) == ("P-1", 1, 2)
    assert (wanted.after, wanted.before) == (a_reading(0).observed_at, a_reading(3).observed_at)
    desk.take_in([a_reading(slot, slot) for slot in (1, 2)])
    desk.settle()
    assert [gap.state for gap in desk.ledger.noted_gaps.values()] == [GapState.CLOSED], "late is better than never"


def test_what_the_broker_did_not_take_is_asked_again() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 0), a_reading(3, 3)])
    desk.broker_is_away = True
    with pytest.raises(UnavailableError, match="backfill request"):
        desk.recheck()
    assert [gap.state for gap in desk.waiting()] == [GapState.OPEN]
    desk.broker_is_away = False
    desk.recheck()
    assert [(gap.state, gap.requests) for gap in desk.waiting()] == [(GapState.REQUESTED, 1)]


def test_the_memory_holds_so_many_sensors_and_no_more() -> None:
    store = MemoryReadings()
    watch = GapWatch(store, {}, most_sensors=10)
    for number in range(35):
        heard_at = NOW + timedelta(seconds=number)
        watch.observe([replace(a_reading(number), sensor_id=f"S-{number}", available_at=heard_at)], ["g1"])
    assert len(watch._newest) <= 10
    assert "S-34" in watch._newest


def test_a_sensor_that_only_speaks_from_the_future_is_looked_up_once() -> None:
    desk = Desk()
    asked = 0
    looked_up = desk.store.latest

    def counted(*sensor_ids: object, **at: object) -> dict[str, Reading]:
        nonlocal asked
        asked += 1
        return looked_up(*sensor_ids, **at)  # type: ignore[arg-type]

    desk.store.latest = counted  # type: ignore[method-assign, assignment]
    for number in range(5):
        desk.take_in([a_reading(2000 + number, reasons=(Reason.EARLY,))])
    assert asked == 1
    desk.take_in([a_reading(0), a_reading(3)])
    desk.settle()
    assert slots_within(desk.waiting()) == {1, 2}


def test_what_a_killed_ingester_had_not_looked_at_is_looked_at_by_the_next() -> None:
    desk = Desk(ingesters=2)
    desk.take_in([a_reading(0, 0)])
    desk.settle()
    desk.take_in([a_reading(2, 2)])  # put down, not looked at
    desk.restart()
    desk.take_in([a_reading(3, 3)])
    desk.settle()
    assert slots_within(desk.waiting()) == {1}


def test_ingesters_that_share_a_sensor_fill_no_ledger_with_what_the_other_has() -> None:
    desk = Desk(ingesters=2)
    for number in range(20):
        desk.take_in([a_reading(number, number)], ingester=number % 2)
    desk.settle()
    assert desk.ledger.noted_gaps == {}


def test_where_nobody_has_time_to_look_the_places_do_not_pile_up() -> None:
    desk = Desk(ingesters=2)
    for number in range(0, 200, 2):
        desk.take_in([a_reading(0, number, jitter_s=number)])
        desk.seconds += 20.0
    (watch, _) = desk.watches
    assert sum(len(places) for places in watch._places.values()) <= 3
    desk.settle()
    assert sorted(gap.first_seq or 0 for gap in desk.waiting()) == list(range(1, 198, 2))


def test_what_remains_of_a_gap_after_a_kill_carries_on_its_requests() -> None:
    desk = Desk()
    desk.take_in([a_reading(0, 0), a_reading(9, 9)])
    desk.recheck()
    desk.take_in([a_reading(3, 3)])
    desk.restart()  # before anybody looked where it came
    desk.take_in([a_reading(6, 6)])
    desk.settle()
    assert [(gap.first_seq, gap.last_seq, gap.requests) for gap in desk.waiting()] == [(1, 2, 1), (4, 5, 1), (7, 8, 1)]
