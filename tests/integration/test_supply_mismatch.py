"""A valve that is closed in the real town only is found, and is not taken for a leak; nor is a leak for a valve.

The real town is another engine's (EPANET 2.2 of WNTR), with other roughness and other consumers than the model's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from supply_grid import START, close_at, grid_inp, leak_at, real_town

from models.pool import EnginePool
from models.supply.suspicion import Search, search_mismatch
from twin.mismatch import Mismatch, Verdict

CHANGED_AT_H = 30
SEARCH = Search(START + timedelta(hours=46), 8, START + timedelta(hours=2), START + timedelta(hours=CHANGED_AT_H - 1))


@pytest.fixture(scope="module")
def pool() -> Iterator[EnginePool]:
    with EnginePool(1) as engines:
        yield engines


@pytest.fixture
def find(pool: EnginePool, tmp_path: Path) -> Callable[..., Mismatch]:
    def search(change: Callable[[Any], None] | None, *, model: str = "", of: Search = SEARCH) -> Mismatch:
        tracks = real_town(tmp_path, change)
        return search_mismatch((model or grid_inp()).encode(), tracks, pool, of, zone=UTC)

    return search


def test_an_ordinary_day_is_nothing(find: Callable[..., Mismatch]) -> None:
    assert find(None).verdict is Verdict.NOTHING


@pytest.mark.parametrize("pipe", ["h00", "v00", "h32", "h11"])
def test_a_pipe_closed_in_the_real_town_only_is_named(find: Callable[..., Mismatch], pipe: str) -> None:
    found = find(close_at(pipe, CHANGED_AT_H))
    assert found.verdict is Verdict.STATUS
    assert found.named is not None
    assert (found.named.what, found.named.element_id) == ("closed", pipe)
    assert found.named.explains > 0.9


def test_without_usual_residuals_a_large_one_is_still_named(find: Callable[..., Mismatch]) -> None:
    found = find(close_at("h00", CHANGED_AT_H), of=Search(SEARCH.at, 8))
    assert found.named is not None
    assert (found.verdict, found.named.element_id) == (Verdict.STATUS, "h00")


def test_a_pipe_that_is_open_though_the_model_has_it_closed_is_named(find: Callable[..., Mismatch]) -> None:
    found = find(None, model=grid_inp(closed=["h00"]), of=Search(SEARCH.at, 8))
    assert found.named is not None
    assert (found.verdict, found.named.what, found.named.element_id) == (Verdict.STATUS, "open", "h00")


def test_a_leak_is_not_called_a_closed_valve(find: Callable[..., Mismatch]) -> None:
    found = find(leak_at("J21", CHANGED_AT_H, 0.03))
    assert found.verdict is Verdict.LEAK
    assert found.named is not None
    assert found.named.element_id == "J21"
    assert found.named.leak_m3s == pytest.approx(0.0166, rel=0.3)  # 0.75 pi 0.03^2 / 4 sqrt(2 g 50 m)


def test_two_pipes_in_series_are_named_together(find: Callable[..., Mismatch]) -> None:
    # h01 in two pieces, with nothing between them: whichever is closed, the town is the same
    pieces = grid_inp().replace("h01 J01 J02 400", "h01 J01 X 200").replace("[RESERVOIRS]", "X 10 0\n[RESERVOIRS]")
    pieces = pieces.replace("[PIPES]", "[PIPES]\nh01b X J02 200 150 110 0 Open")
    found = find(close_at("h01", CHANGED_AT_H), model=pieces)
    assert found.verdict is Verdict.STATUS
    assert found.named is not None
    assert {found.named.element_id, *found.same_as} == {"h01", "h01b"}


def test_what_two_changes_brought_is_not_laid_at_the_door_of_one(find: Callable[..., Mismatch]) -> None:
    def both(town: Any) -> None:
        close_at("h00", CHANGED_AT_H)(town)
        leak_at("J30", CHANGED_AT_H, 0.04)(town)

    found = find(both)
    assert found.verdict in (Verdict.UNEXPLAINED, Verdict.AMBIGUOUS)
    assert found.named is None
