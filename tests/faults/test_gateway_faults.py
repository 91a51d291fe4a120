"""The gateway through what happens to gateways and brokers: what its outbox took arrives, once, under one number."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from served import served
from servers.mosquitto import mosquitto
from servers.process import free_port, wait_until

from ingest.gap_book import GapBook
from ingest.gap_keeper import GapKeeper, GapRules
from ingest.gap_watch import GapWatch
from ingest.gateway import Gateway
from ingest.mqtt import MqttIngester, MqttSettings
from ingest.outbox import Outbox
from ingest.pipeline import Pipeline
from ingest.publisher import Publisher
from ingest.sensors import SensorTable
from twin.clock import SystemClock, format_time
from twin.ports import Registry
from twin.readings import Sensor
from twin.replay import Row
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

pytestmark = pytest.mark.needs_mosquitto
START = datetime(2026, 1, 1, tzinfo=UTC)
SENSORS = 5


class Twin:
    """An ingester with its watch and keeper on real stores; it can be stopped and started again."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"mqtt://127.0.0.1:{port}"
        self.store = SqliteReadings(folder / "readings.db")
        self.registry: Registry = open_registry(f"sqlite:///{folder}/registry.db")
        sensors = [Sensor(f"P-{n}", Quantity.PRESSURE, expected_every_s=SENSORS) for n in range(SENSORS)]
        self.registry.upsert_sensors(sensors)

    @contextmanager
    def ingesting(self) -> Iterator[MqttIngester]:
        table = SensorTable(self.registry)
        table.refresh()
        watch = GapWatch(self.store, table)
        keeper = GapKeeper(
            watch,
            GapBook(self.store, self.registry, SystemClock()),
            self.registry,
            table,
            SystemClock(),
            publish=self._publish,
            rules=GapRules(ask_after=(timedelta(seconds=0.2), *[timedelta(seconds=2)] * 30), look_every_s=0.2),
        )
        pipeline = Pipeline(
            readings=self.store,
            dead_letters=self.registry,
            sensors=self.registry,
            notebook=self.registry,
            observers=[watch],
        )
        settings = MqttSettings.from_url(self.url, client_id="twin")
        ingester = MqttIngester(settings, pipeline, SystemClock())
        ingester.start()
        keeper.start()
        try:
            wait_until(lambda: ingester.state().connected)
            yield ingester
        finally:
            keeper.stop()
            ingester.stop()

    def _publish(self, messages: Sequence[tuple[str, bytes]]) -> int:
        with Publisher(self.url, timeout_s=5) as publisher:
            return publisher.publish_all(messages)

    def stored(self) -> int:
        return self.store.stats().readings

    def numbers_of(self, sensor_id: str) -> list[int | None]:
        return [kept.seq for kept in self.store.between(sensor_id, START, START + timedelta(days=30))]

    def close(self) -> None:
        self.store.close()
        self.registry.close()


def a_row(n: int) -> Row:
    """Reading number `n` of five sensors that take turns, one a second."""
    return Row(f"P-{n % SENSORS}", START + timedelta(seconds=n), n / 10, "m")


def as_line(row: Row) -> str:
    return json.dumps(
        {"sensor_id": row.sensor_id, "observed_at": format_time(row.observed_at), "value": row.value, "unit": row.unit}
    )


class Fed:
    """A gateway process, fed line by line; `receipts` is what it said is on its disk."""

    def __init__(self, url: str, outbox: Path, *options: str) -> None:
        command = [sys.executable, "-m", "ingest.gateway_feed", "--gateway-id", "g1", "--outbox", str(outbox), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.receipts = 0
        self._tell(url)
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return
            assert json.loads(line) == {"kept": 1}
            self.receipts += 1

    def give(self, rows: Sequence[Row]) -> None:
        """Feed rows as fast as it takes them; a process that is killed meanwhile breaks the pipe."""
        try:
            for row in rows:
                self._tell(as_line(row))
        except BrokenPipeError:
            return

    def kill(self) -> int:
        """Kill it and return how many rows it had taken by its own word."""
        self.process.kill()
        self.process.wait()
        self._reading.join()
        with_pipes_closed(self.process)
        return self.receipts

    def end(self) -> None:
        """Let it finish by itself."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)
        self._reading.join()
        with_pipes_closed(self.process)


def with_pipes_closed(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(BrokenPipeError):
            if pipe is not None:
                pipe.close()


@pytest.mark.parametrize("options", [(), ("--singles",)], ids=["batches", "singles"])
def test_a_gateway_that_is_killed_loses_nothing_and_numbers_nothing_twice(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    chance = random.Random(20_261)
    total, given, kills = 3_000, 0, 0
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as (port, _):
        twin = Twin(tmp_path, port)
        with twin.ingesting():
            while given < total:
                fed = Fed(twin.url, tmp_path / "outbox.db", *options)
                feeding = threading.Thread(target=fed.give, args=([a_row(n) for n in range(given, total)],))
                feeding.start()
                goal = min(chance.randrange(1, 700), total - given)
                wait_until(lambda fed=fed, goal=goal: fed.receipts >= goal, within_s=60)
                taken = fed.kill()
                feeding.join()
                assert given + taken <= total
                given += taken  # the next one is fed from there: what had no receipt is given again
                kills += 1
            last = Fed(twin.url, tmp_path / "outbox.db", *options)
            wait_until(lambda: twin.stored() >= total, within_s=60, what="the last reading")
            last.end()
        assert kills >= 2, "it was hardly ever killed in the middle"
        assert twin.stored() == total
        assert twin.registry.count_dead_letters() == 0
        for n in range(SENSORS):
            assert twin.numbers_of(f"P-{n}") == list(range(total // SENSORS))
        assert twin.registry.gap_totals().missing == 0
        twin.close()


def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "broker").mkdir()
    twin = Twin(tmp_path, port)
    url = f"mqtt://127.0.0.1:{port}"
    with Outbox(tmp_path / "outbox.db", SystemClock()) as outbox, Gateway(url, "g1", outbox) as gateway:
        gateway.put([a_row(n) for n in range(200)])
        assert gateway.flush(0.3) == 200
        assert "cannot be reached" in gateway.status().trouble
        with mosquitto(tmp_path / "broker", port=port), twin.ingesting():
            wait_until(lambda: twin.stored() == 200)
            assert gateway.status().trouble == ""
        wait_until(lambda: not gateway.status().connected)
        gateway.put([a_row(n) for n in range(200, 400)])
        with mosquitto(tmp_path / "broker", port=port), twin.ingesting():
            wait_until(lambda: twin.stored() == 400)
            assert gateway.flush(10) == 0
        assert gateway.status().acknowledged == 400
    assert all(twin.numbers_of(f"P-{n}") == list(range(80)) for n in range(SENSORS))
    twin.close()


def test_what_a_broker_lost_is_found_missing_asked_for_and_filled(tmp_path: Path) -> None:
    """The broker is killed after it acknowledged and before it saved: it forgets what it held for the ingester."""
    port = free_port()
    (tmp_path / "broker").mkdir()
    twin = Twin(tmp_path, port)
    with (
        served(tmp_path) as house,  # it opens the same stores
        house.client("viewer") as client,
        Outbox(tmp_path / "outbox.db", SystemClock()) as outbox,
        Gateway(twin.url, "g1", outbox) as gateway,
    ):

        def gaps(**asked: str) -> list[dict[str, object]]:
            answer = client.get("/api/v1/gaps", params=asked)
            assert answer.status_code == 200
            return list(answer.json()["items"])

        with mosquitto(tmp_path / "broker", port=port), twin.ingesting():
            gateway.put([a_row(n) for n in range(100)])
            wait_until(lambda: twin.stored() == 100)
        with mosquitto(tmp_path / "broker", port=port) as (_, broker):  # it has saved the ingester's session
            wait_until(lambda: gateway.status().connected)
            gateway.put([a_row(n) for n in range(100, 200)])
            assert gateway.flush(10) == 0, "the broker has acknowledged them"
            broker.kill()
            broker.wait()
        with mosquitto(tmp_path / "broker", port=port), twin.ingesting():
            gateway.put([a_row(n) for n in range(200, 205)])
            wait_until(lambda: len(gaps()) == SENSORS, what="the gaps")
            assert sum(int(str(gap["missing_at_first"])) for gap in gaps()) == 100
            assert {(gap["gateway_id"], gap["first_seq"], gap["last_seq"]) for gap in gaps()} == {("g1", 20, 39)}
            wait_until(lambda: len(gaps(state="closed")) == SENSORS, what="the gaps' end")
            assert all(gap["requests"] and gap["requested_at"] and gap["missing"] == 0 for gap in gaps())
        assert twin.stored() == 205
        assert gateway.status().asked_again >= 100
    for n in range(SENSORS):
        assert twin.numbers_of(f"P-{n}") == list(range(41))
    late = [kept for kept in twin.store.between("P-0", START, START + timedelta(days=1)) if kept.seq in range(20, 40)]
    newest = twin.store.latest(["P-0"], at=START + timedelta(days=1))["P-0"]
    assert all(kept.available_at > newest.available_at for kept in late), "what came late was known late"
    twin.close()
