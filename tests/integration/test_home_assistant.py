"""Home Assistant's view of a real broker: what appears, what changes, what is taken back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from home_assistant_rules import check_discovery
from paho.mqtt.enums import CallbackAPIVersion
from running_service import service
from servers.mosquitto import mosquitto
from servers.process import wait_until

from api.bootstrap import Memory
from api.home_assistant import TOLD_FILE, home_assistant_of
from api.settings import Settings
from twin.clock import SystemClock
from twin.readings import ElementType, Kind, Quality, Reading, Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytestmark = pytest.mark.needs_mosquitto


class HomeAssistantSide:
    """Subscribes as Home Assistant does and holds what is retained, as of now."""

    def __init__(self, port: int) -> None:
        self.topics: dict[str, bytes] = {}
        self.changes = 0
        self._lock = threading.Lock()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(
            [("homeassistant/#", 1), ("h2twin/#", 1), ("ha2/#", 1)]
        )
        self._client.on_message = self._hear
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _hear(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        with self._lock:
            self.changes += 1
            if message.payload:
                self.topics[message.topic] = message.payload
            else:
                self.topics.pop(message.topic, None)

    def entities(self, prefix: str = "homeassistant") -> dict[str, dict[str, Any]]:
        """Return the checked discovery messages of sensors by name."""
        with self._lock:
            found = {topic: payload for topic, payload in self.topics.items() if topic.startswith(prefix + "/")}
        documents = [check_discovery(topic, payload, prefix=prefix) for topic, payload in found.items()]
        return {document["name"]: document for document in documents}

    def state(self, name: str) -> tuple[float | None, bool]:
        """Return an entity's value as Home Assistant would show it, and whether it is available."""
        document = self.entities()[name]
        with self._lock:
            payload = self.topics.get(document["state_topic"])
            available = all(self.topics.get(a["topic"]) == b"online" for a in document["availability"])
        return (None if payload is None else json.loads(payload)["value"]), available

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    opened = Memory(SqliteReadings(tmp_path / "readings.db"), open_registry(f"sqlite:///{tmp_path}/registry.db"))
    yield opened
    opened.close()


def reading(sensor_id: str, value: float, *, ago_s: float = 0.0, quality: Quality = Quality.GOOD) -> Reading:
    at = datetime.now(UTC) - timedelta(seconds=ago_s)
    return Reading(sensor_id, at, at, value, "m", value, "m", quality)


@contextmanager
def told(memory: Memory, folder: Path, port: int, **changes: Any) -> Iterator[None]:
    settings = Settings(data_dir=folder, **{"home_assistant": True, **changes})
    publisher = home_assistant_of(settings, memory, SystemClock(), f"mqtt://127.0.0.1:{port}", pace_s=0.1)
    assert publisher is not None
    publisher.start()
    try:
        yield
    finally:
        publisher.stop()


SENSORS = [
    Sensor("P-1", Quantity.PRESSURE, element_type=ElementType.NODE, element_id="J1", district="D1"),
    Sensor("L-1", Quantity.LEVEL, expected_every_s=60),
    Sensor("M-1", Quantity.VOLUME, Kind.TOTAL_INCREASING, connection_id="C-1"),
]


def test_what_home_assistant_sees(memory: Memory, tmp_path: Path) -> None:
    memory.registry.upsert_sensors(SENSORS)
    memory.readings.append([reading("P-1", 20.0), reading("L-1", 3.0, ago_s=3600), reading("M-1", 812.0)])
    with mosquitto(tmp_path) as (port, _):
        home = HomeAssistantSide(port)
        with told(memory, tmp_path, port):
            wait_until(lambda: {"P-1 pressure", "L-1 level"} <= home.entities().keys())
            wait_until(lambda: home.state("P-1 pressure") == (pytest.approx(1.96133), True))
            assert home.state("L-1 level") == (None, False), "an hour old, expected every minute"
            assert not any("M-1" in name for name in home.entities()), "a household's meter"
            figures = [e for e in home.entities().values() if e["device"]["name"] == "Water network figures"]
            assert len(figures) >= 5
            assert any(home.state(e["name"])[1] for e in figures), "a figure with a value is available"
            assert len({entity["unique_id"] for entity in home.entities().values()}) == len(home.entities())

            memory.readings.append([reading("P-1", 99.0, quality=Quality.BAD)])
            memory.readings.append([reading("L-1", 3.5)])
            wait_until(lambda: home.state("L-1 level") == (3.5, True))
            assert home.state("P-1 pressure")[0] == pytest.approx(1.96133), "a bad value is no state"

            memory.registry.mark_stale({"P-1": datetime.now(UTC)})
            wait_until(lambda: home.state("P-1 pressure")[1] is False)
            before = home.changes
            wait_until(lambda: memory.readings.append([reading("P-1", 21.0)]).stored == 1)
            wait_until(lambda: home.state("P-1 pressure")[1])
            assert home.changes - before <= 4, "only what changed is published"
        wait_until(lambda: home.topics["h2twin/home_assistant/status"] == b"offline")
        assert home.state("P-1 pressure")[1] is False
        assert (tmp_path / TOLD_FILE).read_text() == "homeassistant\n"

        # a new start under another prefix, with the meters asked for: the old prefix is cleared
        with told(memory, tmp_path, port, home_assistant_prefix="ha2", home_assistant_meters=True):
            wait_until(lambda: any(name.startswith("M-1") for name in home.entities("ha2")))
            wait_until(lambda: not home.entities())
        # switched off: everything is taken back, and remembered so
        with told(memory, tmp_path, port, home_assistant=False):
            wait_until(lambda: not home.entities("ha2"))
            wait_until(lambda: not (tmp_path / TOLD_FILE).exists())
        left = {topic for topic in home.topics if not topic.endswith("/status")}
        assert left == set()
        off = Settings(data_dir=tmp_path)
        assert home_assistant_of(off, memory, SystemClock(), f"mqtt://127.0.0.1:{port}") is None
        home.close()


def test_a_removed_sensor_disappears_also_after_a_restart_of_ours(memory: Memory, tmp_path: Path) -> None:
    memory.registry.upsert_sensors(SENSORS[:2])
    with mosquitto(tmp_path) as (port, _):
        home = HomeAssistantSide(port)
        with told(memory, tmp_path, port):
            wait_until(lambda: {"P-1 pressure", "L-1 level"} <= home.entities().keys())
        memory.registry.upsert_sensors([Sensor("L-1", Quantity.LEVEL, connection_id="C-9")])  # now it is private
        with told(memory, tmp_path, port):
            wait_until(lambda: "L-1 level" not in home.entities())
            assert "P-1 pressure" in home.entities()
        home.close()


def test_the_service_tells_it_and_takes_it_back_when_switched_off(tmp_path: Path) -> None:
    data = tmp_path / "data"
    broker = tmp_path / "broker"
    broker.mkdir()
    with mosquitto(broker) as (port, _):
        home = HomeAssistantSide(port)
        settings = {"mqtt_url": f"mqtt://127.0.0.1:{port}", "workers": "1"}
        with service(data, "serve", "--role", "ingest", home_assistant="on", **settings):
            wait_until(lambda: len(home.entities()) >= 5, within_s=60)
        with service(data, "serve", "--role", "ingest", home_assistant="off", **settings):
            wait_until(lambda: not home.entities(), within_s=60)
        home.close()
