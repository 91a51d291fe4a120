"""Several ingest roles share one broker's messages (MQTT 5), on the broker configuration that is shipped.

The roles are processes of their own, wired as in production, on one data folder.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from running_service import Service, service
from servers.process import wait_until
from servers.shipped_broker import ShippedBroker, shipped_broker

from ingest.publisher import Publisher
from twin.ports import Registry
from twin.readings import Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytestmark = pytest.mark.needs_mosquitto
SENSORS = [f"P-{number}" for number in range(20)]
BEGIN = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[ShippedBroker]:
    with shipped_broker(tmp_path, gateways="gw1:one-4417") as running:
        yield running


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    opened = open_registry(f"sqlite:///{data / 'registry.db'}")
    opened.upsert_sensors([Sensor(name, Quantity.PRESSURE, unit="m", expected_every_s=1) for name in SENSORS])
    yield opened
    opened.close()


def an_ingester(stack: ExitStack, broker: ShippedBroker, registry: Registry, folder: Path, name: str) -> Service:
    """Start a member of the group; return when the broker has taken its subscriptions."""
    began_at = datetime.now(UTC)
    running = stack.enter_context(
        service(
            folder / "data", "serve", "--role", "ingest", name=name,
            mqtt_url=broker.url(), mqtt_client_id=name, ingest_share="waterworks",
        )
    )  # fmt: skip
    wait_until(lambda: is_well(registry, name, since=began_at), what=f"{name} at the broker")
    return running


def is_well(registry: Registry, name: str, *, since: datetime) -> bool:
    beat = registry.beats().get(f"ingest/{name}")
    return beat is not None and beat.ok and beat.at > since


def publish(broker: ShippedBroker, steps: range) -> None:
    rows = [
        (f"h2/gw1/{name}", json.dumps({"observed_at": moment(step).isoformat(), "value": 30 + step % 7}).encode())
        for step in steps
        for name in SENSORS
    ]
    with Publisher(broker.url("gw1", "one-4417")) as publisher:
        publisher.publish_all(rows)


def moment(step: int) -> datetime:
    return BEGIN + timedelta(seconds=step)


def stored(folder: Path) -> dict[str, list[datetime]]:
    """Return the moments of every sensor's readings."""
    store = SqliteReadings(folder / "data" / "readings.db")
    try:
        return {
            name: [reading.observed_at for reading in store.between(name, BEGIN, moment(86_400))] for name in SENSORS
        }
    finally:
        store.close()


def has_all(folder: Path, steps: range) -> bool:
    return stored(folder) == {name: [moment(step) for step in steps] for name in SENSORS}


def received(registry: Registry, name: str) -> float:
    beat = registry.beats().get(f"ingest/{name}")
    return (beat.figures or {}).get("received", 0.0) if beat is not None else 0.0


def test_two_share_the_messages_and_what_a_killed_one_held_comes_when_it_is_back(
    broker: ShippedBroker, registry: Registry, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        first, second = (an_ingester(stack, broker, registry, tmp_path, name) for name in ("member-a", "member-b"))
        publish(broker, range(40))
        wait_until(lambda: has_all(tmp_path, range(40)), within_s=30, what="every reading, once")
        wait_until(
            lambda: received(registry, "member-a") + received(registry, "member-b") == 40 * len(SENSORS),
            what="two signs of life that share the messages",
        )
        assert min(received(registry, "member-a"), received(registry, "member-b")) > 0
        second.end(signal.SIGKILL)
        publish(broker, range(40, 80))
        an_ingester(stack, broker, registry, tmp_path, "member-b")
        wait_until(lambda: has_all(tmp_path, range(80)), within_s=30, what="what waited for the one that was killed")
        assert registry.count_dead_letters() == 0
        assert first.process.poll() is None


def test_a_group_that_maps_sparkplug_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "mappings.toml").write_text(
        '[[source]]\ntopic = "spBv1.0/#"\ndecoder = "sparkplug_b"\n[source.sensors]\n"G/N/flow" = "Q-1"\n'
    )
    with service(
        tmp_path / "data", "serve", "--role", "ingest", mqtt_url="mqtt://127.0.0.1:1", mqtt_client_id="member-a",
        ingest_share="waterworks", mappings=str(tmp_path / "mappings.toml"),
    ) as refused:  # fmt: skip
        assert refused.process.wait(30) == 2
    assert "is Sparkplug, whose messages cannot be shared" in refused.said
