"""The ingester on a real broker and real stores, through what brokers and stores do on bad days."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes import Failing
from servers.mosquitto import mosquitto
from servers.process import free_port, wait_until

from ingest.decoders.native import batch_topic, encode_batch, single_topic
from ingest.letters import requeue
from ingest.mappings import native_sources
from ingest.mqtt import MqttIngester, MqttSettings
from ingest.mqtt_settings import Protocol
from ingest.pipeline import Pipeline
from ingest.publisher import Publisher
from twin.clock import SystemClock, format_time
from twin.errors import StorageFullError
from twin.ports import AppendResult, Registry
from twin.readings import Reading, Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytestmark = pytest.mark.needs_mosquitto
START = datetime(2026, 1, 1, tzinfo=UTC)


class Stores(Failing):
    """Real stores; `append` can be told to fail, as a full disk does."""

    def __init__(self, folder: Path) -> None:
        self.registry: Registry = open_registry(f"sqlite:///{folder}/registry.db")
        self.registry.upsert_sensors([Sensor("P-1", Quantity.PRESSURE)])
        self._readings = SqliteReadings(folder / "readings.db")

    def append(self, readings: Sequence[Reading]) -> AppendResult:
        self._answer()
        return self._readings.append(readings)

    def latest(self, sensor_ids: Sequence[str], *, at: datetime, trusted_only: bool = True) -> dict[str, Reading]:
        return self._readings.latest(sensor_ids, at=at, trusted_only=trusted_only)

    def between(self, sensor_id: str, start: datetime, end: datetime, limit: int | None = None) -> list[Reading]:
        return self._readings.between(sensor_id, start, end, limit=limit)

    def stored(self) -> int:
        return self._readings.stats().readings

    def close(self) -> None:
        self._readings.close()
        self.registry.close()


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    opened = Stores(tmp_path)
    yield opened
    opened.close()


@contextmanager
def ingesting(port: int, stores: Stores, **settings: object) -> Iterator[MqttIngester]:
    # a Stores is no whole ReadingStore: the pipeline asks for nothing else
    pipeline = Pipeline(
        readings=stores, dead_letters=stores.registry, sensors=stores.registry, notebook=stores.registry
    )  # type: ignore[arg-type]
    ways = {"retry_s": 0.05, "longest_retry_s": 0.2, **settings}
    ingester = MqttIngester(replace(MqttSettings("127.0.0.1", port), **ways), pipeline, SystemClock())  # type: ignore[arg-type]
    ingester.start()
    try:
        yield ingester
    finally:
        ingester.stop(10)
        assert not any(thread.name.startswith("ingest-") for thread in threading.enumerate())


def messages(numbers: range, sensor_id: str = "P-1") -> list[tuple[str, bytes]]:
    return [
        (
            single_topic("g1", sensor_id),
            json.dumps({"observed_at": format_time(START + timedelta(seconds=n)), "value": n}).encode(),
        )
        for n in numbers
    ]


def publish(port: int, what: Sequence[tuple[str, bytes]]) -> None:
    with Publisher(f"mqtt://127.0.0.1:{port}") as publisher:
        assert publisher.publish_all(what) == len(what)


@pytest.mark.parametrize("protocol", [Protocol.AUTO, Protocol.V311])
def test_what_is_published_is_stored_or_buried(tmp_path: Path, stores: Stores, protocol: Protocol) -> None:
    with mosquitto(tmp_path) as (port, _), ingesting(port, stores, protocol=protocol) as ingester:
        wait_until(lambda: ingester.state().connected)
        bad = [
            (single_topic("g1", "P-1"), b'{"observed_at": "2026-01-01T00:00:00Z", "value": NaN}'),
            (single_topic("g1", "nobody"), messages(range(1))[0][1]),
            (batch_topic("g1"), b"\xff"),
        ]
        rows = [{"sensor_id": "P-1", "observed_at": "2027-01-01T00:00:00Z", "value": 1}, {"sensor_id": "P-1"}]
        publish(port, [*messages(range(300)), *bad, (batch_topic("g1"), encode_batch(rows)), *messages(range(5))])
        wait_until(lambda: ingester.state().stored + ingester.state().duplicates == 306)
        wait_until(lambda: ingester.state().dead == 4 and ingester.state().in_flight == 0)
        state = ingester.state()
        assert (state.stored, state.duplicates) == (301, 5)
        assert state.by_reason == {"not_finite": 1, "unknown_sensor": 1, "undecodable": 2}
        assert state.protocol == ("5" if protocol is Protocol.AUTO else "3.1.1")
    assert stores.stored() == 301
    assert stores.registry.count_dead_letters() == 4


def test_a_broker_that_is_away_at_the_start_is_waited_for(tmp_path: Path, stores: Stores) -> None:
    port = free_port()
    with ingesting(port, stores) as ingester:
        wait_until(lambda: "cannot be reached" in ingester.state().last_error)
        assert not ingester.state().connected
        with mosquitto(tmp_path, port=port):
            wait_until(lambda: ingester.state().connected)
            assert ingester.state().last_error == ""
            publish(port, messages(range(10)))
            wait_until(lambda: ingester.state().stored == 10)


def test_a_broker_restart_during_a_flow_loses_nothing(tmp_path: Path, stores: Stores) -> None:
    port = free_port()
    with ingesting(port, stores) as ingester:
        with mosquitto(tmp_path, port=port):
            wait_until(lambda: ingester.state().connected)
            publisher = Publisher(f"mqtt://127.0.0.1:{port}", timeout_s=60)
            acknowledged: list[int] = []
            flow = threading.Thread(target=lambda: acknowledged.append(publisher.publish_all(messages(range(4000)))))
            publisher.__enter__()
            flow.start()
            wait_until(lambda: ingester.state().stored >= 500)
        wait_until(lambda: not ingester.state().connected)
        with mosquitto(tmp_path, port=port):
            flow.join(60)
            wait_until(lambda: stores.stored() == 4000)
            publisher.__exit__(None, None, None)
    assert acknowledged == [4000]
    assert ingester.state().connections == 2


def test_a_full_store_pauses_and_nothing_is_lost(tmp_path: Path, stores: Stores) -> None:
    with mosquitto(tmp_path) as (port, _):
        with ingesting(port, stores, receive_maximum=50) as ingester:
            wait_until(lambda: ingester.state().connected)
            stores.failure = StorageFullError("the disk is full; free some space")
            publish(port, messages(range(500)))
            wait_until(lambda: "disk is full" in ingester.state().paused_because)
            wait_until(lambda: ingester.state().in_flight == 50)  # the window is full: the rest waits in the broker
            assert ingester.state().stored == 0
            stores.failure = None
            wait_until(lambda: ingester.state().stored == 500)
            assert ingester.state().paused_because == ""
        assert stores.stored() == 500


def test_what_was_not_acknowledged_comes_again_after_a_stop_in_a_pause(tmp_path: Path, stores: Stores) -> None:
    with mosquitto(tmp_path) as (port, _):
        with ingesting(port, stores) as ingester:
            wait_until(lambda: ingester.state().connected)
            stores.failure = StorageFullError("full")
            publish(port, messages(range(100)))
            wait_until(lambda: ingester.state().paused_because != "")
        publish(port, messages(range(100, 200)))  # while we are away the broker keeps the session
        stores.failure = None
        with ingesting(port, stores) as ingester:
            wait_until(lambda: stores.stored() == 200)
            assert ingester.state().duplicates == 0


def test_a_queue_that_overflows_is_filled_again_by_the_broker(tmp_path: Path, stores: Stores) -> None:
    ways = {"protocol": Protocol.V311, "queue_maximum": 20, "batch": 10}  # 3.1.1 knows no window
    with mosquitto(tmp_path) as (port, _), ingesting(port, stores, **ways) as ingester:
        wait_until(lambda: ingester.state().connected)
        stores.failure = StorageFullError("full")
        publish(port, messages(range(300)))
        wait_until(lambda: ingester.state().in_flight >= 20)
        assert ingester.state().in_flight <= 30  # a full queue and a batch in hand
        stores.failure = None
        wait_until(lambda: stores.stored() == 300)
        assert ingester.state().connections > 1


def test_a_defect_in_the_store_stops_the_acknowledgements_not_the_ingester(tmp_path: Path, stores: Stores) -> None:
    with mosquitto(tmp_path) as (port, _), ingesting(port, stores) as ingester:
        wait_until(lambda: ingester.state().connected)
        stores.failure = ZeroDivisionError("a defect")
        publish(port, messages(range(20)))
        wait_until(lambda: "ZeroDivisionError" in ingester.state().paused_because)
        stores.failure = None
        wait_until(lambda: stores.stored() == 20)


def test_a_connection_that_falls_silent_is_made_anew(tmp_path: Path, stores: Stores) -> None:
    """Between us and the broker stands a relay that can swallow everything without closing."""
    ways = {"heartbeat_s": 0.1, "silence_s": 1.0}
    with (
        mosquitto(tmp_path) as (port, _),
        relay(port) as (relay_port, swallow),
        ingesting(relay_port, stores, **ways) as ingester,
    ):
        wait_until(lambda: ingester.state().heartbeat)
        swallow.set()
        wait_until(lambda: "not even our own heartbeat" in ingester.state().last_error)
        swallow.clear()
        wait_until(lambda: ingester.state().connections >= 2 and ingester.state().connected)
        publish(port, messages(range(5)))
        wait_until(lambda: stores.stored() == 5)


def test_a_requeued_letter_becomes_a_reading(tmp_path: Path, stores: Stores) -> None:
    with mosquitto(tmp_path) as (port, _), ingesting(port, stores) as ingester:
        wait_until(lambda: ingester.state().connected)
        publish(port, messages(range(1), "P-2"))
        wait_until(lambda: ingester.state().dead == 1)
        stores.registry.upsert_sensors([Sensor("P-2", Quantity.PRESSURE)])
        (letter,) = stores.registry.dead_letters().items
        with Publisher(f"mqtt://127.0.0.1:{port}") as publisher:
            wait_until(lambda: requeue(stores.registry, publisher.publish, letter.letter_id, native_sources()))
        wait_until(lambda: stores.stored() == 1)
        assert stores.registry.count_dead_letters() == 0


@contextmanager
def relay(port: int) -> Iterator[tuple[int, threading.Event]]:
    """Pass bytes to and from the broker, except while the event is set: then they vanish."""
    swallow, closing = threading.Event(), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not swallow.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                shut(end)

    def accept() -> None:
        while not closing.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            broker = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, broker), (broker, client)):
                threads.append(threading.Thread(target=pump, args=pair, daemon=True))
                threads[-1].start()
            sockets.extend((client, broker))

    sockets: list[socket.socket] = []
    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1], swallow
    finally:
        closing.set()
        shut(listener)
        listener.close()
        for open_socket in sockets:
            shut(open_socket)
        for thread in (accepting, *threads):
            thread.join(5)
        for open_socket in sockets:
            open_socket.close()


def shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
