"""Brokers that are no brokers: whatever one sends, the ingester names it, waits a little and connects anew.

Each script is what a broker on loopback says on one connection; the connection after it is a proper one, and the
message that comes by it is stored and acknowledged.
"""

from __future__ import annotations

import json
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import mqtt_bytes as wire
import pytest
from fakes import MemoryLetters, MemoryNotebook, MemoryReadings
from servers.process import wait_until

from ingest.mqtt import MqttIngester, MqttSettings
from ingest.mqtt_settings import Protocol
from ingest.pipeline import Pipeline
from twin.clock import SystemClock
from twin.readings import Sensor
from twin.units import Quantity

GOOD = wire.publish("h2/g1/P-1", json.dumps({"observed_at": "2026-01-01T00:00:00Z", "value": 1}).encode(), packet_id=77)
GREETING = wire.connack() + wire.suback(b"\x01\x01\x00")
Script = Callable[[socket.socket], None]


def says(*parts: bytes, then_close: bool = True) -> Script:
    """Answer CONNECT with bytes, and then wait for the client to go, unless the script closes."""

    def script(client: socket.socket) -> None:
        client.recv(4096)
        for part in parts:
            client.sendall(part)
        if not then_close:
            hold(client)

    return script


def hold(client: socket.socket) -> None:
    while client.recv(4096):
        pass


def trickles(client: socket.socket) -> None:
    """Begin a message and send a byte of it now and then, for ever."""
    client.recv(4096)
    client.sendall(GREETING + b"\x32\xff\x7f\x00\x09h2/g1/P-1")
    pause = threading.Event()
    while not pause.wait(0.02):
        client.sendall(b"x")


def resets(client: socket.socket) -> None:
    client.recv(4096)
    client.sendall(GREETING + GOOD[:20])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


SCRIPTS = [
    pytest.param(says(), "closed the connection", id="closes at once"),
    pytest.param(says(then_close=False), "no CONNACK within", id="never answers"),
    pytest.param(says(GREETING, then_close=False), "no PINGRESP within", id="falls silent"),
    pytest.param(trickles, "no PINGRESP within", id="trickles for ever"),
    pytest.param(says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "", id="speaks HTTP"),
    pytest.param(says(b"\xff" * 5000), "", id="garbage"),
    pytest.param(says(b"\x20\xff\xff\xff\xff\x7f"), "more than four bytes", id="length of five bytes"),
    pytest.param(says(GREETING[:3]), "closed the connection", id="truncated CONNACK"),
    pytest.param(says(GREETING + GOOD[:15]), "closed the connection", id="closes mid-packet"),
    pytest.param(resets, "", id="resets mid-packet"),
    pytest.param(says(GOOD), "came before the answer", id="message before CONNACK"),
    pytest.param(says(wire.suback(b"\x01")), "came before the answer", id="SUBACK before CONNACK"),
    pytest.param(says(wire.connack() + wire.connack()), "second answer", id="CONNACK twice"),
    pytest.param(says(wire.connack() + wire.suback(b"\x01")), "1 answers to", id="SUBACK with too few codes"),
    pytest.param(says(wire.connack() + wire.suback(b"\x01\x01\x00", packet_id=9)), "never sent", id="strange SUBACK"),
    pytest.param(says(GREETING + wire.packet(0xB0, b"\0\x05\0\0")), "never sent", id="strange UNSUBACK"),
    pytest.param(says(GREETING + wire.publish("a", b"", qos=2)), "QoS 2", id="QoS 2"),
    pytest.param(says(GREETING + wire.publish("a", b"", qos=3)), "QoS 3", id="QoS 3"),
    pytest.param(says(GREETING + wire.publish("a", b"", props=wire.alias(0))), "alias 0", id="alias 0"),
    pytest.param(says(GREETING + wire.publish("a", b"", props=wire.alias(60000))), "alias 60000", id="alias too high"),
    pytest.param(says(GREETING + wire.publish("", b"", props=wire.alias(5))), "never given", id="alias of nothing"),
    pytest.param(says(GREETING + wire.publish("", b"")), "without a topic", id="no topic"),
    pytest.param(says(wire.connack(props=b"\x21\0\0")), "receive maximum is 0", id="receive maximum 0"),
    pytest.param(says(wire.connack(0x87)), "not authorized", id="not authorized"),
    pytest.param(says(wire.connack(0x86, props=b"\x1f" + wire.text("who?"))), r"password \(who\?\)", id="with words"),
    pytest.param(says(GREETING + wire.packet(0xE0, b"\x8e")), "taken over", id="session taken over"),
    pytest.param(says(GREETING + wire.packet(0xE0, b"\x8b\0")), "shutting down", id="shutting down"),
]


@contextmanager
def scripted_broker(first: Script) -> Iterator[tuple[int, list[bytes], threading.Event]]:
    """Listen; the first connection meets the script, those after it a proper broker. Yield what that one hears."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []
    proper = threading.Event()
    clients: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def be_proper(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(GREETING + GOOD)
        while data := client.recv(4096):
            heard.append(data)
            if b"\xc0\x00" in data:
                client.sendall(b"\xd0\x00")

    def serve(client: socket.socket, script: Script) -> None:
        with suppress(OSError):
            script(client)
        client.close()

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            clients.append(client)
            script = be_proper if proper.is_set() else first
            threads.append(threading.Thread(target=serve, args=(client, script), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1], heard, proper
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *threads):
            thread.join(5)
        for client in clients:
            client.close()


def an_ingester(port: int, store: MemoryReadings, letters: MemoryLetters, **settings: object) -> MqttIngester:
    ways = {
        "protocol": Protocol.V5, "connect_timeout_s": 0.5, "keepalive_s": 1, "retry_s": 0.02, "longest_retry_s": 0.1,
        **settings,
    }  # fmt: skip
    registry = {"P-1": Sensor("P-1", Quantity.PRESSURE)}

    class Sensors:
        def sensors(self) -> dict[str, Sensor]:
            return registry

        def upsert_sensors(self, sensors: object) -> None:
            raise NotImplementedError

    pipeline = Pipeline(readings=store, dead_letters=letters, sensors=Sensors(), notebook=MemoryNotebook())  # type: ignore[arg-type]
    return MqttIngester(replace(MqttSettings("127.0.0.1", port), **ways), pipeline, SystemClock())  # type: ignore[arg-type]


@pytest.mark.parametrize(("script", "named"), SCRIPTS)
def test_whatever_a_broker_says_is_named_and_survived(script: Script, named: str) -> None:
    store, letters = MemoryReadings(), MemoryLetters()
    with scripted_broker(script) as (port, heard, proper):
        ingester = an_ingester(port, store, letters)
        seen: set[str] = set()
        ingester.start()
        try:

            def is_named() -> bool:
                seen.add(ingester.state().last_error)
                return any(error and _matches(named, error) for error in seen)

            wait_until(is_named, within_s=10, what=f"{named!r} in {seen}")
            assert not any("unexpected" in error for error in seen)
            proper.set()
            wait_until(lambda: ingester.state().stored == 1, within_s=10)
            wait_until(lambda: b"\x40\x02\x00\x4d" in b"".join(heard), what="the acknowledgement of message 77")
        finally:
            ingester.stop(5)
    assert store.kept[("P-1", datetime(2026, 1, 1, tzinfo=UTC))].value == 1
    assert not any(thread.name.startswith("ingest-") for thread in threading.enumerate())


def test_a_refused_connection_is_tried_with_growing_pauses() -> None:
    attempts: list[float] = []

    def refuse(client: socket.socket) -> None:
        attempts.append(time.monotonic())
        client.recv(4096)
        client.sendall(wire.connack(0x88))

    with scripted_broker(refuse) as (port, _, _):
        ingester = an_ingester(port, MemoryReadings(), MemoryLetters(), retry_s=0.05, longest_retry_s=0.4)
        ingester.start()
        wait_until(lambda: len(attempts) >= 6, within_s=10)
        ingester.stop(5)
    pauses = [b - a for a, b in pairwise(attempts)]
    assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.4, 0.4), strict=False)), pauses


@pytest.mark.parametrize("answer", [wire.connack(0x84), wire.connack(1, mqtt5=False)], ids=["by name", "as of 3.1.1"])
def test_a_broker_that_knows_only_3_1_1_is_spoken_to_in_3_1_1(answer: bytes) -> None:
    def old(client: socket.socket) -> None:
        connect = client.recv(4096)
        if connect[8] == 4:
            client.sendall(wire.connack(mqtt5=False) + wire.suback(b"\x01\x01\x00", mqtt5=False))
            hold(client)
        else:
            client.sendall(answer)

    with scripted_broker(old) as (port, _, _):
        ingester = an_ingester(port, MemoryReadings(), MemoryLetters(), protocol=Protocol.AUTO)
        ingester.start()
        wait_until(lambda: ingester.state().connected, within_s=10)
        assert ingester.state().protocol == "3.1.1"
        ingester.stop(5)


def test_a_subscription_that_is_refused_or_cut_down_is_told() -> None:
    with scripted_broker(says(wire.connack() + wire.suback(b"\x87\x00\x00"), then_close=False)) as (port, _, _):
        ingester = an_ingester(port, MemoryReadings(), MemoryLetters())
        ingester.start()
        wait_until(lambda: ingester.state().connected, within_s=10)
        error = ingester.state().last_error
        assert "h2/+ (not authorized)" in error
        assert "h2/+/+ (QoS 0 only" in error
        ingester.stop(5)


def test_the_broker_may_shorten_the_keep_alive() -> None:
    pinged = threading.Event()

    def impatient(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(wire.connack(props=b"\x13\0\x01") + wire.suback(b"\x01\x01\x00"))
        while data := client.recv(4096):
            if b"\xc0\x00" in data:
                pinged.set()
                client.sendall(b"\xd0\x00")

    with scripted_broker(impatient) as (port, _, _):
        ingester = an_ingester(port, MemoryReadings(), MemoryLetters(), keepalive_s=600)
        ingester.start()
        assert pinged.wait(5)
        assert ingester.state().connections == 1
        ingester.stop(5)


def test_a_message_beyond_the_limit_is_kept_with_its_head_and_nothing_stands_still() -> None:
    big = wire.publish("h2/g1/P-1", b"\x01" * 30_000_000, packet_id=5)

    def broker(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(GREETING + big + GOOD)
        hold(client)

    store, letters = MemoryReadings(), MemoryLetters()
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with scripted_broker(broker) as (port, _, _):
        ingester = an_ingester(port, store, letters, largest_packet_bytes=1_000_000)
        ingester.start()
        wait_until(lambda: ingester.state().stored == 1, within_s=20)
        assert ingester.state().connections == 1
        ingester.stop(5)
    (letter,) = letters.kept.values()
    assert (letter.topic, letter.payload, letter.reason) == ("h2/g1/P-1", b"\x01" * 65536, "undecodable")
    assert "29,934,464 bytes" in letter.detail
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 15_000


def _matches(named: str, error: str) -> bool:
    return re.search(named, error) is not None
