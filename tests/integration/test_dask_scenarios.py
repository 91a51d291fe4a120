"""Scenarios by a real Dask scheduler and two real workers: the same bytes as by the local engine processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.resources import files
from pathlib import Path

import engine_tasks
import pytest
from command_line import CommandLine
from dask import config as dask_config
from running_service import children_of
from servers.dask import REPOSITORY, dask_scheduler, dask_worker
from servers.process import free_port
from supply_networks import ONE_TANK

from api.diagnosis import diagnose
from api.settings import load_settings
from models.dask_pool import DaskPool
from models.pool import EnginePool
from models.supply.scenarios.run import answers_in_turn
from twin.errors import ConfigError, InputError, ModelError
from twin.scenarios import parse_scenario

NET3 = (Path(str(files("wntr"))) / "library" / "networks" / "Net3.inp").read_bytes()
MANY = [
    parse_scenario({"name": f"s{k}", "actions": [{"kind": "demand_surge", "factor": 1 + k / 10}]}) for k in range(7)
] + [
    parse_scenario({"name": f"burst {d}", "actions": [{"kind": "burst", "node": "105", "diameter_mm": d}]})
    for d in range(20, 80, 10)
]


Cluster = tuple[str, list[subprocess.Popen[bytes]]]


def silent(text: str) -> None:
    raise AssertionError(f"Dask was left alone: {text}")


@pytest.fixture(scope="module")
def local() -> Iterator[EnginePool]:
    with EnginePool(2) as pool:
        yield pool


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as stack:
        address, _ = stack.enter_context(dask_scheduler(folder))
        yield address, [stack.enter_context(dask_worker(folder, address, name)) for name in ("a", "b")]


@pytest.fixture
def dask(cluster: Cluster, local: EnginePool) -> Iterator[DaskPool]:
    with DaskPool(cluster[0], local, say=silent) as pool:
        yield pool


def as_bytes(inp: bytes, pool: DaskPool | EnginePool) -> list[bytes]:
    return [json.dumps(answer).encode() for answer in answers_in_turn(inp, MANY, pool)]


def test_answers_are_the_bytes_of_the_local_pool(cluster: Cluster, dask: DaskPool, local: EnginePool) -> None:
    assert dask.workers == 2
    assert as_bytes(NET3, dask) == as_bytes(NET3, local)
    # both took part, with an engine process each
    assert all(children_of(worker.pid) for worker in cluster[1])


def test_an_engine_that_crashes_or_hangs_costs_its_task_and_no_worker(cluster: Cluster, dask: DaskPool) -> None:
    with pytest.raises(ModelError, match="the engine died during segfault: SIGSEGV"):
        dask.run(engine_tasks.segfault)
    with pytest.raises(ModelError, match="hold_the_interpreter_for_ever took longer than 0"):
        dask.run(engine_tasks.hold_the_interpreter_for_ever, time_limit_s=0.5)
    with pytest.raises(InputError, match="line 7: no such junction"):
        dask.run(engine_tasks.reject)
    assert dask.run(engine_tasks.double, 21) == 42
    assert all(worker.poll() is None for worker in cluster[1])


def test_the_limits_of_the_local_pool_count_there(cluster: Cluster) -> None:
    with EnginePool(1, memory_limit_mb=1234, file_limit_mb=7) as small, DaskPool(cluster[0], small, say=silent) as dask:
        limits = dask.run(engine_tasks.limits)
    assert limits == {"memory": 1234 * 1024**2, "file": 7 * 1024**2, "core": 0}


def test_a_large_network_goes_there_without_ado(dask: DaskPool) -> None:
    assert dask.run(len, bytes(12_000_000)) == 12_000_000


def test_a_worker_of_another_version_is_not_asked(tmp_path: Path, local: EnginePool) -> None:
    for package in ("models", "twin"):
        shutil.copytree(REPOSITORY / package, tmp_path / "other" / package)
    with (tmp_path / "other" / "models" / "supply" / "scenarios" / "run.py").open("a") as file:
        file.write("# one more line\n")
    told: list[str] = []
    with (
        dask_scheduler(tmp_path) as (address, _),
        dask_worker(tmp_path, address, "old", installation=tmp_path / "other") as worker,
        DaskPool(address, local, say=told.append) as pool,
    ):
        assert pool.run(engine_tasks.double, 2) == 4
        assert children_of(worker.pid) == set()
    assert len(told) == 1
    assert "of another version than here" in told[0]


def test_a_scheduler_without_workers_is_not_waited_for(tmp_path: Path, local: EnginePool) -> None:
    told: list[str] = []
    with dask_scheduler(tmp_path) as (address, _), DaskPool(address, local, say=told.append, patience_s=0.5) as pool:
        assert pool.run(engine_tasks.double, 2) == 4
    assert len(told) == 1


def certificate(folder: Path, name: str) -> dict[str, str]:
    """Make a certificate that is its own authority; return Dask's settings to use it and to trust no other."""
    key, own = str(folder / f"{name}.key"), str(folder / f"{name}.pem")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", own,
            "-days", "2", "-subj", "/CN=dask", "-addext", "subjectAltName=IP:127.0.0.1",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = {"distributed.comm.tls.ca-file": own}
    for role in ("client", "scheduler", "worker"):
        settings |= {f"distributed.comm.tls.{role}.key": key, f"distributed.comm.tls.{role}.cert": own}
    return settings


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes the certificates, is not installed")
def test_over_tls_only_those_with_a_certificate_of_the_same_authority_are_served(
    tmp_path: Path, local: EnginePool
) -> None:
    ours, theirs = certificate(tmp_path, "ours"), certificate(tmp_path, "theirs")
    uninvited = ours | {name: path for name, path in theirs.items() if "client" in name}
    variables = {f"DASK_{name.replace('.', '__').replace('-', '_').upper()}": path for name, path in ours.items()}
    told: list[str] = []
    with (
        dask_scheduler(tmp_path, scheme="tls", settings=variables) as (address, _),
        dask_worker(tmp_path, address, "a", settings=variables) as worker,
    ):
        with dask_config.set(ours), DaskPool(address, local, say=silent) as pool:
            assert pool.run(engine_tasks.double, 2) == 4
            assert children_of(worker.pid)
        for wrong, with_what in ((address, theirs), (address, uninvited), (address.replace("tls", "tcp"), {})):
            with dask_config.set(with_what), DaskPool(wrong, local, say=told.append, patience_s=1.0) as pool:
                assert pool.run(engine_tasks.double, 2) == 4
    assert len(told) == 3
    assert all("it cannot be reached" in text for text in told)
    with pytest.raises(ConfigError, match=r"DASK_DISTRIBUTED__COMM__TLS__CA_FILE, .*CLIENT__CERT, .*CLIENT__KEY"):
        DaskPool(address, local, say=silent)


def test_without_dask_the_extra_is_named(local: EnginePool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"pip install distributed \(extra: dask\)"):
        DaskPool("tcp://127.0.0.1:8786", local, say=silent)


def test_the_command_line_prints_the_same_document(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    h2twin = CommandLine(tmp_path, monkeypatch, capsys)
    (tmp_path / "town.inp").write_text(ONE_TANK)
    (tmp_path / "what-if.json").write_text('{"name": "shut", "actions": [{"kind": "close", "links": ["P3"]}]}')
    asked = ("supply", "scenario", "--network", tmp_path / "town.inp", "--scenarios", tmp_path / "what-if.json")
    here = h2twin(*asked, "--json")
    h2twin.set("TWIN_DASK_SCHEDULER", cluster[0])
    there = h2twin(*asked, "--json")
    h2twin.set("TWIN_DASK_SCHEDULER", f"tcp://127.0.0.1:{free_port()}")
    left_alone = h2twin(*asked, "--json")
    assert (here.code, there.code, left_alone.code) == (0, 0, 0)
    assert here.out == there.out == left_alone.out
    assert "run on this machine" not in there.err
    assert "run on this machine, not by the Dask scheduler" in left_alone.err


def test_the_doctor_looks_at_a_scheduler_that_is_set(cluster: Cluster, tmp_path: Path) -> None:
    def look(**given: object) -> list[tuple[bool, str]]:
        checks = diagnose(load_settings(data_dir=tmp_path, **given))
        return [(check.ok, check.detail) for check in checks if check.name == "dask"]

    assert look() == []
    assert look(dask_scheduler=cluster[0]) == [(True, f"{cluster[0]}, 2 at once, EPANET 2.3.5")]
    ((ok, detail),) = look(dask_scheduler=f"tcp://127.0.0.1:{free_port()}")
    assert not ok
    assert "scenarios are run on this machine" in detail


def test_a_scheduler_that_is_not_there_costs_a_sentence_and_no_answer(local: EnginePool) -> None:
    told: list[str] = []
    with DaskPool(f"tcp://127.0.0.1:{free_port()}", local, say=told.append, patience_s=1.0) as pool:
        assert as_bytes(NET3, pool) == as_bytes(NET3, local)
    assert len(told) == 1
    assert "it cannot be reached" in told[0]
