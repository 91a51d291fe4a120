"""Who may send what, on the broker configuration that is shipped, and behind it in the ingester."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from servers.process import answers, wait_until
from servers.shipped_broker import ShippedBroker, certificates, shipped_broker

from ingest.connection import configure
from ingest.guard.gateways import GatewayGuard
from ingest.mqtt import MqttIngester, MqttSettings
from ingest.pipeline import Pipeline
from ingest.publisher import Publisher
from twin.clock import SystemClock, format_time
from twin.errors import UnavailableError
from twin.events import SECURITY, EventKind
from twin.ports import Registry
from twin.readings import Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytestmark = [
    pytest.mark.needs_mosquitto,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl, which makes certificates, is not installed"),
    # paho leaves the socket of a failed handshake to the garbage collector.
    pytest.mark.filterwarnings("ignore:.*ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]
GATEWAYS = "gw1:one-4417 gw2:two-9023 +:plus-1 chirpstack:lora-77 wmbusmeters:bus-31"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShippedBroker]:
    folder = tmp_path_factory.mktemp("identity")
    certs = folder / "certs"
    certificates(certs, "authority")
    certificates(certs, "server", "localhost", "127.0.0.1")
    certificates(certs, "device", "gw-7")
    certificates(folder / "strangers", "authority")
    certificates(folder / "strangers", "device", "gw-7")
    with shipped_broker(folder, gateways=GATEWAYS, certs=certs) as running:
        wait_until(lambda: answers(running.tls_port), what="the TLS listener")
        yield running


class Ears:
    """A subscriber that keeps what it hears."""

    def __init__(self, url: str, *topics: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.subscribed = False
        self._topics = topics
        self._settings = MqttSettings.from_url(url)
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
        configure(self._client, self._settings)
        self._client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True

    def has_heard(self, topic: str) -> bool:
        return any(heard == topic for heard, _ in self.heard)

    def __enter__(self) -> Ears:
        self._client.connect(self._settings.host, self._settings.port)
        self._client.loop_start()
        wait_until(lambda: self.subscribed, what="the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def heard_after(broker: ShippedBroker, url: str, topics: list[str], last: str) -> list[str]:
    """Publish on each of `topics` and then on `last`, and return what the ingester's user heard of it."""
    with Ears(broker.url(), "#") as ears:
        for topic in [*topics, last]:
            try_to_publish(url, topic)
        wait_until(lambda: ears.has_heard(last), what="the last message")
        return [topic for topic, _ in ears.heard]


def try_to_publish(url: str, topic: str) -> None:
    """Publish over a connection of its own until the broker acknowledges, or ends it as Mosquitto 2.0 does."""
    settings = MqttSettings.from_url(url)
    speaker = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311, reconnect_on_failure=False)
    configure(speaker, settings)
    ended: list[bool] = []
    speaker.on_disconnect = lambda *_: ended.append(True)
    speaker.connect(settings.host, settings.port)
    speaker.loop_start()
    wait_until(speaker.is_connected, what="the speaker")
    receipt = speaker.publish(topic, b"x", qos=1)
    wait_until(lambda: bool(ended) or receipt.is_published(), what="the broker's answer")
    speaker.disconnect()
    speaker.loop_stop()


def refuses(url: str) -> bool:
    """Whether the broker does not let us in."""
    with Publisher(url, timeout_s=1.0) as publisher:
        try:
            publisher.publish("h2/anybody/P-1", b"x")
        except UnavailableError:
            return True
    return False


NOT_ITS_OWN = [
    "h2/gw2/P-1", "h2/gw2", "h2/gw2/backfill", "h2", "h2twin/health", "application/a/device/d/event/up",
    "v3/a/devices/d/up", "wmbusmeters/1", "v1.1/Datastreams(1)/Observations", "spBv1.0/G/NDATA/gw2",
    "spBv1.0/G/NCMD/gw1", "spBv1.0/STATE/h2twin", "homeassistant/sensor/x/config", "senml/gw2", "anything/else",
]  # fmt: skip


def test_a_device_writes_below_its_own_name_only(broker: ShippedBroker) -> None:
    own = ["h2/gw1", "h2/gw1/P-1", "spBv1.0/G/NDATA/gw1", "spBv1.0/G/DDATA/gw1/pump", "senml/gw1"]
    heard = heard_after(broker, broker.url("gw1", "one-4417"), NOT_ITS_OWN + own, "h2/gw1/last")
    assert heard == [*own, "h2/gw1/last"]


def test_a_name_that_is_a_wildcard_opens_nothing(broker: ShippedBroker) -> None:
    with Ears(broker.url(), "#") as ears:
        with Publisher(broker.url("+", "plus-1")) as publisher:
            publisher.publish("h2/gw2/P-1", b"forged")
        with Publisher(broker.url("gw2", "two-9023")) as publisher:
            publisher.publish("h2/gw2/P-1", b"true")
        wait_until(lambda: ("h2/gw2/P-1", b"true") in ears.heard, what="the honest message")
        assert ("h2/gw2/P-1", b"forged") not in ears.heard


def test_a_network_server_writes_its_own_topics_only(broker: ShippedBroker) -> None:
    up = "application/a/device/0101010101010101/event/up"
    heard = heard_after(broker, broker.url("chirpstack", "lora-77"), ["h2/gw1/P-1", "v3/a/devices/d/up"], up)
    assert heard == [up]
    receiver = broker.url("wmbusmeters", "bus-31")
    assert heard_after(broker, receiver, ["v1.1/x", "wmbusmeters_alarm"], "wmbusmeters/1") == [
        "wmbusmeters_alarm",
        "wmbusmeters/1",
    ]


def test_a_device_hears_its_own_backfill_requests_and_nothing_else(broker: ShippedBroker) -> None:
    wanted = ["#", "$SYS/#", "h2/#", "h2/gw2/P-1", "h2/gw2/backfill", "h2/gw1/backfill", "spBv1.0/G/NCMD/gw1"]
    with Ears(broker.url("gw1", "one-4417"), *wanted) as ears:
        with Publisher(broker.url("gw2", "two-9023")) as other:
            other.publish("h2/gw2/P-1", b"x")
        with Publisher(broker.url()) as ingester:
            asked = ["h2/gw2/backfill", "h2twin/health", "spBv1.0/G/NCMD/gw2", "h2/gw1/backfill"]
            ingester.publish_all([(topic, b"x") for topic in asked])
        wait_until(lambda: ears.has_heard("h2/gw1/backfill"), what="the request")
        assert {topic for topic, _ in ears.heard} == {"h2/gw1/backfill"}


def test_the_ingester_may_command_no_device(broker: ShippedBroker) -> None:
    commands = ["spBv1.0/G/DCMD/gw1/pump", "application/a/device/d/command/down", "v3/a/devices/d/down/push"]
    assert heard_after(broker, broker.url(), commands, "h2twin/last") == ["h2twin/last"]


def test_nobody_comes_in_without_a_password_of_its_own(broker: ShippedBroker) -> None:
    assert refuses(f"mqtt://127.0.0.1:{broker.port}")
    assert refuses(broker.url("gw1", "two-9023"))
    assert refuses(broker.url("stranger", "one-4417"))


def test_devices_are_added_and_removed_while_the_broker_runs(broker: ShippedBroker) -> None:
    first = broker.add("gw9")
    assert heard_after(broker, broker.url("gw9", first), ["h2/gw1/P-1"], "h2/gw9/P-1") == ["h2/gw9/P-1"]
    second = broker.add("gw9")
    assert first != second
    wait_until(lambda: refuses(broker.url("gw9", first)), what="the old password to be void")
    assert heard_after(broker, broker.url("gw1", "one-4417"), [], "h2/gw1/P-1") == ["h2/gw1/P-1"]
    assert broker.device("remove", "gw9").returncode == 0
    wait_until(lambda: refuses(broker.url("gw9", second)), what="the device to be gone")
    kept = (broker.home / "data" / "passwords").read_text() + (broker.home / "data" / "devices").read_text()
    assert not any(secret in kept for secret in (first, second, "one-4417"))


@pytest.mark.parametrize("name", ["h2twin", "import", "chirpstack", "a/b", "+", "#", "a:b", "a b", "x" * 65, ""])
def test_names_that_no_device_may_have_are_refused(broker: ShippedBroker, name: str) -> None:
    before = (broker.home / "data" / "passwords").read_text()
    assert broker.device("add", name).returncode != 0
    assert (broker.home / "data" / "passwords").read_text() == before


# ------------------------------------------------------------------------------------------------ certificates


def test_a_certificate_is_a_name_and_no_user_name_beside_it_counts(broker: ShippedBroker) -> None:
    for user in ("", "gw1", "h2twin"):
        url = broker.tls_url("gw-7", user=user)
        assert heard_after(broker, url, ["h2/gw1/P-1", "h2twin/x"], "h2/gw-7/P-1") == ["h2/gw-7/P-1"]


def test_without_a_certificate_of_our_authority_nobody_comes_in(broker: ShippedBroker) -> None:
    strangers = broker.certs.parent / "strangers"
    assert refuses(broker.tls_url("gw-7", folder=strangers))
    assert refuses(f"mqtts://h2twin:x@127.0.0.1:{broker.tls_port}?ca_file={broker.certs / 'ca.crt'}")


def test_the_broker_proves_itself_and_speaks_no_old_tls(broker: ShippedBroker) -> None:
    context = ssl.create_default_context(cafile=str(broker.certs / "ca.crt"))
    context.load_cert_chain(broker.certs / "gw-7.crt", broker.certs / "gw-7.key")
    with (
        socket.create_connection(("127.0.0.1", broker.tls_port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() in ("TLSv1.2", "TLSv1.3")


# --------------------------------------------------------------------------------------------- in the ingester


@contextmanager
def an_ingester(broker: ShippedBroker, folder: Path, rate_per_s: float) -> Iterator[tuple[MqttIngester, Registry]]:
    registry, readings = open_registry(f"sqlite:///{folder}/registry.db"), SqliteReadings(folder / "readings.db")
    registry.upsert_sensors(
        [Sensor("P-1", Quantity.PRESSURE, gateway_id="gw1"), Sensor("P-2", Quantity.PRESSURE, gateway_id="gw2")]
    )
    guard = GatewayGuard(registry, rate_per_s=rate_per_s)
    pipeline = Pipeline(
        readings=readings,
        dead_letters=registry,
        sensors=registry,
        notebook=registry,
        guard=guard,
        observers=(guard,),
    )
    ingester = MqttIngester(MqttSettings.from_url(broker.url(), client_id=folder.name), pipeline, SystemClock())
    ingester.start()
    try:
        wait_until(lambda: ingester.state().connected, what="the ingester")
        yield ingester, registry
    finally:
        ingester.stop()
        readings.close()
        registry.close()


def security_events(registry: Registry) -> Counter[tuple[EventKind, str]]:
    return Counter((event.kind, event.subject) for event in registry.events(kinds=sorted(SECURITY)).items)


def reasons(registry: Registry) -> Counter[str]:
    return Counter(letter.reason for letter in registry.dead_letters(limit=1000).items)


def said(observed_at: datetime, value: float = 3.0) -> bytes:
    return json.dumps({"observed_at": format_time(observed_at), "value": value}).encode()


def test_a_forged_reading_is_refused_counted_and_told_once(broker: ShippedBroker, tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    forged = [("h2/gw1/P-2", said(start + timedelta(minutes=n))) for n in range(20)]
    with an_ingester(broker, tmp_path, 200.0) as (ingester, registry):
        with Publisher(broker.url("gw1", "one-4417")) as publisher:
            assert publisher.publish_all([*forged, ("h2/gw1/P-1", said(start))]) == 21
        wait_until(lambda: ingester.state().received == 21, what="the messages")
        wait_until(lambda: ingester.state().stored == 1, what="the honest reading")
        assert reasons(registry) == {"forged_identity": 20}
        assert ingester.state().by_reason == {"forged_identity": 20}
        assert security_events(registry) == {(EventKind.FORGED_IDENTITY, "h2/gw1/P-2"): 1}
        assert registry.events().items[0].times_seen == 20


def test_a_replayed_day_is_absorbed_and_told_once(broker: ShippedBroker, tmp_path: Path) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    day = [("h2/gw1/P-1", said(start + timedelta(minutes=5 * n), float(n))) for n in range(288)]
    with an_ingester(broker, tmp_path, 200.0) as (ingester, registry):
        with Publisher(broker.url("gw1", "one-4417")) as publisher:
            assert publisher.publish_all(day) == 288
            assert publisher.publish_all(day) == 288
        wait_until(lambda: ingester.state().stored + ingester.state().duplicates == 576, what="both days")
        assert (ingester.state().stored, ingester.state().duplicates) == (288, 288)
        assert reasons(registry) == {}
        assert security_events(registry) == {(EventKind.REPLAYED, "gw1"): 1}


def test_a_device_beyond_its_rate_is_refused_counted_and_told_once(broker: ShippedBroker, tmp_path: Path) -> None:
    """At 20 a second with a burst of 200, at least half of 1,500 at once are dead, and none of the other device's."""
    now = SystemClock().now()
    flood = [("h2/gw1/P-1", said(now - timedelta(milliseconds=1500 - n))) for n in range(1500)]
    with an_ingester(broker, tmp_path, 20.0) as (ingester, registry):
        with Publisher(broker.url("gw1", "one-4417")) as loud, Publisher(broker.url("gw2", "two-9023")) as quiet:
            assert loud.publish_all(flood) == 1500
            assert quiet.publish_all([("h2/gw2/P-2", said(now))]) == 1
        wait_until(lambda: ingester.state().received == 1501, what="the messages")
        wait_until(lambda: ingester.state().stored + ingester.state().letters == 1501, what="a verdict on each")
        state = ingester.state()
        assert state.by_reason.keys() == {"rate_limited"}
        assert 200 <= state.stored <= 750
        assert state.stored + registry.count_dead_letters() == 1501
        assert security_events(registry) == {(EventKind.RATE_LIMITED, "gw1"): 1}
