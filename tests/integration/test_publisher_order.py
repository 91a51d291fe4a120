"""The publisher keeps the order it is given, from the first message on."""

from __future__ import annotations

from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from servers.mosquitto import mosquitto
from servers.process import wait_until

from ingest.publisher import Publisher

COUNT = 2_000


@pytest.mark.needs_mosquitto
def test_what_is_published_before_the_connection_is_made_keeps_its_order(tmp_path: Path) -> None:
    heard: list[int] = []
    listener = paho.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda _client, _data, message: heard.append(int(message.payload))
    listening: list[int] = []
    listener.on_subscribe = lambda *_told: listening.append(1)
    with mosquitto(tmp_path) as (port, _):
        listener.connect("127.0.0.1", port)
        listener.subscribe("h2/+/+", qos=1)
        listener.loop_start()
        try:
            wait_until(lambda: bool(listening))
            for turn in range(3):
                with Publisher(f"mqtt://127.0.0.1:{port}") as publisher:
                    messages = [("h2/g1/P-1", str(turn * COUNT + n).encode().ljust(2_000)) for n in range(COUNT)]
                    assert publisher.publish_all(messages) == COUNT
            wait_until(lambda: len(heard) == 3 * COUNT)
        finally:
            listener.disconnect()
            listener.loop_stop()
    assert heard == list(range(3 * COUNT))
