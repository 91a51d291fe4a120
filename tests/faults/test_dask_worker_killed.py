"""Dask workers, and the scheduler, killed in the middle of a batch: every scenario has its one answer, in order."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import engine_tasks
import pytest
from running_service import children_of
from servers.dask import dask_scheduler, dask_worker
from servers.process import wait_until

from models.dask_pool import DaskPool
from models.pool import EnginePool, Engines, Result
from models.supply.scenarios.run import answers_in_turn
from twin.scenarios import Scenario, parse_scenario

NET3 = (Path(str(files("wntr"))) / "library" / "networks" / "Net3.inp").read_bytes()
MANY = [
    parse_scenario({"name": f"s{k}", "actions": [{"kind": "demand_surge", "factor": 1 + k / 50}], "hours": 240})
    for k in range(40)
]


@pytest.fixture(scope="module")
def local() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def expected(local: EnginePool) -> list[str]:
    return [json.dumps(answer) for answer in answers_in_turn(NET3, MANY, local)]


@contextmanager
def collected(pool: Engines) -> Iterator[list[str]]:
    """Give the answers to MANY, which all are there at the end of the block."""
    answers: list[str] = []

    def collect() -> None:
        answers.extend(json.dumps(answer) for answer in answers_in_turn(NET3, MANY, pool))

    collecting = threading.Thread(target=collect)
    collecting.start()
    try:
        yield answers
    finally:
        collecting.join()


def at_work(pid: int) -> Callable[[], bool]:
    """Whether a worker has made its first engine process: its first portion is in hand then, and far from done."""
    return lambda: bool(children_of(pid))


def test_a_worker_killed_in_a_batch_loses_no_scenario_and_doubles_none(
    tmp_path: Path, local: EnginePool, expected: list[str]
) -> None:
    told: list[str] = []
    with (
        dask_scheduler(tmp_path) as (address, _),
        dask_worker(tmp_path, address, "a") as killed,
        dask_worker(tmp_path, address, "b") as other,
        DaskPool(address, local, say=told.append) as pool,
    ):
        with collected(pool) as answers:
            wait_until(at_work(killed.pid))
            (engine,) = children_of(killed.pid)
            killed.kill()
            assert killed.wait() == -signal.SIGKILL
            assert answers == []
        assert answers == expected
        assert other.poll() is None
        wait_until(lambda: not Path(f"/proc/{engine}").exists(), what="the end of the dead worker's engine")
    assert told == []


def test_without_any_worker_left_the_local_pool_takes_over(
    tmp_path: Path, local: EnginePool, expected: list[str]
) -> None:
    told: list[str] = []
    with (
        dask_scheduler(tmp_path) as (address, _),
        dask_worker(tmp_path, address, "a") as a,
        dask_worker(tmp_path, address, "b") as b,
        DaskPool(address, local, say=told.append, patience_s=3.0) as pool,
    ):
        with collected(pool) as answers:
            wait_until(lambda: at_work(a.pid)() and at_work(b.pid)())
            a.kill()
            b.kill()
        assert answers == expected
    assert len(told) == 1
    assert "nobody is at work there any more" in told[0]


def test_when_the_scheduler_dies_the_local_pool_takes_over(
    tmp_path: Path, local: EnginePool, expected: list[str]
) -> None:
    told: list[str] = []
    with (
        dask_scheduler(tmp_path) as (address, scheduler),
        dask_worker(tmp_path, address, "a") as worker,
        DaskPool(address, local, say=told.append) as pool,
    ):
        with collected(pool) as answers:
            wait_until(at_work(worker.pid))
            scheduler.kill()
        assert answers == expected
    assert len(told) == 1
    assert "the connection to it broke" in told[0]


class Deadly:
    """A pool on which the scenario called s3 kills every worker that takes it."""

    def __init__(self, pool: DaskPool) -> None:
        self._pool = pool
        self.workers, self.time_limit_s = pool.workers, pool.time_limit_s

    def run(self, function: Callable[..., Result], *args: Any, time_limit_s: float | None = None) -> Result:
        scenarios: list[Scenario] = args[1]
        if any(scenario.name == "s3" for scenario in scenarios):
            self._pool.run(engine_tasks.kill_the_host)
        return self._pool.run(function, *args, time_limit_s=time_limit_s)


def test_a_scenario_that_workers_die_of_is_an_error_beside_the_answers_of_the_others(
    tmp_path: Path, local: EnginePool, expected: list[str]
) -> None:
    told: list[str] = []
    twice = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with (
        dask_scheduler(tmp_path, settings=twice) as (address, _),
        dask_worker(tmp_path, address, "a", nanny=True),
        dask_worker(tmp_path, address, "b", nanny=True),
        DaskPool(address, local, say=told.append) as pool,
    ):
        answers = list(answers_in_turn(NET3, MANY[:8], Deadly(pool)))
    died = "2 Dask workers died one after another during kill_the_host"
    assert answers.pop(3) == {"name": "s3", "error": died}
    assert [json.dumps(answer) for answer in answers] == [*expected[:3], *expected[4:8]]
    assert told == []
