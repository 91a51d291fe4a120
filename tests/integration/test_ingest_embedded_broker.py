"""The embedded broker and the gateway process: a reading's whole way without any server installed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers.process import answers, free_port, wait_until

from ingest.broker import embedded_broker
from ingest.gateway_process import GatewayProcess
from ingest.mqtt import MqttIngester, MqttSettings
from ingest.pipeline import Pipeline
from ingest.publisher import Publisher
from twin.clock import SystemClock
from twin.errors import ConfigError, UnavailableError
from twin.readings import Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    sensor_id: str
    observed_at: datetime
    value: float
    unit: str = ""


@pytest.fixture(scope="module")
def broker_url() -> Iterator[str]:
    with embedded_broker() as url:
        yield url


def rows(count: int) -> list[Row]:
    return [Row("P-1", START + timedelta(seconds=n), n / 10, "bar" if n % 2 else "") for n in range(count)]


@pytest.mark.parametrize("singles", [True, False], ids=["singles", "batches"])
def test_a_gateways_readings_are_acknowledged_and_stored(broker_url: str, tmp_path: Path, singles: bool) -> None:
    store, registry = SqliteReadings(tmp_path / "readings.db"), open_registry(f"sqlite:///{tmp_path}/registry.db")
    registry.upsert_sensors([Sensor("P-1", Quantity.PRESSURE)])
    pipeline = Pipeline(readings=store, dead_letters=registry, sensors=registry, notebook=registry)
    ingester = MqttIngester(MqttSettings.from_url(broker_url, client_id=f"i{singles}"), pipeline, SystemClock())
    ingester.start()
    wait_until(lambda: ingester.state().connected)
    with GatewayProcess(broker_url, "g1", tmp_path / "outbox.db", singles=singles) as gateway:
        assert gateway.publish([]) == 0
        assert gateway.publish(rows(1200)) == 1200
        assert gateway.publish(rows(10)) == 10, "the broker has them already"
        assert gateway.publish(rows(1210)[1200:]) == 10
    wait_until(lambda: ingester.state().stored == 1210)
    wait_until(lambda: ingester.state().heartbeat)
    ingester.stop()
    kept = store.between("P-1", START, START + timedelta(days=1))
    assert [(r.observed_at, r.raw_value) for r in kept] == [(row.observed_at, row.value) for row in rows(1210)]
    assert [r.seq for r in kept] == list(range(1210))
    assert {r.raw_unit for r in kept[1::2]} == {"bar"}
    assert registry.count_dead_letters() == 0
    store.close()
    registry.close()


@pytest.mark.parametrize(
    "who", ["", "h2twin@", "h2twin:wrong@", "other:wrong@"], ids=["nobody", "bare", "wrong", "other"]
)
def test_nobody_gets_in_without_the_password(broker_url: str, who: str) -> None:
    address = broker_url.split("@")[1]
    with (
        Publisher(f"mqtt://{who}{address}", timeout_s=10) as publisher,
        pytest.raises(UnavailableError, match="refuses"),
    ):
        publisher.publish("h2/g1/P-1", b"{}")


def test_a_taken_port_is_a_configuration_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port}"), embedded_broker(port):
            pass


def test_a_given_port_is_used_and_free_again_afterwards() -> None:
    port = free_port()
    with embedded_broker(port) as url:
        assert f"@127.0.0.1:{port}?" in url
        assert answers(port)
    assert not answers(port)


def test_the_broker_ends_with_its_parent_however_that_ends() -> None:
    port = free_port()
    program = (
        "from ingest.broker import embedded_broker\n"
        f"with embedded_broker({port}):\n    print('up', flush=True)\n    input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not answers(port), what="the broker's end")


def test_a_gateway_says_that_nothing_was_acknowledged(tmp_path: Path) -> None:
    silent_box, alone_box = tmp_path / "silent.db", tmp_path / "alone.db"
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # takes the connection and never answers
        GatewayProcess(f"mqtt://127.0.0.1:{silent.getsockname()[1]}", "g1", silent_box, timeout_s=0.5) as unheard,
        GatewayProcess(f"mqtt://127.0.0.1:{free_port()}", "g1", alone_box, timeout_s=0.5) as alone,
    ):
        assert unheard.publish(rows(3)) == 0
        assert alone.publish(rows(3)) == 0


def test_a_gateway_that_is_gone_is_named(tmp_path: Path) -> None:
    gateway = GatewayProcess("mqtt://127.0.0.1:1", "g1", tmp_path / "outbox.db")
    os.kill(gateway._child.pid, signal.SIGKILL)
    gateway._child.wait()
    with pytest.raises(UnavailableError, match="gateway process"):
        gateway.publish(rows(1))
    gateway.close()


def test_a_broker_that_refuses_mqtt_5_is_spoken_to_in_3_1_1(tmp_path: Path) -> None:
    """A broker of the old kind, by hand: it reads CONNECT and answers "unacceptable protocol version" to level 5."""
    levels: list[int] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            client, _ = listener.accept()
            with client:
                packet = client.recv(1024)
                levels.append(packet[packet.index(b"MQTT") + 4])
                client.sendall(b"\x20\x02\x00" + (b"\x01" if levels[-1] == 5 else b"\x00"))
                client.recv(1024)

    old_broker = threading.Thread(target=serve)
    old_broker.start()
    store, registry = SqliteReadings(tmp_path / "readings.db"), open_registry(f"sqlite:///{tmp_path}/registry.db")
    pipeline = Pipeline(readings=store, dead_letters=registry, sensors=registry, notebook=registry)
    ingester = MqttIngester(MqttSettings("127.0.0.1", listener.getsockname()[1], retry_s=0.02), pipeline, SystemClock())
    ingester.start()
    old_broker.join(20)
    ingester.stop()
    listener.close()
    assert levels == [5, 4]
    store.close()
    registry.close()


def test_gateways_get_in_with_the_same_credentials_after_a_restart(tmp_path: Path) -> None:
    port, kept = free_port(), tmp_path / "broker.url"
    with embedded_broker(port, credentials_file=kept) as first:
        kept.write_text(first + "\n")
    with embedded_broker(port, credentials_file=kept) as again, Publisher(first, timeout_s=10) as gateway:
        assert again == first
        gateway.publish("h2/g1/P-1", b"{}")
    with embedded_broker(port) as elsewhere:
        assert elsewhere != first


@pytest.mark.parametrize(
    "left_over", ["", "\n", "no address", "mqtt://127.0.0.1:1883", "mqtt://h2twin:@127.0.0.1:1", "mqtt://[", "\x00\xff"]
)
def test_a_file_without_credentials_gives_new_ones(tmp_path: Path, left_over: str) -> None:
    kept = tmp_path / "broker.url"
    kept.write_bytes(left_over.encode("latin-1"))
    with embedded_broker(credentials_file=kept) as url, Publisher(url, timeout_s=10) as gateway:
        gateway.publish("h2/g1/P-1", b"{}")
        assert len(url.split("@")[0]) > len("mqtt://h2twin:") + 20


def _children_running(module: str) -> list[int]:
    """The pids of this process' children that run `module`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            command = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if int(parent) == os.getpid() and module.encode() in command:
            found.append(int(folder.name))
    return found


def test_a_broker_that_dies_is_started_again_where_its_gateways_find_it() -> None:
    others = set(_children_running("ingest.broker"))
    with embedded_broker() as url, Publisher(url, timeout_s=30) as gateway:
        gateway.publish("h2/g1/P1", b"{}")
        (first,) = set(_children_running("ingest.broker")) - others
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: bool(set(_children_running("ingest.broker")) - others - {first}), what="a new broker")
        gateway.publish("h2/g1/P1", b"{}")
    assert set(_children_running("ingest.broker")) <= others
