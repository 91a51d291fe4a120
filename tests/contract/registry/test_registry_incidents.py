from __future__ import annotations

from collections.abc import Callable

import pytest
from contract.registry.records import SOMEWHERE_ELSE, an_incident, at

from twin.errors import InputError, NaiveDatetimeError, NotFoundError
from twin.incidents import Incident, IncidentKind, IncidentState, Severity
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
