"""The gateway with brokers that answer by hand, and its command with a real one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers.mosquitto import mosquitto
from servers.process import free_port, wait_until

from ingest.gateway import Gateway
from ingest.outbox import Outbox
from twin.clock import SystemClock
from twin.errors import ConfigError
from twin.replay import Row

START = datetime(2026, 1, 1, tzinfo=UTC)
CONNACK_5, CONNACK_311, TOO_NEW = b"\x20\x03\x00\x00\x00", b"\x20\x02\x00\x00", b"\x20\x02\x00\x01"
NOT_AUTHORIZED = 0x87


def rows(count: int) -> list[Row]:
    return [Row("P-1", START + timedelta(minutes=n), n / 10, "m") for n in range(count)]


class HandBroker:
    """Says what it is told to say to CONNECT and to each PUBLISH with QoS 1 (None: nothing), and keeps the rest."""

    def __init__(self, connack: bytes, puback: int | None) -> None:
        self.published: list[bytes] = []
        self.connects: list[int] = []
        self.connack = connack
        self.puback = puback
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                self._sockets.append(client)
                with suppress(OSError, IndexError):
                    self._talk(client)
                client.close()

    def _talk(self, client: socket.socket) -> None:
        stream = client.makefile("rb")
        while True:
            kind = stream.read(1)[0]
            length = shift = 0
            while True:
                byte = stream.read(1)[0]
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            body = stream.read(length)
            if kind >> 4 == 1:
                self.connects.append(body[6])
                client.sendall(self.connack if body[6] == 5 or self.connack != TOO_NEW else CONNACK_311)
                if body[6] == 5 and self.connack == TOO_NEW:
                    return
            elif kind >> 4 == 3:
                topic_length = int.from_bytes(body[:2], "big")
                packet_id = body[2 + topic_length : 4 + topic_length]
                self.published.append(body)
                if self.puback == 0:
                    client.sendall(b"\x40\x02" + packet_id)
                elif self.puback is not None:
                    client.sendall(b"\x40\x03" + packet_id + bytes([self.puback]))

    def close(self) -> None:
        self._server.close()
        for client in self._sockets:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


@contextmanager
def hand_broker(connack: bytes, puback: int | None) -> Iterator[HandBroker]:
    broker = HandBroker(connack, puback)
    try:
        yield broker
    finally:
        broker.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", SystemClock()) as opened:
        yield opened


def test_readings_put_one_by_one_go_out_together(outbox: Outbox) -> None:
    """An ingester refuses a gateway that sends more than 200 messages a second, whatever is in them."""
    with hand_broker(CONNACK_5, 0) as broker, Gateway(f"mqtt://127.0.0.1:{broker.port}", "g1", outbox) as gateway:
        wait_until(lambda: gateway.status().connected)
        began_s = time.monotonic()
        for row in rows(1_000):
            gateway.put([row])
        assert gateway.flush(30) == 0
        took_s = time.monotonic() - began_s
        assert len(broker.published) <= 2 + took_s / 0.05
        assert len(broker.published) < 200


def test_what_was_sent_and_not_acknowledged_waits_for_the_next_run(outbox: Outbox) -> None:
    with hand_broker(CONNACK_5, None) as broker:
        with Gateway(f"mqtt://127.0.0.1:{broker.port}", "g1", outbox) as gateway:
            gateway.put(rows(7))
            wait_until(lambda: broker.published != [])
            assert gateway.flush(0.2) == 7
        assert outbox.unsent == 7
        broker.puback = 0
        with Gateway(f"mqtt://127.0.0.1:{broker.port}", "g1", outbox) as gateway:
            wait_until(lambda: outbox.unsent == 0)


def test_a_broker_that_does_not_want_a_message_is_named_and_asked_again(outbox: Outbox) -> None:
    """MQTT 5 says so; a broker that speaks 3.1.1 acknowledges and drops what its rules forbid."""
    with (
        hand_broker(CONNACK_5, NOT_AUTHORIZED) as broker,
        Gateway(f"mqtt://127.0.0.1:{broker.port}", "g1", outbox) as gateway,
    ):
        gateway.put(rows(3))
        wait_until(lambda: "Not authorized" in gateway.status().trouble)
        assert outbox.unsent == 3
        broker.puback = 0
        wait_until(lambda: outbox.unsent == 0)
        wait_until(lambda: gateway.status().trouble == "")


def test_a_broker_of_the_old_kind_is_spoken_to_in_its_words(outbox: Outbox) -> None:
    with hand_broker(TOO_NEW, 0) as broker:
        with Gateway(f"mqtt://127.0.0.1:{broker.port}", "g1", outbox) as gateway:
            gateway.put(rows(3))
            assert gateway.flush(20) == 0
            assert gateway.status().protocol == "3.1.1"
        assert broker.connects[0] == 5
        assert broker.connects[-1] == 4


@pytest.mark.parametrize("name", ["", "a/b", "backfill", "x" * 257])
def test_a_name_that_is_no_level_of_a_topic_is_refused(outbox: Outbox, name: str) -> None:
    with pytest.raises(ConfigError, match="gateway_id"):
        Gateway("mqtt://127.0.0.1:1", name, outbox)


# ------------------------------------------------------------------------------------------------ the command


def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api", "gateway", "--gateway-id", "g1", *arguments]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.needs_mosquitto
def test_the_command_sends_lines_and_files_and_tells_of_the_bad_ones(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as (port, _):
        here = ("--broker", f"mqtt://127.0.0.1:{port}", "--outbox", str(tmp_path / "outbox.db"), "--json")
        lines = '{"sensor_id": "P-1", "observed_at": "2026-01-01T00:00:00Z", "value": 3.2}\n'
        lines += '{"sensor_id": "P-1", "observed_at": "2026-01-01T00:05:00", "value": 3.2}\n'
        lines += '{"readings": [{"sensor_id": "P-1", "observed_at": "2026-01-01T00:10:00Z", "value": 3}]}\n'
        sent = run(*here, given=lines)
        assert sent.returncode == 3
        status = json.loads(sent.stdout)
        assert (status["taken"], status["acknowledged"], status["waiting"], status["bad_lines"]) == (2, 2, 0, 1)
        assert "line 2: 2026-01-01T00:05:00 has no zone" in sent.stderr
        table = tmp_path / "readings.csv"
        table.write_text(
            "observed_at,sensor_id,value,unit\n2026-01-01T00:10:00Z,P-1,3,\n2026-01-01T00:15:00Z,P-1,0.5,bar\n"
        )
        again = run(*here, "--file", str(table))
        assert again.returncode == 0
        assert (json.loads(again.stdout)["taken"], json.loads(again.stdout)["repeats"]) == (1, 1)


def test_the_command_keeps_what_it_cannot_send_and_gives_receipts(tmp_path: Path) -> None:
    address = tmp_path / "broker.url"
    address.write_text(f"mqtt://gw:secret@127.0.0.1:{free_port()}\n")
    box = tmp_path / "outbox.db"
    line = '{"sensor_id": "P-1", "observed_at": "2026-01-01T00:00:00Z", "value": 3.2}\n'
    kept = run(
        "--broker-file", str(address), "--outbox", str(box), "--wait", "0.2", "--receipts", given=line + "{}\n" + line
    )
    assert kept.returncode == 4
    first, second, third = map(json.loads, kept.stdout.splitlines())
    assert (first, third) == ({"kept": 1}, {"kept": 1})
    assert second["problem"] == "invalid_input"
    assert "1 readings wait in" in kept.stderr
    assert "secret" not in kept.stderr
    with Outbox(box, SystemClock()) as outbox:
        assert [(held.value, held.seq) for held in outbox.waiting()] == [(3.2, 0)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param((), "name the broker", id="no broker"),
        pytest.param(("--broker", "mqtt://h", "--follow"), "--follow needs --file", id="nothing to follow"),
        pytest.param(("--broker", "mqtt://h", "--json", "--receipts"), "choose one", id="two answers"),
    ],
)
def test_the_command_refuses_what_cannot_work(tmp_path: Path, arguments: tuple[str, ...], told: str) -> None:
    refused = run("--outbox", str(tmp_path / "outbox.db"), *arguments)
    assert refused.returncode == 2
    assert told in refused.stderr
