from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from contract.registry.records import SOMEWHERE_ELSE, an_incident, at

from twin.errors import ConflictError, InputError, NaiveDatetimeError, NotFoundError
from twin.incidents import Incident, IncidentKind, IncidentState, Severity, acknowledge, close, shelve
from twin.storage.registry import SqlRegistry


def test_an_incident_comes_back_as_it_was(registry: SqlRegistry) -> None:
    plain = Incident("I-2", IncidentKind.TANK_LOW, "k", "c", Severity.MINOR, 1.0, at(0), at(0))
    registry.save_incidents([an_incident(1), plain])
    assert registry.incident("I-00001") == an_incident(1)
    assert registry.incident("I-2") == plain


def test_saving_again_replaces(registry: SqlRegistry) -> None:
    registry.save_incidents([an_incident(1, state=IncidentState.OPEN), an_incident(2)])
    registry.save_incidents([an_incident(1, cause="first"), an_incident(1, cause="closed")])
    assert registry.incident("I-00001").cause == "closed"
    assert registry.open_incidents() == []
    assert registry.count_incidents() == {"flood_predicted": 2}


@pytest.mark.parametrize("unknown", ["", "I-1", "' OR 1=1 --", "x" * 10_000])
def test_an_unknown_incident(registry: SqlRegistry, unknown: str) -> None:
    registry.save_incidents([an_incident(1)])
    with pytest.raises(NotFoundError):
        registry.incident(unknown)


def test_open_incidents_are_listed_oldest_first(registry: SqlRegistry) -> None:
    still_open = [an_incident(number, state=IncidentState.OPEN) for number in (5, 3, 9)]
    registry.save_incidents([*still_open, an_incident(4), an_incident(1)])
    assert [incident.incident_id for incident in registry.open_incidents()] == ["I-00003", "I-00005", "I-00009"]


def test_the_list_can_be_narrowed(registry: SqlRegistry) -> None:
    every = [
        an_incident(
            number,
            kind=list(IncidentKind)[number % 3],
            state=IncidentState.OPEN if number % 2 else IncidentState.CLOSED,
        )
        for number in range(24)
    ]
    registry.save_incidents(every)
    for kind in (None, *IncidentKind):
        for state in (None, *IncidentState):
            for start, end in ((None, None), (at(5), None), (None, at(5)), (at(5), at(11)), (at(11), at(5))):
                expected = [
                    incident
                    for incident in reversed(every)
                    if (kind is None or incident.kind is kind)
                    and (state is None or incident.state is state)
                    and (start is None or incident.opened_at >= start)
                    and (end is None or incident.opened_at < end)
                ]
                page = registry.incidents(kind=kind, state=state, start=start, end=end)
                assert list(page.items) == expected
    counted = {kind: sum(incident.kind == kind for incident in every) for kind in list(IncidentKind)[:3]}
    assert registry.count_incidents() == counted


def test_times_are_compared_as_moments_not_as_clock_faces(registry: SqlRegistry) -> None:
    registry.save_incidents([an_incident(1, opened_at=at(1).astimezone(SOMEWHERE_ELSE)), an_incident(2)])
    assert [incident.incident_id for incident in registry.incidents().items] == ["I-00002", "I-00001"]
    within = registry.incidents(start=at(1).astimezone(SOMEWHERE_ELSE), end=at(1.000001).astimezone(SOMEWHERE_ELSE))
    assert [incident.incident_id for incident in within.items] == ["I-00001"]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"confidence": float("nan")}, InputError),
        ({"confidence": float("-inf")}, InputError),
        ({"opened_at": at(0).replace(tzinfo=None)}, NaiveDatetimeError),
        ({"shelved_until": at(0).replace(tzinfo=None)}, NaiveDatetimeError),
        ({"cause": "\ud800"}, InputError),
        ({"node_ids": ("a", object())}, InputError),
    ],
)
def test_an_incident_that_could_not_come_back_is_refused_with_all_its_batch(
    registry: SqlRegistry, bad: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        registry.save_incidents([an_incident(1), an_incident(2, **bad)])
    assert registry.incidents().items == ()


def test_a_naive_time_in_a_question_is_an_error(registry: SqlRegistry) -> None:
    with pytest.raises(NaiveDatetimeError):
        registry.incidents(start=at(0).replace(tzinfo=None))


def test_incidents_survive_closing(reopen: Callable[[], SqlRegistry]) -> None:
    registry = reopen()
    registry.save_incidents([an_incident(1, state=IncidentState.OPEN)])
    registry.close()
    assert reopen().open_incidents() == [an_incident(1, state=IncidentState.OPEN)]


# ------------------------------------------------------------------------- operators and the cycle at the same time


def an_open_one(number: int = 1) -> Incident:
    unmarked = {"acknowledged_by": "", "acknowledged_at": None, "shelved_by": "", "shelved_until": None}
    return an_incident(number, state=IncidentState.OPEN, closed_at=None, shelved_reason="", **unmarked)


def test_a_change_is_kept_and_returned(registry: SqlRegistry) -> None:
    registry.save_incidents([an_open_one(1), an_open_one(2)])
    changed = registry.change_incident("I-00001", lambda one: acknowledge(one, by="ana", now=at(9)))
    assert changed == acknowledge(an_open_one(1), by="ana", now=at(9))
    assert registry.incident("I-00001") == changed
    assert registry.incident("I-00002") == an_open_one(2)


def test_a_change_of_an_unknown_incident_makes_none(registry: SqlRegistry) -> None:
    with pytest.raises(NotFoundError):
        registry.change_incident("I-9", lambda one: one)
    assert registry.incidents().items == ()


def test_a_change_that_raises_leaves_everything_as_it_was(registry: SqlRegistry) -> None:
    registry.save_incidents([an_incident(1)])
    with pytest.raises(ConflictError):
        registry.change_incident("I-00001", lambda one: acknowledge(one, by="ana", now=at(9)))
    with pytest.raises(InputError):
        registry.change_incident("I-00001", lambda one: replace(one, confidence=float("nan")))
    assert registry.incident("I-00001") == an_incident(1)


def test_no_change_is_lost_among_many(reopen: Callable[[], SqlRegistry]) -> None:
    registries = [reopen(), reopen()]
    registries[0].save_incidents([replace(an_open_one(1), node_ids=())])

    def add(number: int) -> None:
        registries[number % 2].change_incident(
            "I-00001", lambda one: replace(one, node_ids=(*one.node_ids, f"J{number}"))
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(80)))
    assert sorted(registries[0].incident("I-00001").node_ids) == sorted(f"J{number}" for number in range(80))


def test_what_is_judged_keeps_the_marks_made_since_it_was_read(registry: SqlRegistry) -> None:
    registry.save_incidents([an_open_one(1), an_open_one(2)])
    read = registry.open_incidents()
    registry.change_incident("I-00001", lambda one: acknowledge(one, by="ana", now=at(5)))
    registry.change_incident("I-00001", lambda one: shelve(one, by="rui", until=at(50), reason="works", now=at(6)))
    kept = registry.save_judgement([replace(one, cause="worse", updated_at=at(7)) for one in read])
    assert kept == [registry.incident("I-00001"), registry.incident("I-00002")]
    assert kept[0] == replace(
        read[0], cause="worse", updated_at=at(7), acknowledged_by="ana", acknowledged_at=at(5),
        shelved_by="rui", shelved_until=at(50), shelved_reason="works",
    )  # fmt: skip
    assert kept[1] == replace(read[1], cause="worse", updated_at=at(7))


def test_a_mark_taken_back_since_does_not_return_with_what_is_judged(registry: SqlRegistry) -> None:
    shelved = shelve(an_open_one(1), by="rui", until=at(50), reason="works", now=at(6))
    registry.save_incidents([shelved])
    registry.change_incident("I-00001", lambda one: replace(one, shelved_by="", shelved_until=None, shelved_reason=""))
    (kept,) = registry.save_judgement([replace(shelved, cause="worse")])
    assert (kept.cause, kept.shelved_by, kept.shelved_until, kept.shelved_reason) == ("worse", "", None, "")


def test_what_is_judged_anew_is_added_and_what_was_closed_stays_closed(registry: SqlRegistry) -> None:
    open_one = an_open_one(1)
    closed = close(open_one, now=at(8))
    registry.save_incidents([closed])
    assert registry.save_judgement([replace(open_one, cause="stale"), an_open_one(2)]) == [closed, an_open_one(2)]
    assert registry.open_incidents() == [an_open_one(2)]
    assert registry.save_judgement([]) == []


def test_what_is_judged_is_kept_all_or_none(registry: SqlRegistry) -> None:
    registry.save_incidents([an_open_one(1)])
    with pytest.raises(InputError):
        registry.save_judgement([replace(an_open_one(1), cause="x"), replace(an_open_one(2), confidence=float("nan"))])
    assert registry.open_incidents() == [an_open_one(1)]


def test_operators_and_the_cycle_at_once_lose_nothing_of_each_other(reopen: Callable[[], SqlRegistry]) -> None:
    cycle, desk = reopen(), reopen()
    cycle.save_incidents([an_open_one(number) for number in range(20)])

    def judge() -> None:
        for turn in range(30):
            cycle.save_judgement([replace(one, cause=f"turn {turn}") for one in cycle.open_incidents()])
        cycle.save_judgement([close(one, now=at(99)) for one in cycle.open_incidents()])

    def mark(number: int) -> bool:
        try:
            desk.change_incident(f"I-{number:05}", lambda one: acknowledge(one, by=f"ana {number}", now=at(50)))
        except ConflictError:  # it was closed first
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        judging = pool.submit(judge)
        marked = list(pool.map(mark, range(20)))
        judging.result()
    for number in range(20):
        one = desk.incident(f"I-{number:05}")
        assert (one.state, one.cause) == (IncidentState.CLOSED, "turn 29")
        assert one.acknowledged_by == (f"ana {number}" if marked[number] else "")
