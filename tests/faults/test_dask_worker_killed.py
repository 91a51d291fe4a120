"""Dask workers, and the scheduler, killed in the middle of a batch: every scenario has its one answer, in order."""

from __future__ import annotations

import json
import os
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
    answers = list(answers_in_turn(NET3, MANY, local))
    assert [answer["name"] for answer in answers] == [scenario.name for scenario in MANY]
    assert not any("error" in answer for answer in answers)
    return [json.dumps(answer) for answer in answers]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler that gives a task up when two workers have died of it."""
    twice = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with dask_scheduler(tmp_path_factory.mktemp("dask"), settings=twice) as (address, _):
        yield address


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


def ignores_sigterm(pid: int) -> bool:
    """Whether an engine process has come so far that it leaves it to its parent when to end."""
    ignored = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("number", "code"),
    [
        pytest.param(signal.SIGKILL, -signal.SIGKILL, id="as a machine that fails"),
        pytest.param(signal.SIGTERM, 0, id="as a service that is stopped, with all of its processes"),
    ],
)
def test_a_worker_that_ends_in_a_batch_loses_no_scenario_and_doubles_none(
    number: int, code: int, address: str, tmp_path: Path, local: EnginePool, expected: list[str]
) -> None:
    told: list[str] = []
    with (
        dask_worker(tmp_path, address, "a") as ended,
        dask_worker(tmp_path, address, "b") as other,
        DaskPool(address, local, say=told.append) as pool,
    ):
        with collected(pool) as answers:
            wait_until(at_work(ended.pid))
            (engine,) = children_of(ended.pid)
            if number == signal.SIGTERM:
                wait_until(lambda: ignores_sigterm(engine))
                os.kill(engine, number)
            os.kill(ended.pid, number)
            assert ended.wait(30) == code
            assert len(answers) < len(MANY)
        assert answers == expected
        assert other.poll() is None
        wait_until(lambda: has_ended(engine), what="the end of the dead worker's engine")
    assert told == []


def test_without_any_worker_left_the_local_pool_takes_over(
    address: str, tmp_path: Path, local: EnginePool, expected: list[str]
) -> None:
    told: list[str] = []
    with (
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


def test_a_worker_that_stands_still_is_not_waited_for_for_ever(address: str, tmp_path: Path, local: EnginePool) -> None:
    told: list[str] = []
    with (
        dask_worker(tmp_path, address, "a") as worker,
        DaskPool(address, local, say=told.append, patience_s=1.0) as pool,
    ):
        assert pool.run(engine_tasks.double, 1) == 2
        assert told == []
        worker.send_signal(signal.SIGSTOP)
        assert pool.run(engine_tasks.double, 2, time_limit_s=0.5) == 4
        assert told == [f"run on this machine, not by the Dask scheduler {address}: it gave no answer within 2 s"]
        worker.send_signal(signal.SIGCONT)


class Deadly:
    """A pool on which the scenario called s3 kills every worker that takes it."""

    def __init__(self, pool: DaskPool) -> None:
        self._pool = pool
        self.workers, self.time_limit_s = pool.workers, pool.time_limit_s

    def run(self, function: Callable[..., Result], *args: Any, time_limit_s: float | None = None) -> Result:
        scenarios: list[Scenario] = args[1]
        if any(scenario.name == "s3" for scenario in scenarios):
            self._pool.run(engine_tasks.kill_the_host, os.getpid())
        return self._pool.run(function, *args, time_limit_s=time_limit_s)


def test_a_scenario_that_workers_die_of_is_an_error_beside_the_answers_of_the_others(
    address: str, tmp_path: Path, local: EnginePool, expected: list[str]
) -> None:
    told: list[str] = []
    with (
        dask_worker(tmp_path, address, "a", nanny=True),
        dask_worker(tmp_path, address, "b", nanny=True),
        DaskPool(address, local, say=told.append) as pool,
    ):
        answers = list(answers_in_turn(NET3, MANY[:8], Deadly(pool)))
    died = "2 Dask workers died one after another during kill_the_host"
    assert answers.pop(3) == {"name": "s3", "error": died}
    assert [json.dumps(answer) for answer in answers] == [*expected[:3], *expected[4:8]]
    assert told == []
