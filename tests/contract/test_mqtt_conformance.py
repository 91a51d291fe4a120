"""Our receive loop does on a real Mosquitto what paho does, scenario by scenario, in MQTT 5 and 3.1.1.

Every scenario is played by both clients; paho is the reference.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from servers.mosquitto import find, mosquitto
from servers.process import answers, free_port, running

from ingest.wire import packets
from ingest.wire.connection import Connection
from ingest.wire.conversation import Stage, Terms
from ingest.wire.errors import RefusedError, WireError

pytestmark = pytest.mark.needs_mosquitto
WEEK_S = 7 * 24 * 3600


@dataclass(frozen=True)
class Got:
    topic: str
    payload: bytes
    is_again: bool
    qos: int
    packet_id: int = field(compare=False, default=0)


class Client(Protocol):
    """A subscriber with a persistent session that acknowledges when it is told to."""

    def connect(self) -> None: ...

    def receive(self, count: int) -> list[Got]: ...

    def expect_silence(self) -> None: ...

    def acknowledge(self, got: Sequence[Got]) -> None:
        """Acknowledge, and wait until the broker has taken it: it may end a connection with packets unread."""
        ...

    def drop(self) -> None:
        """Go without a word."""
        ...


class Ours:
    def __init__(self, port: int, terms: Terms, tls: ssl.SSLContext | None = None) -> None:
        self._port, self._terms, self._tls = port, terms, tls
        self._got: list[Got] = []
        self._connection: Connection | None = None

    def connect(self) -> None:
        self._connection = Connection("127.0.0.1", self._port, self._terms, tls=self._tls)
        self._connection.open()
        self._got.clear()
        self._turn_until(lambda: self._live.words.stage is Stage.READY)

    def receive(self, count: int) -> list[Got]:
        self._turn_until(lambda: len(self._got) >= count)
        got, self._got[:] = self._got[:count], self._got[count:]
        return got

    def expect_silence(self) -> None:
        for _ in range(6):
            self._turn()
        assert self._got == []

    def acknowledge(self, got: Sequence[Got]) -> None:
        words = self._live.words
        self._live.acknowledge([message.packet_id for message in got if message.packet_id])
        words._say(packets.pingreq())
        words._packet_s = -1.0  # the time of the last packet: the answer to the ping sets it
        self._turn_until(lambda: words._packet_s >= 0)

    def drop(self) -> None:
        self._live.close()

    @property
    def _live(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _turn(self) -> None:
        for message in self._live.turn(0.05):
            qos = 1 if message.packet_id else 0
            self._got.append(Got(message.topic, message.payload, message.is_redelivery, qos, message.packet_id))

    def _turn_until(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not ready():
            assert time.monotonic() < end
            self._turn()


class Reference:
    def __init__(self, port: int, terms: Terms, tls: ssl.SSLContext | None = None) -> None:
        self._port, self._terms, self._tls = port, terms, tls
        self._got: list[Got] = []
        self._client: paho.Client | None = None
        self._subscribed = False
        self._refused = ""

    def connect(self) -> None:
        terms = self._terms
        self._got.clear()
        self._subscribed, self._refused = False, ""
        made = paho.Client(
            CallbackAPIVersion.VERSION2,
            terms.client_id,
            clean_session=None if terms.mqtt5 else False,
            protocol=paho.MQTTv5 if terms.mqtt5 else paho.MQTTv311,
            manual_ack=True,
        )
        if terms.username is not None:
            made.username_pw_set(terms.username, terms.password)
        if self._tls is not None:
            made.tls_set_context(self._tls)
        made.on_connect = self._on_connect
        made.on_subscribe = lambda *_: setattr(self, "_subscribed", True)
        made.on_message = lambda _client, _data, m: self._got.append(Got(m.topic, m.payload, m.dup, m.qos, m.mid))
        self._client = made
        if terms.mqtt5:
            session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            session.SessionExpiryInterval = terms.session_expiry_s
            session.ReceiveMaximum = terms.receive_maximum
            made.connect("127.0.0.1", self._port, terms.keepalive_s, clean_start=False, properties=session)
        else:
            made.connect("127.0.0.1", self._port, terms.keepalive_s)
        self._turn_until(lambda: self._subscribed or bool(self._refused))
        if self._refused:
            raise RefusedError(self._refused, 0)

    def _on_connect(self, client: paho.Client, _data: object, _flags: object, reason: object, _p: object) -> None:
        if getattr(reason, "is_failure", False):
            self._refused = f"the broker refuses us: {str(reason).lower()}"
        else:
            client.subscribe(list(self._terms.filters))

    def receive(self, count: int) -> list[Got]:
        self._turn_until(lambda: len(self._got) >= count)
        got, self._got[:] = self._got[:count], self._got[count:]
        return got

    def expect_silence(self) -> None:
        for _ in range(6):
            self._live.loop(0.05)
        assert self._got == []

    def acknowledge(self, got: Sequence[Got]) -> None:
        for message in got:
            self._live.ack(message.packet_id, message.qos)
        self._live._send_pingreq()
        self._turn_until(lambda: self._live._ping_t == 0)

    def drop(self) -> None:
        self._live._sock_close()

    @property
    def _live(self) -> paho.Client:
        assert self._client is not None
        return self._client

    def _turn_until(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + 20
        while not ready():
            assert time.monotonic() < end
            self._live.loop(0.05)


KINDS: dict[str, type[Ours] | type[Reference]] = {"ours": Ours, "paho": Reference}
Start = Callable[..., Client]


@pytest.fixture(params=["ours", "paho"])
def kind(request: pytest.FixtureRequest) -> type[Ours] | type[Reference]:
    return KINDS[request.param]


@pytest.fixture(params=[True, False], ids=["5", "3.1.1"])
def mqtt5(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[int]:
    with mosquitto(tmp_path) as (port, _):
        yield port


@contextmanager
def subscriber(
    kind: type[Ours] | type[Reference], port: int, *, tls: ssl.SSLContext | None = None, **asked: object
) -> Iterator[Client]:
    terms = Terms("conformance", (("t/#", 1),), session_expiry_s=WEEK_S, topic_aliases=10)
    client = kind(port, replace(terms, **asked), tls)  # type: ignore[arg-type]
    client.connect()
    try:
        yield client
    finally:
        client.drop()


def publish(port: int, messages: Sequence[tuple[str, bytes]], *, qos: int = 1, retain: bool = False) -> None:
    made = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    made.connect("127.0.0.1", port)
    made.loop_start()
    receipts = [made.publish(topic, payload, qos=qos, retain=retain) for topic, payload in messages]
    for receipt in receipts:
        receipt.wait_for_publish(20)
    made.disconnect()
    made.loop_stop()


def numbered(*numbers: int) -> list[tuple[str, bytes]]:
    return [(f"t/{number}", str(number).encode()) for number in numbers]


def fresh(messages: Sequence[tuple[str, bytes]]) -> list[Got]:
    return [Got(topic, payload, False, 1) for topic, payload in messages]


def again(messages: Sequence[tuple[str, bytes]]) -> list[Got]:
    return [Got(topic, payload, True, 1) for topic, payload in messages]


def test_messages_come_in_order(broker: int, kind: type[Ours] | type[Reference], mqtt5: bool) -> None:
    with subscriber(kind, broker, mqtt5=mqtt5, receive_maximum=500) as client:
        publish(broker, numbered(*range(300)))
        assert client.receive(300) == fresh(numbered(*range(300)))
        client.expect_silence()


def test_what_was_not_acknowledged_comes_again_in_order_and_says_so(
    broker: int, kind: type[Ours] | type[Reference], mqtt5: bool
) -> None:
    with subscriber(kind, broker, mqtt5=mqtt5) as client:
        publish(broker, numbered(*range(10)))
        client.acknowledge(client.receive(10)[:4])
        client.drop()
        publish(broker, numbered(10, 11))
        client.connect()
        got = client.receive(8)
        assert got == again(numbered(*range(4, 10))) + fresh(numbered(10, 11))
        client.acknowledge(got)
        client.drop()
        client.connect()
        client.expect_silence()


def test_no_more_is_under_way_than_we_take(broker: int, kind: type[Ours] | type[Reference]) -> None:
    """Mosquitto 2.0.11 forgets the limit after the first acknowledgement where its own limit is off."""
    with subscriber(kind, broker, receive_maximum=5) as client:
        publish(broker, numbered(*range(12)))
        first = client.receive(5)
        client.expect_silence()
        client.acknowledge(first)
        assert first + client.receive(7) == fresh(numbered(*range(12)))


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        pytest.param("t/empty", b"", id="empty payload"),
        pytest.param("t/água/水/🌊", "größe".encode(), id="UTF-8"),
        pytest.param("t/" + "x" * 60_000, b"1", id="long topic"),
        pytest.param("t/large", bytes(range(256)) * 3500, id="large packet"),
        pytest.param("t", b"\0\xff", id="bytes"),
    ],
)
def test_odd_messages_come_as_they_were_sent(
    broker: int, kind: type[Ours] | type[Reference], mqtt5: bool, topic: str, payload: bytes
) -> None:
    with subscriber(kind, broker, mqtt5=mqtt5) as client:
        publish(broker, [(topic, payload)])
        assert client.receive(1) == [Got(topic, payload, False, 1)]


def test_qos_0_comes_without_a_packet_id(broker: int, kind: type[Ours] | type[Reference], mqtt5: bool) -> None:
    with subscriber(kind, broker, mqtt5=mqtt5) as client:
        publish(broker, numbered(1), qos=0)
        assert client.receive(1) == [Got("t/1", b"1", False, 0)]


def test_retained_messages_come_at_the_first_subscription(
    broker: int, kind: type[Ours] | type[Reference], mqtt5: bool
) -> None:
    publish(broker, numbered(1, 2), retain=True)
    with subscriber(kind, broker, mqtt5=mqtt5) as client:
        assert sorted(client.receive(2), key=lambda got: got.topic) == fresh(numbered(1, 2))


def test_topics_that_the_publisher_abbreviates_come_whole(broker: int, kind: type[Ours] | type[Reference]) -> None:
    with subscriber(kind, broker) as client:
        made = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        connected = threading.Event()
        made.on_connect = lambda *_: connected.set()
        made.connect("127.0.0.1", broker)
        made.loop_start()
        assert connected.wait(10)
        for topic, payload in (("t/abbreviated", b"1"), ("", b"2"), ("", b"3")):
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.TopicAlias = 3
            made.publish(topic, payload, qos=1, properties=properties).wait_for_publish(10)
        made.disconnect()
        made.loop_stop()
        assert client.receive(3) == fresh([("t/abbreviated", b"1"), ("t/abbreviated", b"2"), ("t/abbreviated", b"3")])


def test_a_quiet_connection_is_kept_alive(broker: int, kind: type[Ours] | type[Reference], mqtt5: bool) -> None:
    """The broker drops a client that is silent for one and a half keep-alives."""
    with subscriber(kind, broker, mqtt5=mqtt5, keepalive_s=1) as client:
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            client.expect_silence()
        publish(broker, numbered(1))
        assert client.receive(1) == fresh(numbered(1))


def test_members_of_a_group_share_and_each_message_comes_once(
    broker: int, kind: type[Ours] | type[Reference], mqtt5: bool
) -> None:
    asked = {"mqtt5": mqtt5, "filters": (("$share/group/t/#", 1),)}
    with (
        subscriber(kind, broker, client_id="one", **asked) as one,
        subscriber(kind, broker, client_id="two", **asked) as two,
    ):
        publish(broker, numbered(*range(40)))
        parts = [one.receive(20), two.receive(20)]
        assert sorted(int(got.payload) for part in parts for got in part) == list(range(40))
        for part in parts:
            numbers = [int(got.payload) for got in part]
            assert numbers == sorted(numbers)


def test_a_wrong_password_is_refused_by_name(tmp_path: Path, kind: type[Ours] | type[Reference], mqtt5: bool) -> None:
    port, passwords, config = free_port(), tmp_path / "passwords", tmp_path / "mosquitto.conf"
    passwd = shutil.which("mosquitto_passwd") or shutil.which("mosquitto_passwd", path="/usr/bin:/usr/local/bin")
    if passwd is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([passwd, "-b", "-c", passwords, "twin", "right"], check=True, capture_output=True)
    config.write_text(f"listener {port} 127.0.0.1\npassword_file {passwords}\nuser root\n")
    with running([find() or "mosquitto", "-c", str(config)], log=tmp_path / "log", ready=lambda: answers(port)):
        with subscriber(kind, port, mqtt5=mqtt5, username="twin", password="right") as client:
            client.expect_silence()
        client = kind(port, Terms("x", (("t/#", 1),), mqtt5=mqtt5, username="twin", password="wrong"))
        with pytest.raises(WireError, match=r"refuses us: .*(not authori[sz]ed|bad user name or password)"):
            client.connect()
        client.drop()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority, and a broker and a client signed by it, made by the script that the product ships."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not installed")
    script = Path(__file__).parents[2] / "docker" / "mosquitto" / "certificates.sh"
    folder = tmp_path / "certificates"
    for what in (["authority"], ["server", "127.0.0.1"], ["device", "h2twin"]):
        subprocess.run(["sh", str(script), str(folder), *what], check=True, capture_output=True)
    return folder


def test_a_client_shows_its_certificate(
    tmp_path: Path, certificates: Path, kind: type[Ours] | type[Reference], mqtt5: bool
) -> None:
    port, config = free_port(), tmp_path / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\ncafile {certificates}/ca.crt\ncertfile {certificates}/server.crt\n"
        f"keyfile {certificates}/server.key\nrequire_certificate true\nuse_identity_as_username true\nuser root\n"
        "allow_anonymous false\nmax_queued_messages 0\nmax_inflight_messages 0\n"
    )
    known = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    known.load_cert_chain(certificates / "h2twin.crt", certificates / "h2twin.key")
    stranger = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    large = [(f"t/{number}", bytes([number]) * 100_000) for number in range(30)]
    with running([find() or "mosquitto", "-c", str(config)], log=tmp_path / "log", ready=lambda: answers(port)):
        with subscriber(kind, port, tls=known, mqtt5=mqtt5, receive_maximum=100) as client:
            publisher = paho.Client(CallbackAPIVersion.VERSION2)
            publisher.tls_set_context(known)
            publisher.connect("127.0.0.1", port)
            publisher.loop_start()
            for topic, payload in large:
                publisher.publish(topic, payload, qos=1)
            assert client.receive(30) == fresh(large)
            publisher.disconnect()
            publisher.loop_stop()
        if kind is Ours:
            client = Ours(port, Terms("stranger", (("t/#", 1),), mqtt5=mqtt5), stranger)
            with pytest.raises((OSError, WireError)):
                client.connect()
            client.drop()
