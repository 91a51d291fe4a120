"""Scenarios by a real Dask scheduler and two real workers: the same bytes as by the local engine processes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import engine_tasks
import pytest
from running_service import children_of
from servers.dask import dask_scheduler, dask_worker
from servers.process import free_port

from models.dask_pool import DaskPool
from models.pool import EnginePool
from models.supply.scenarios.run import answers_in_turn
from twin.errors import InputError, ModelError
from twin.scenarios import parse_scenario

NET3 = (Path(str(files("wntr"))) / "library" / "networks" / "Net3.inp").read_bytes()
MANY = [
    parse_scenario({"name": f"s{k}", "actions": [{"kind": "demand_surge", "factor": 1 + k / 10}]}) for k in range(7)
] + [
    parse_scenario({"name": f"burst {d}", "actions": [{"kind": "burst", "node": "105", "diameter_mm": d}]})
    for d in range(20, 80, 10)
]


def silent(text: str) -> None:
    raise AssertionError(f"Dask was left alone: {text}")


@pytest.fixture(scope="module")
def local() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as stack:
        address, _ = stack.enter_context(dask_scheduler(folder))
        yield address, [stack.enter_context(dask_worker(folder, address, name)) for name in ("a", "b")]


@pytest.fixture
def dask(cluster: tuple[str, list[subprocess.Popen[bytes]]], local: EnginePool) -> Iterator[DaskPool]:
    with DaskPool(cluster[0], local, say=silent) as pool:
        yield pool


def as_bytes(inp: bytes, pool: DaskPool | EnginePool) -> list[bytes]:
    return [json.dumps(answer).encode() for answer in answers_in_turn(inp, MANY, pool)]


def test_answers_are_the_bytes_of_the_local_pool(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], dask: DaskPool, local: EnginePool
) -> None:
    assert dask.workers == 2
    assert as_bytes(NET3, dask) == as_bytes(NET3, local)
    # both took part, with an engine process each
    assert all(children_of(worker.pid) for worker in cluster[1])


def test_an_engine_that_crashes_or_hangs_costs_its_task_and_no_worker(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], dask: DaskPool
) -> None:
    with pytest.raises(ModelError, match="the engine died during segfault: SIGSEGV"):
        dask.run(engine_tasks.segfault)
    with pytest.raises(ModelError, match="hold_the_interpreter_for_ever took longer than 0"):
        dask.run(engine_tasks.hold_the_interpreter_for_ever, time_limit_s=0.5)
    with pytest.raises(InputError, match="line 7: no such junction"):
        dask.run(engine_tasks.reject)
    assert dask.run(engine_tasks.double, 21) == 42
    assert all(worker.poll() is None for worker in cluster[1])


def test_the_limits_of_the_local_pool_count_there(cluster: tuple[str, list[subprocess.Popen[bytes]]]) -> None:
    with EnginePool(1, memory_limit_mb=1234, file_limit_mb=7) as small, DaskPool(cluster[0], small, say=silent) as dask:
        limits = dask.run(engine_tasks.limits)
    assert limits == {"memory": 1234 * 1024**2, "file": 7 * 1024**2, "core": 0}


def test_a_scheduler_that_is_not_there_costs_a_sentence_and_no_answer(local: EnginePool) -> None:
    told: list[str] = []
    with DaskPool(f"tcp://127.0.0.1:{free_port()}", local, say=told.append) as pool:
        assert as_bytes(NET3, pool) == as_bytes(NET3, local)
    assert len(told) == 1
    assert "it cannot be reached" in told[0]
