from __future__ import annotations

import pytest
from contract.registry.records import a_notice, at

from twin.errors import NotFoundError
from twin.notices import NoticeState, step
from twin.storage.registry import SqlRegistry


def test_a_notice_comes_back_as_it_was_with_its_languages_in_order(registry: SqlRegistry) -> None:
    registry.save_notice(a_notice(1))
    assert registry.notice("N-00001") == a_notice(1)
    assert list(registry.notice("N-00001").texts) == ["pt", "en"]


def test_each_step_replaces_the_one_before(registry: SqlRegistry) -> None:
    notice = a_notice(1, state=NoticeState.DRAFT, revisions=())
    for number, state in enumerate((NoticeState.APPROVED, NoticeState.PUBLISHED, NoticeState.ALL_CLEAR)):
        registry.save_notice(notice)
        notice = step(notice, state, now=at(number), by="ana")
    registry.save_notice(notice)
    assert registry.notice("N-00001") == notice
    assert registry.count_notices() == {"all_clear": 1}


def test_an_unknown_notice(registry: SqlRegistry) -> None:
    with pytest.raises(NotFoundError, match="N-1"):
        registry.notice("N-1")


def test_the_notices_of_an_incident_are_listed_oldest_first(registry: SqlRegistry) -> None:
    for number, incident_id in ((7, "I-1"), (3, "I-1"), (5, "I-2"), (4, "I-1")):
        registry.save_notice(a_notice(number, incident_id=incident_id))
    assert [notice.notice_id for notice in registry.notices_of("I-1")] == ["N-00003", "N-00004", "N-00007"]
    assert registry.notices_of("I-3") == []


@pytest.mark.parametrize(
    "states",
    [None, [], [NoticeState.DRAFT], [NoticeState.PUBLISHED, NoticeState.UPDATED, NoticeState.ALL_CLEAR]],
    ids=["all", "none", "one", "public"],
)
def test_the_list_can_be_narrowed_to_states(registry: SqlRegistry, states: list[NoticeState] | None) -> None:
    every = [a_notice(number, state=list(NoticeState)[number % len(NoticeState)]) for number in range(17)]
    for notice in every:
        registry.save_notice(notice)
    expected = [notice for notice in reversed(every) if states is None or notice.state in states]
    assert list(registry.notices(states=states).items) == expected
    assert registry.count_notices() == {state: sum(notice.state == state for notice in every) for state in NoticeState}
