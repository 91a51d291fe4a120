"""The ingester is killed without warning while messages flow: none is lost, none is doubled."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from servers.mosquitto import mosquitto
from servers.process import wait_until

from ingest.decoders.native import single_topic
from ingest.publisher import Publisher
from twin.clock import format_time
from twin.readings import Sensor
from twin.storage.registry import open_registry
from twin.storage.sqlite_readings import SqliteReadings
from twin.units import Quantity

MESSAGES = 20_000
BAD_EVERY = 100
KILLS = 4
START = datetime(2026, 1, 1, tzinfo=UTC)
CHILD = Path(__file__).parents[1] / "ingest_child.py"


def a_flow() -> list[tuple[str, bytes]]:
    """20,000 distinct readings of 20 sensors, every hundredth with a unit that fits no pressure."""
    flow = []
    for n in range(MESSAGES):
        at = format_time(START + timedelta(seconds=n))
        item: dict[str, object] = {"observed_at": at, "value": n / 1000, "seq": n}
        if n % BAD_EVERY == 0:
            item["unit"] = "L/s"
        flow.append((single_topic("g1", f"P-{n % 20}"), json.dumps(item).encode()))
    return flow


def start_child(url: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(CHILD), url, str(folder)], stdout=subprocess.PIPE)


def wait_for_its_subscription(child: subprocess.Popen[bytes]) -> None:
    """Return when the session exists: a broker keeps nothing for clients it never saw."""
    assert child.stdout is not None
    assert any(json.loads(line)["connected"] for line in child.stdout)


def kill(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.communicate()


def rows_in(folder: Path) -> int:
    """Count what is on the disk without the code under test."""
    with closing(sqlite3.connect(folder / "readings.db", timeout=30)) as database:
        return int(database.execute("SELECT count(*) FROM reading").fetchone()[0])


@pytest.mark.needs_mosquitto
def test_nothing_is_lost_or_doubled_when_the_ingester_is_killed(tmp_path: Path) -> None:
    registry = open_registry(f"sqlite:///{tmp_path}/registry.db")
    registry.upsert_sensors([Sensor(f"P-{n}", Quantity.PRESSURE) for n in range(20)])
    SqliteReadings(tmp_path / "readings.db").close()
    acknowledged = []
    (tmp_path / "broker").mkdir()
    with mosquitto(tmp_path / "broker") as (port, _):
        url = f"mqtt://127.0.0.1:{port}"
        child = start_child(url, tmp_path)
        wait_for_its_subscription(child)

        def publish() -> None:
            with Publisher(url, timeout_s=60) as publisher:
                acknowledged.append(publisher.publish_all(a_flow()))

        publishing = threading.Thread(target=publish)
        publishing.start()
        kept_by_killed = []
        for kills in range(KILLS):
            goal = (kills + 1) * MESSAGES // (KILLS + 2)
            wait_until(lambda goal=goal: rows_in(tmp_path) >= goal, within_s=60, what=f"{goal} rows")
            kill(child)
            kept_by_killed.append(rows_in(tmp_path))
            child = start_child(url, tmp_path)
        publishing.join(60)
        good = MESSAGES - MESSAGES // BAD_EVERY
        wait_until(
            lambda: rows_in(tmp_path) + registry.count_dead_letters() >= MESSAGES, within_s=60, what="the last message"
        )
        kill(child)
    assert acknowledged == [MESSAGES]
    assert kept_by_killed[0] < good, "the first kill came too late to prove anything"
    assert rows_in(tmp_path) == good
    assert registry.count_dead_letters() == MESSAGES // BAD_EVERY
    registry.close()
    store = SqliteReadings(tmp_path / "readings.db")
    for sensor in range(20):
        kept = store.between(f"P-{sensor}", START, START + timedelta(days=1))
        assert [reading.seq for reading in kept] == [n for n in range(sensor, MESSAGES, 20) if n % BAD_EVERY]
        assert all(reading.raw_value == reading.seq / 1000 for reading in kept if reading.seq is not None)
    store.close()
