"""How many messages a second go the whole way (decode, judge, durable commit, acknowledge) on a real broker.

Measured against a bare paho consumer (manual acknowledgement, nothing else) on the same broker in the same run: the
ratio carries over to other machines, the absolute figures do not. Both drain a backlog that waits in the broker.
The ratio of the CPU times is steadier than that of the times on the wall, which other work on the machine disturbs.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from servers.mosquitto import find, mosquitto
from servers.process import wait_until

from ingest.decoders.native import batch_topic, encode_batch, single_topic
from ingest.mqtt import MqttIngester, MqttSettings
from ingest.pipeline import Pipeline
from ingest.publisher import Publisher
from twin.clock import SystemClock, format_time
from twin.readings import Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

MESSAGES = 30_000
SENSORS = 200
PER_BATCH = 100
START = datetime(2026, 1, 1, tzinfo=UTC)


def _item(number: int) -> dict[str, object]:
    at = START + timedelta(minutes=number // SENSORS)
    return {"observed_at": format_time(at), "value": 30 + number % 7, "unit": "m", "seq": number // SENSORS}


def _singles() -> list[tuple[str, bytes]]:
    return [(single_topic("g1", f"P-{n % SENSORS}"), json.dumps(_item(n)).encode()) for n in range(MESSAGES)]


def _batches() -> list[tuple[str, bytes]]:
    items = [{"sensor_id": f"P-{n % SENSORS}", **_item(n)} for n in range(MESSAGES)]
    return [(batch_topic("g2"), encode_batch(items[n : n + PER_BATCH])) for n in range(0, MESSAGES, PER_BATCH)]


def _publish(port: int, messages: list[tuple[str, bytes]]) -> None:
    with Publisher(f"mqtt://127.0.0.1:{port}", timeout_s=120) as publisher:
        assert publisher.publish_all(messages) == len(messages)


@dataclass(frozen=True)
class Cost:
    """Seconds on the wall and of this process' CPU for all messages."""

    wall_s: float
    cpu_s: float

    @classmethod
    def since(cls, wall_s: float, cpu_s: float) -> Cost:
        return cls(time.perf_counter() - wall_s, time.process_time() - cpu_s)

    def __str__(self) -> str:
        return f"{MESSAGES / self.wall_s:8,.0f} /s, {self.cpu_s / MESSAGES * 1e6:4.0f} us CPU each"


def _bare_consumer(port: int, messages: list[tuple[str, bytes]]) -> Cost:
    """What a consumer needs which only acknowledges."""
    seen = []

    def client() -> paho.Client:
        made = paho.Client(
            CallbackAPIVersion.VERSION2, "bare", clean_session=False, protocol=paho.MQTTv311, manual_ack=True
        )
        made.on_connect = lambda c, *_: c.subscribe("h2/#", qos=1)
        made.on_subscribe = lambda *_: seen.append(None)
        made.on_message = lambda c, _data, m: (seen.append(m.mid), c.ack(m.mid, m.qos))
        made.connect("127.0.0.1", port)
        made.loop_start()
        return made

    first = client()
    wait_until(lambda: bool(seen))
    first.disconnect()
    first.loop_stop()
    _publish(port, messages)
    seen.clear()
    begun = time.perf_counter(), time.process_time()
    second = client()
    wait_until(lambda: len(seen) > len(messages), within_s=120)
    cost = Cost.since(*begun)
    second.unsubscribe("h2/#")
    second.disconnect()
    second.loop_stop()
    return cost


def _whole_way(port: int, messages: list[tuple[str, bytes]], folder: Path) -> Cost:
    """What the ingester needs until the last reading is durable and acknowledged."""
    folder.mkdir()
    store, registry = SqliteReadings(folder / "readings.db"), open_registry(f"sqlite:///{folder}/registry.db")
    registry.upsert_sensors([Sensor(f"P-{n}", Quantity.PRESSURE, low=0, high=100) for n in range(SENSORS)])

    def ingester() -> MqttIngester:
        settings = replace(MqttSettings("127.0.0.1", port), client_id=folder.name)
        made = MqttIngester(
            settings,
            Pipeline(readings=store, dead_letters=registry, sensors=registry, notebook=registry),
            SystemClock(),
        )
        made.start()
        wait_until(lambda: made.state().connected)
        return made

    ingester().stop()
    _publish(port, messages)
    begun = time.perf_counter(), time.process_time()
    second = ingester()
    wait_until(lambda: second.state().stored >= MESSAGES and second.state().in_flight == 0, within_s=120)
    cost = Cost.since(*begun)
    second.stop()
    assert store.stats().readings == MESSAGES
    store.close()
    registry.close()
    return cost


def main() -> None:
    if find() is None:
        print("skipped: Mosquitto is not installed here")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with mosquitto(folder) as (port, _):
            bare = _bare_consumer(port, _singles())
            singles = _whole_way(port, _singles(), folder / "singles")
        (folder / "second").mkdir()
        with mosquitto(folder / "second") as (port, _):
            batches = _whole_way(port, _batches(), folder / "batches")
    print(f"{MESSAGES} readings of {SENSORS} sensors waiting in the broker")
    print(f"bare paho consumer            {bare}")
    print(f"ingest, one reading a message {singles}")
    print(f"ingest, {PER_BATCH} readings a message  {batches} (readings)")
    print(f"ratio to the bare consumer    {bare.wall_s / singles.wall_s:.2f} on the wall, ", end="")
    print(f"{bare.cpu_s / singles.cpu_s:.2f} of CPU")


if __name__ == "__main__":
    main()
