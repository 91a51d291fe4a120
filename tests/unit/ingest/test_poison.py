"""One item that meets a defect is set apart when others go through; when nothing does, nobody is to blame."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.poison import apart
from twin.errors import InputError, UnavailableError


def a_store(bad: dict[int, Exception], kept: list[int]):  # type: ignore[no-untyped-def]
    def act(items: Sequence[int]) -> int:
        for item in items:
            if item in bad:
                raise bad[item]
        kept.extend(items)
        return len(items)

    return act


@given(st.sets(st.integers(0, 99), max_size=20), st.integers(1, 100))
def test_exactly_the_bad_ones_are_set_apart(bad: set[int], size: int) -> None:
    items, kept = list(range(size)), list[int]()
    failures = {item: InputError("no") for item in bad}
    results, failed = apart(items, a_store(failures, kept))
    assert kept == [item for item in items if item not in bad]
    assert sum(results) == len(kept)
    assert set(failed) == bad & set(items)


def test_one_defect_among_many_is_poison() -> None:
    kept: list[int] = []
    _, failed = apart(range(1000), a_store({617: ZeroDivisionError("x")}, kept))
    assert list(failed) == [617]
    assert len(kept) == 999


@pytest.mark.parametrize("size", [1, 2, 500])
def test_when_all_fail_the_store_is_to_blame(size: int) -> None:
    asked: list[int] = []

    def act(items: Sequence[int]) -> int:
        asked.append(len(items))
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError):
        apart(range(size), act)
    assert len(asked) < 40, "it is not asked for every item"


def test_when_others_are_known_to_go_through_a_lone_item_is_poison() -> None:
    _, failed = apart([7], a_store({7: ZeroDivisionError("x")}, []), proven=True)
    assert list(failed) == [0]


def test_a_store_that_goes_away_meanwhile_is_said_at_once() -> None:
    kept: list[int] = []
    with pytest.raises(UnavailableError):
        apart([1, 2, 3, 4], a_store({1: ZeroDivisionError("x"), 3: UnavailableError("away")}, kept))
    assert kept == [2]
