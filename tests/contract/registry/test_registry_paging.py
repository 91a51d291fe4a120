"""Paging through many rows, many of them of one moment, loses none and repeats none, in every list."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from contract.registry.records import a_letter, a_notice, a_run, an_entry, an_incident, at

from twin.errors import InputError
from twin.forecasts import RunKind
from twin.notices import NoticeState
from twin.ports import Page
from twin.storage.registry import SqlRegistry

ROWS = 57
ORDER = random.Random(11).sample(range(ROWS), ROWS)
MOMENT = {number: at(number // 5) for number in range(ROWS)}  # five rows share each moment

Lister = Callable[..., Page[Any]]


def bury(registry: SqlRegistry) -> Lister:
    for number in ORDER:
        registry.bury([a_letter(number, received_at=MOMENT[number])])
    return registry.dead_letters


def save_incidents(registry: SqlRegistry) -> Lister:
    registry.save_incidents([an_incident(number, opened_at=MOMENT[number]) for number in ORDER])
    return registry.incidents


def save_notices(registry: SqlRegistry) -> Lister:
    for number in ORDER:
        registry.save_notice(a_notice(number, created_at=MOMENT[number]))
    return lambda **page: registry.notices(states=list(NoticeState), **page)


def save_runs(registry: SqlRegistry) -> Lister:
    for number in ORDER:
        registry.save_run(a_run(number, issued_at=MOMENT[number], supply=None, drainage=None))
        registry.save_run(a_run(number + 1000, kind=RunKind.DRAINAGE, issued_at=MOMENT[number]))
    return lambda **page: registry.runs(RunKind.SUPPLY, **page)


def record(registry: SqlRegistry) -> Lister:
    for number in ORDER:
        registry.record(an_entry(number, at=MOMENT[number]))
    return registry.audit_entries


LISTS = [bury, save_incidents, save_notices, save_runs, record]


def moment_of(item: Any) -> Any:
    for name in ("received_at", "opened_at", "created_at", "issued_at", "at"):
        if hasattr(item, name):
            return getattr(item, name)
    raise AssertionError(item)


def all_pages(page: Lister, limit: int) -> list[Page[Any]]:
    pages = [page(limit=limit)]
    while pages[-1].next_cursor is not None:
        pages.append(page(limit=limit, cursor=pages[-1].next_cursor))
    return pages


@pytest.mark.parametrize("fill", LISTS, ids=lambda fill: fill.__name__)
def test_pages_of_any_size_add_up_to_the_whole_list(registry: SqlRegistry, fill: Callable[..., Lister]) -> None:
    page = fill(registry)
    whole = page(limit=1000).items
    assert len(set(map(str, whole))) == ROWS
    assert [moment_of(item) for item in whole] == sorted(MOMENT.values(), reverse=True)
    for limit in (1, 2, 5, 7, 56, 57, 58):
        pages = all_pages(page, limit)
        assert tuple(item for page_ in pages for item in page_.items) == whole
        assert len(pages) == -(-ROWS // limit)
        assert all(len(page_.items) == limit for page_ in pages[:-1])


@pytest.mark.parametrize("fill", LISTS, ids=lambda fill: fill.__name__)
def test_a_cursor_can_stand_in_a_url(registry: SqlRegistry, fill: Callable[..., Lister]) -> None:
    cursor = fill(registry)(limit=3).next_cursor
    assert cursor is not None
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_an_empty_list_has_no_next_page(registry: SqlRegistry) -> None:
    assert registry.dead_letters() == Page((), None)


def test_rows_that_come_while_paging_do_not_shift_the_pages(registry: SqlRegistry) -> None:
    registry.save_incidents([an_incident(number) for number in range(10)])
    first = registry.incidents(limit=4)
    registry.save_incidents([an_incident(number) for number in range(10, 15)])
    second = registry.incidents(limit=100, cursor=first.next_cursor)
    assert [incident.incident_id for incident in (*first.items, *second.items)] == [
        f"I-{n:05}" for n in range(9, -1, -1)
    ]


def test_ids_that_need_care_are_paged_in_order(registry: SqlRegistry) -> None:
    ids = ["a", "B", "é", "á", "Z", "_", "\U0001f6b0", "ﬁ", "'", '"', "%", "a b"]
    registry.save_incidents([an_incident(incident_id=incident_id) for incident_id in ids])
    listed = [page.items[0].incident_id for page in all_pages(registry.incidents, 1)]
    assert listed == sorted(ids, reverse=True)


def test_a_thousand_is_the_longest_page(registry: SqlRegistry) -> None:
    registry.bury([a_letter(number, payload=str(number).encode()) for number in range(1001)])
    page = registry.dead_letters(limit=1000)
    assert len(page.items) == 1000
    assert len(registry.dead_letters(limit=1000, cursor=page.next_cursor).items) == 1


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**30])
def test_a_limit_out_of_bounds_is_refused(registry: SqlRegistry, limit: int) -> None:
    lists: list[Lister] = [registry.dead_letters, registry.incidents, registry.notices, registry.audit_entries]
    for page in (*lists, partial(registry.runs, RunKind.SUPPLY)):
        with pytest.raises(InputError, match="1 to 1000"):
            page(limit=limit)


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param("", id="empty"),
        pytest.param("é", id="not ASCII"),
        pytest.param("!!!!", id="not base64"),
        pytest.param("AAAAA", id="impossible length"),
        pytest.param(encoded("[]"), id="nothing in it"),
        pytest.param(encoded('["incidents","2026-01-01T00:00:00Z",7]'), id="a number for a text"),
        pytest.param(encoded('["incidents","2026-01-01T00:00:00","I"]'), id="naive time"),
        pytest.param(encoded('["incidents","yesterday","I"]'), id="no time"),
        pytest.param(encoded('["incidents","2026-01-01T00:00:00Z","a\\u0000"]'), id="NUL"),
        pytest.param(encoded('["incidents","2026-01-01T00:00:00Z","\\ud800"]'), id="lone surrogate"),
        pytest.param(encoded('["notices","2026-01-01T00:00:00Z","N"]'), id="of another list"),
        pytest.param(encoded('["incidents","0001-01-01T00:00:00+14:00","I"]'), id="before all time"),
        pytest.param(encoded("[" * 100_000), id="deep"),
    ],
)
def test_a_broken_cursor_is_refused(registry: SqlRegistry, cursor: str) -> None:
    registry.save_incidents([an_incident(1)])
    with pytest.raises(InputError):
        registry.incidents(cursor=cursor)


@pytest.mark.parametrize("number", [2**63, 10**30, -(2**63) - 1])
def test_a_cursor_with_an_impossible_number_is_refused(registry: SqlRegistry, number: int) -> None:
    with pytest.raises(InputError):
        registry.dead_letters(cursor=encoded(f'["dead letters","2026-01-01T00:00:00Z",{number}]'))


def test_a_cut_or_changed_cursor_never_crashes(registry: SqlRegistry) -> None:
    registry.save_incidents([an_incident(number) for number in range(3)])
    cursor = registry.incidents(limit=1).next_cursor
    assert cursor is not None
    for place in range(len(cursor)):
        for broken in (cursor[:place], cursor[:place] + "_" + cursor[place + 1 :]):
            try:
                registry.incidents(cursor=broken)
            except InputError:
                continue
