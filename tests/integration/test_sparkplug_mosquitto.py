"""An edge node, a real broker, our ingester: births, aliases, a lost message, a restart of ours, and a death."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from servers.mosquitto import mosquitto
from servers.process import wait_until
from sparkplug_edge import FLOAT, Edge, M, ms

from ingest.decoders.sparkplug_payload import read_payload
from ingest.mappings import parse_mappings
from ingest.mqtt import MqttIngester
from ingest.mqtt_settings import MqttSettings
from ingest.pipeline import Pipeline
from twin.clock import SystemClock
from twin.events import EventKind
from twin.ports import Registry
from twin.readings import Sensor
from twin.staleness import stale_since
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytestmark = pytest.mark.needs_mosquitto
T0 = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
MAPPING = """
[[source]]
topic = "spBv1.0/Porto/#"
decoder = "sparkplug_b"
options = { rebirth_every_s = 1 }
[source.sensors]
"Porto/RTU-1/DMA-1/inlet/flow" = "Q-1"
"Porto/RTU-1/DMA-1/level" = "L-1"
"""


class EdgeNode:
    """An edge node with a will, QoS 0 and an answer to commands, as the specification wants it."""

    def __init__(self, port: int, *, bd_seq: int = 0, after_s: int = 0) -> None:
        self.edge = Edge(bd_seq=bd_seq)
        self.births = 0
        self._tick = after_s
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        topic, payload = self.edge.ndeath(self._next_time())
        self._client.will_set(topic, payload, qos=1)
        self._client.on_connect = lambda client, *_: client.subscribe("spBv1.0/Porto/NCMD/RTU-1", qos=1)
        self._client.on_subscribe = lambda *_: self.introduce()
        self._client.on_message = self._obey
        self._client.connect("127.0.0.1", port, keepalive=2)
        self._client.loop_start()

    def introduce(self) -> None:
        with self._lock:
            now = self._next_time()
            flow = M(80.0, name="inlet/flow", alias=11, at_ms=ms(now), datatype=FLOAT, unit="m3/h")
            level = M(3.0, name="level", alias=12, at_ms=ms(now), datatype=FLOAT, unit="m")
            for topic, payload in (self.edge.nbirth(now), self.edge.dbirth(now, flow, level)):
                self._client.publish(topic, payload, qos=0)
            self.births += 1

    def send(self, level: float, *, lost: bool = False, historical_s: float = 0.0) -> None:
        with self._lock:
            at = self._next_time() - timedelta(seconds=historical_s)
            metric = M(level, alias=12, at_ms=ms(at), historical=historical_s > 0)
            topic, payload = self.edge.ddata(at, metric)
            if not lost:
                self._client.publish(topic, payload, qos=0).wait_for_publish(10)

    def die(self) -> None:
        """Vanish without a word; the broker publishes the will."""
        sock = self._client.socket()
        assert sock is not None
        self._client.loop_stop()
        sock.close()

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _obey(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        [metric] = read_payload(message.payload).metrics
        assert (metric.name, metric.value) == ("Node Control/Rebirth", True)
        self.introduce()

    def _next_time(self) -> datetime:
        self._tick += 1
        return T0 + timedelta(seconds=self._tick)


@contextmanager
def ingesting(port: int, readings: SqliteReadings, registry: Registry) -> Iterator[MqttIngester]:
    pipeline = Pipeline(
        readings=readings,
        dead_letters=registry,
        sensors=registry,
        notebook=registry,
        mappings=parse_mappings(MAPPING),
    )
    settings = replace(MqttSettings("127.0.0.1", port), retry_s=0.05, longest_retry_s=0.2)
    ingester = MqttIngester(settings, pipeline, SystemClock())
    ingester.start()
    try:
        wait_until(lambda: ingester.state().connected)
        yield ingester
    finally:
        ingester.stop(10)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[SqliteReadings, Registry]]:
    readings, registry = SqliteReadings(tmp_path / "readings.db"), open_registry(f"sqlite:///{tmp_path}/registry.db")
    registry.upsert_sensors([Sensor("Q-1", Quantity.FLOW), Sensor("L-1", Quantity.LEVEL, unit="ft")])
    yield readings, registry
    readings.close()
    registry.close()


def test_the_life_of_an_edge_node(tmp_path: Path, stores: tuple[SqliteReadings, Registry]) -> None:
    readings, registry = stores

    def levels() -> list[float]:
        found = readings.between("L-1", T0 - timedelta(days=1), T0 + timedelta(days=1))
        return [round(reading.value, 3) for reading in found]

    def gone() -> set[str]:
        now = datetime.now(UTC)
        latest = readings.latest(["Q-1", "L-1"], at=now, trusted_only=False)
        return set(stale_since(registry.stale_marks(), latest, now=now))

    with mosquitto(tmp_path) as (port, _):
        with ingesting(port, readings, registry):
            node = EdgeNode(port)
            wait_until(lambda: levels() == [3.0])  # the birth's unit (m) counts, not the sensor's own (ft)
            [flow] = readings.between("Q-1", T0, T0 + timedelta(days=1))
            assert flow.value == pytest.approx(80 / 3600)
            node.send(3.25)
            wait_until(lambda: levels()[-1] == 3.25)

            node.send(9.0, lost=True)
            node.send(3.5)  # the number before it is missing: its value is kept, and the births are asked for
            wait_until(lambda: node.births == 2)
            wait_until(lambda: 3.5 in levels() and levels()[-1] == 3.0)

            node.send(2.0, historical_s=500)
            wait_until(lambda: 2.0 in levels())
            kept = next(r for r in readings.between("L-1", T0 - timedelta(days=1), T0) if r.value == 2.0)
            assert "historical" in kept.reasons
            letters_before = registry.count_dead_letters()

        # our restart: what an edge node sends meanwhile (QoS 0) is its own to keep; the first data lead to new births
        with ingesting(port, readings, registry):
            node.send(4.0)
            wait_until(lambda: node.births == 3)
            wait_until(lambda: registry.count_dead_letters() == letters_before + 1)
            node.send(4.25)
            wait_until(lambda: levels()[-1] == 4.25)
            [letter] = registry.dead_letters(limit=1).items
            assert (letter.reason, letter.topic) == ("undecodable", "spBv1.0/Porto/DDATA/RTU-1/DMA-1")
            assert "before its birth" in letter.detail

            assert gone() == set()
            node.die()
            wait_until(lambda: gone() == {"Q-1", "L-1"})
            wait_until(lambda: len(registry.events(kinds=[EventKind.SENSOR_STALE]).items) == 1)
            [event] = registry.events(kinds=[EventKind.SENSOR_STALE]).items
            assert event.subject == "Porto/RTU-1"

            back = EdgeNode(port, bd_seq=1, after_s=100)
            wait_until(lambda: gone() == set())
            late = Edge(bd_seq=0).ndeath(T0)
            helper = paho.Client(CallbackAPIVersion.VERSION2)
            helper.connect("127.0.0.1", port)
            helper.loop_start()
            helper.publish(*late, qos=1).wait_for_publish(10)
            helper.disconnect()
            helper.loop_stop()
            back.send(4.5)
            wait_until(lambda: levels()[-1] == 4.5 or 4.5 in levels())
            assert gone() == set(), "the late death of the session before"
            back.leave()
