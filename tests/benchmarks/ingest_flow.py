"""The messages of the ingest benchmarks: single native readings of a town, as if a broker had kept the last minutes."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from servers.process import wait_until

from ingest.decoders.native import single_topic
from ingest.publisher import Publisher
from twin.clock import format_time
from twin.readings import Sensor
from twin.units import Quantity

SENSORS, PER_GATEWAY = 1000, 10
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def sensors() -> list[Sensor]:
    """Return the sensors that send every second."""
    return [Sensor(f"P-{n}", Quantity.PRESSURE, low=0, high=100, expected_every_s=60.0) for n in range(SENSORS)]


def singles(many: int) -> list[tuple[str, bytes]]:
    """Return messages with a reading each, a second apart for each sensor, up to now."""
    now = datetime.now(UTC).replace(microsecond=0)
    return list(islice(endless_singles(now - timedelta(seconds=(many - 1) // SENSORS)), many))


def gateway_of(sensor: int) -> str:
    """Return the gateway of the sensor with a number."""
    return f"g{sensor // PER_GATEWAY}"


def endless_singles(begin: datetime = LONG_AGO) -> Iterator[tuple[str, bytes]]:
    """Yield messages with a reading each, a second apart for each sensor, from a moment on."""
    draw = random.Random(1)
    for n in count():
        turn, sensor = divmod(n, SENSORS)
        value = 30 + sensor / 100 + 5 * math.sin(turn / 600) + draw.gauss(0, 0.02)
        at = format_time(begin + timedelta(seconds=turn))
        payload = {"observed_at": at, "value": round(value, 3), "unit": "m", "seq": turn}
        yield single_topic(gateway_of(sensor), f"P-{sensor}"), json.dumps(payload).encode()


def open_session(port: int, client_id: str, topic: str = "h2/+/+", *, mqtt5: bool = True) -> None:
    """Let the broker keep messages for a client that is not there yet."""
    subscribed: list[bool] = []
    made = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id,
        clean_session=None if mqtt5 else False,
        protocol=paho.MQTTv5 if mqtt5 else paho.MQTTv311,
    )
    made.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
    made.on_subscribe = lambda *_: subscribed.append(True)
    if mqtt5:
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        session.SessionExpiryInterval = 3600
        made.connect("127.0.0.1", port, clean_start=False, properties=session)
    else:
        made.connect("127.0.0.1", port)
    made.loop_start()
    wait_until(lambda: bool(subscribed))
    made.disconnect()
    made.loop_stop()


def publish(port: int, messages: list[tuple[str, bytes]]) -> None:
    """Publish messages and return when the broker has all of them."""
    with Publisher(f"mqtt://127.0.0.1:{port}", timeout_s=300) as publisher:
        assert publisher.publish_all(messages) == len(messages)
