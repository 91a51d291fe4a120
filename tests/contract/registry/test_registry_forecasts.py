from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from contract.registry.records import A_PROVENANCE, SOMEWHERE_ELSE, a_run, a_supply_forecast, at

from twin.errors import ConflictError, InputError, NaiveDatetimeError, NotFoundError
from twin.forecasts import ForecastSeries, RunKind, RunStatus
from twin.storage.registry import SqlRegistry


def test_a_run_comes_back_as_it_was_issued(registry: SqlRegistry) -> None:
    registry.save_run(a_run(1))
    assert registry.run("R-00001") == a_run(1)


def test_a_failed_run_is_kept_with_its_cause(registry: SqlRegistry) -> None:
    failed = a_run(1, status=RunStatus.FAILED, cause="EPANET error 110", supply=None, drainage=None)
    registry.save_run(failed)
    assert registry.run("R-00001") == failed
    assert registry.count_runs() == {}


def test_a_second_run_of_the_same_id_is_refused_and_the_first_stays(registry: SqlRegistry) -> None:
    registry.save_run(a_run(1))
    with pytest.raises(ConflictError, match="R-00001"):
        registry.save_run(a_run(1, cause="rewritten"))
    assert registry.run("R-00001") == a_run(1)


def test_an_unknown_run(registry: SqlRegistry) -> None:
    with pytest.raises(NotFoundError, match="R-1"):
        registry.run("R-1")


def test_the_latest_run_is_the_newest_of_its_kind_issued_by_then(registry: SqlRegistry) -> None:
    # issued at  0 s      10 s      20 s        30 s        30 s
    #            supply   supply!   drainage    supply!     supply!!       (! failed, !! saved last)
    runs = [
        a_run(0, status=RunStatus.OK),
        a_run(10, status=RunStatus.FAILED),
        a_run(20, kind=RunKind.DRAINAGE),
        a_run(30, status=RunStatus.FAILED),
        a_run(31, issued_at=at(30)),
    ]
    for run in (runs[2], runs[1], runs[0], runs[3], runs[4]):
        registry.save_run(run)

    def latest(kind: RunKind, good_only: bool, seconds: float | None) -> str | None:
        run = registry.latest_run(kind, good_only=good_only, issued_by=None if seconds is None else at(seconds))
        return run and run.run_id

    assert latest(RunKind.SUPPLY, False, None) == "R-00031"
    assert latest(RunKind.SUPPLY, True, None) == "R-00031"
    assert latest(RunKind.SUPPLY, False, 29.999999) == "R-00010"
    assert latest(RunKind.SUPPLY, True, 29.999999) == "R-00000"
    assert latest(RunKind.SUPPLY, True, 0) == "R-00000"
    assert latest(RunKind.SUPPLY, False, -1e-6) is None
    assert latest(RunKind.DRAINAGE, True, None) == "R-00020"
    assert latest(RunKind.DRAINAGE, True, 19) is None
    assert registry.count_runs() == {"supply": 2, "drainage": 1}


def test_the_list_is_of_one_kind_within_its_bounds_newest_first(registry: SqlRegistry) -> None:
    for number in (3, 1, 2, 0):
        registry.save_run(a_run(number))
        registry.save_run(a_run(100 + number, kind=RunKind.DRAINAGE, issued_at=at(number)))
    start = at(1).astimezone(SOMEWHERE_ELSE)
    assert [run.run_id for run in registry.runs(RunKind.SUPPLY).items] == ["R-00003", "R-00002", "R-00001", "R-00000"]
    within = registry.runs(RunKind.DRAINAGE, start=start, end=at(3))
    assert [run.run_id for run in within.items] == ["R-00102", "R-00101"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_a_run_with_a_number_that_is_none_is_refused_by_name(registry: SqlRegistry, number: float) -> None:
    supply = replace(a_supply_forecast("R-00001"), series=(ForecastSeries("node", "J1", "pressure", (1.0, number)),))
    with pytest.raises(InputError, match=r"Run\.supply\.series\[0\]\.values\[1\]"):
        registry.save_run(a_run(1, supply=supply))
    assert registry.latest_run(RunKind.SUPPLY, good_only=False) is None


def test_a_time_without_zone_deep_inside_is_refused(registry: SqlRegistry) -> None:
    provenance = replace(A_PROVENANCE, state_at=at(0).replace(tzinfo=None))
    with pytest.raises(NaiveDatetimeError):
        registry.save_run(a_run(1, supply=replace(a_supply_forecast("R-00001"), provenance=provenance)))


def test_numbers_of_numpy_come_back_as_the_same_plain_numbers(registry: SqlRegistry) -> None:
    exact = tuple(np.random.default_rng(5).normal(size=500))
    series = ForecastSeries("node", "J1", "pressure", exact)
    registry.save_run(a_run(1, wall_s=np.float64(0.1), supply=replace(a_supply_forecast("R"), series=(series,))))
    kept = registry.run("R-00001")
    assert kept.supply is not None
    assert kept.supply.series[0].values == tuple(float(value) for value in exact)
    assert {type(value) for value in kept.supply.series[0].values} == {float}


def test_a_large_run_comes_back_after_closing(reopen: Callable[[], SqlRegistry]) -> None:
    values = tuple(number / 7 for number in range(577))
    series = tuple(ForecastSeries("node", f"J{number}", "pressure", values) for number in range(200))
    run = a_run(1, supply=replace(a_supply_forecast("R-00001"), series=series))
    registry = reopen()
    registry.save_run(run)
    registry.close()
    assert reopen().run("R-00001") == run
