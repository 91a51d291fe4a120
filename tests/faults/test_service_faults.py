"""The whole service as processes on loopback, and what ends, fills, starves and doubles them."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from running_service import children_of, environment, is_alive, service
from servers.mosquitto import mosquitto
from servers.process import free_port, wait_until
from servers.small_disk import MountRefusedError, fill, small_disk

from ingest.decoders.native import single_topic
from ingest.publisher import Publisher
from models.networks import ctown
from twin.forecasts import Run, RunKind, RunStatus
from twin.network import NetworkKind
from twin.ports import ModelFile
from twin.readings import Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytestmark = pytest.mark.timeout(180)

START = datetime(2026, 1, 1, tzinfo=UTC)


def _prepare(folder: Path, *, sensors: int = 5, model: bool = False) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    registry.upsert_sensors([Sensor(f"P{n}", Quantity.PRESSURE) for n in range(sensors)])
    if model:
        content = ctown.SUPPLY_INP.read_bytes()
        registry.save_model_file(ModelFile(NetworkKind.SUPPLY, "ctown", "ab" * 32, content, START))
    registry.close()


def _a_flow(count: int, *, first: int = 0, sensors: int = 5) -> list[tuple[str, bytes]]:
    moments = ((n, (START + timedelta(seconds=n)).isoformat()) for n in range(first, first + count))
    return [
        (single_topic("g1", f"P{n % sensors}"), json.dumps({"observed_at": at, "value": 20 + n / 1e6}).encode())
        for n, at in moments
    ]


def _rows(folder: Path) -> int:
    path = folder / "readings.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=30)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM reading").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def _runs(folder: Path) -> list[Run]:
    registry = open_registry(f"sqlite:///{folder / 'registry.db'}")
    try:
        return list(registry.runs(RunKind.SUPPLY, limit=200).items)
    finally:
        registry.close()


# --------------------------------------------------------------------------------------------------- broker


@pytest.mark.needs_mosquitto
def test_a_broker_that_is_away_at_the_start_is_waited_for(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _prepare(data)
    (tmp_path / "broker").mkdir()
    port = free_port()
    url = f"mqtt://127.0.0.1:{port}"
    with service(data, "serve", "--port", "0", "--mqtt-url", url) as twin:
        twin.wait_for("h2twin is running")
        assert twin.get("/healthz")[0] == 200
        wait_until(lambda: "away" in twin.check("broker")["detail"], what="the word that the broker is away")
        status, body = twin.get("/readyz")
        assert (status, body["status"]) == (503, "not_ready")
        assert not twin.check("broker")["ok"]
        with mosquitto(tmp_path / "broker", port=port):
            wait_until(lambda: bool(twin.check("broker")["ok"]), within_s=60, what="the broker's good news")
            with Publisher(url) as gateway:
                assert gateway.publish_all(_a_flow(50)) == 50
            wait_until(lambda: _rows(data) == 50, what="the readings")
            wait_until(lambda: twin.get("/readyz")[0] == 200, what="readiness")
        assert twin.end() == 0


@pytest.mark.parametrize("which", ["broker", "api"])
def test_a_taken_port_is_a_configuration_error_that_names_it(tmp_path: Path, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {"mqtt_port": port if which == "broker" else "0"}
        with service(tmp_path / "data", "serve", "--port", port if which == "api" else "0", **ports) as twin:
            assert twin.process.wait(60) == 2
    last = twin.said.strip().splitlines()[-1]
    assert last.startswith("h2twin: ")
    assert port in last
    assert "choose another" in last
    assert "Traceback" not in twin.said
    assert "this process forecasts" not in twin.said


# ----------------------------------------------------------------------------------------------------- disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB."""
    try:
        with small_disk(tmp_path / "disk", megabytes=24) as folder:
            yield folder
    except MountRefusedError as error:
        pytest.skip(str(error))


@pytest.mark.needs_mosquitto
def test_a_full_disk_pauses_everything_and_the_backlog_arrives_when_there_is_room(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as (port, _):
        data, url = disk / "data", f"mqtt://127.0.0.1:{port}"
        _prepare(data)
        with service(data, "serve", "--port", "0", "--mqtt-url", url, log=tmp_path / "service.log") as twin:
            twin.wait_for("h2twin is running")
            wait_until(lambda: bool(twin.check("broker")["ok"]), what="the broker")
            with Publisher(url) as gateway:
                assert gateway.publish_all(_a_flow(500)) == 500
            wait_until(lambda: _rows(data) == 500, what="the first readings")
            ballast = fill(disk)
            with Publisher(url) as gateway:
                assert gateway.publish_all(_a_flow(20_000, first=500)) == 20_000, "the broker takes them"
            wait_until(lambda: not twin.check("readings")["ok"], within_s=60, what="the red light")
            wait_until(lambda: twin.get("/readyz")[0] == 503, what="readyz")
            assert "full" in twin.check("readings")["detail"] or "room" in twin.check("readings")["detail"]
            assert twin.process.poll() is None
            assert _rows(data) < 20_500
            ballast.unlink()
            wait_until(lambda: _rows(data) == 20_500, within_s=90, what="the backlog")
            wait_until(lambda: twin.get("/readyz")[0] == 200, within_s=60, what="readiness")
            assert twin.end() == 0
        assert "Traceback" not in twin.said


# ------------------------------------------------------------------------------------------------ the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_serve_ends_in_good_order_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "data"
    _prepare(data, model=True)
    with service(data, "serve", "--port", "0", mqtt_port="0", cycle_s="1") as twin:
        twin.wait_for("h2twin is running")
        wait_until(lambda: len(_runs(data)) >= 1, within_s=90, what="the first run")
        children = children_of(twin.process.pid)
        assert children, "broker and engine are processes of their own"
        assert twin.end(number) == 0
    wait_until(lambda: not any(map(is_alive, children)), what="the end of its children")
    assert "Traceback" not in twin.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_the_demo_ends_in_good_order_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with service(tmp_path / "data", "demo", "--port", "0", "--speed", "3600", "--members", "3") as twin:
        twin.wait_for("API key: ", within_s=120)
        wait_until(lambda: "supply " in twin.said, within_s=90, what="the first turn")
        children = children_of(twin.process.pid)
        assert children
        assert twin.end(number) == 0
    wait_until(lambda: not any(map(is_alive, children)), what="the end of its children")
    assert "Traceback" not in twin.said


def test_children_do_not_outlive_a_service_that_is_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _prepare(data, model=True)
    with service(data, "serve", "--port", "0", mqtt_port="0", cycle_s="1") as twin:
        twin.wait_for("h2twin is running")
        wait_until(lambda: len(_runs(data)) >= 1, within_s=90, what="the first run")
        children = children_of(twin.process.pid)
        twin.process.kill()
        twin.process.wait()
    wait_until(lambda: not any(map(is_alive, children)), what="the end of its children")


# -------------------------------------------------------------------------------------------------- cycles


def test_of_two_cycles_on_one_folder_only_one_turns_and_the_other_takes_over(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _prepare(data, model=True)
    role = ("serve", "--role", "cycle")
    with (
        service(data, *role, name="first", cycle_s="1") as first,
        service(data, *role, name="second", cycle_s="1") as second,
    ):
        for one in (first, second):
            one.wait_for("h2twin is running")
        wait_until(lambda: any("ours" in one.said for one in (first, second)), what="a holder of the lease")
        wait_until(lambda: all("lease" in one.said for one in (first, second)), what="both to have asked")
        holder, waiting = (first, second) if "ours" in first.said else (second, first)
        wait_until(lambda: len(_runs(data)) >= 5, within_s=60, what="five turns")
        assert "ours" not in waiting.said
        moments = sorted(run.issued_at for run in _runs(data))
        pace = (moments[-1] - moments[0]) / (len(moments) - 1)
        assert pace > timedelta(seconds=0.8), "two cycles would turn twice a second"
        holder.process.kill()
        holder.process.wait()
        before = len(_runs(data))
        waiting.wait_for("ours", within_s=60)
        wait_until(lambda: len(_runs(data)) > before, within_s=60, what="the other's turn")
        assert waiting.end() == 0


def test_an_orderly_end_hands_the_lease_over_at_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _prepare(data)
    with service(data, "serve", "--role", "cycle", name="first") as first:
        first.wait_for("ours")
        assert first.end() == 0
    with service(data, "serve", "--role", "cycle", name="second") as second:
        second.wait_for("ours", within_s=20)
        assert second.end() == 0


def test_a_killed_engine_is_a_failed_run_and_the_next_is_good(tmp_path: Path) -> None:
    data = tmp_path / "data"
    _prepare(data, model=True)
    with service(data, "serve", "--role", "cycle", cycle_s="0.5", workers="1") as twin:
        wait_until(lambda: any(run.status is RunStatus.OK for run in _runs(data)), within_s=90, what="a good run")
        end = threading.Event()

        def failed() -> list[Run]:
            for child in children_of(twin.process.pid):
                if b"pool_worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)
            end.wait(0.05)
            return [run for run in _runs(data) if run.status is RunStatus.FAILED]

        wait_until(lambda: bool(failed()), within_s=60, what="a failed run")
        newest = max(run.issued_at for run in _runs(data) if run.status is RunStatus.FAILED)
        wait_until(
            lambda: any(run.status is RunStatus.OK and run.issued_at > newest for run in _runs(data)),
            within_s=60,
            what="a good run after it",
        )
        causes = {run.cause for run in _runs(data) if run.status is RunStatus.FAILED}
        assert all("SIGKILL" in cause or "did not start" in cause for cause in causes), causes
        assert twin.end() == 0


@pytest.mark.parametrize(
    ("file", "change"),
    [
        pytest.param("registry.db", "UPDATE alembic_version SET version_num = '9999'", id="registry"),
        pytest.param("readings.db", "PRAGMA user_version = 99", id="readings"),
    ],
)
def test_a_folder_of_a_newer_version_is_refused_by_name_and_left_alone(tmp_path: Path, file: str, change: str) -> None:
    data = tmp_path / "data"
    _prepare(data)
    SqliteReadings(data / "readings.db").close()
    with closing(sqlite3.connect(data / file)) as database:
        database.execute(change)
        database.commit()
    done = subprocess.run(
        [sys.executable, "-m", "api", "serve", "--port", "0", "--data-dir", str(data)],
        env=environment(mqtt_port="0"), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert file in done.stderr
    assert "Traceback" not in done.stderr
    with closing(sqlite3.connect(data / file)) as database:
        question = "SELECT version_num FROM alembic_version" if file == "registry.db" else "PRAGMA user_version"
        assert str(database.execute(question).fetchone()[0]) in ("9999", "99")
