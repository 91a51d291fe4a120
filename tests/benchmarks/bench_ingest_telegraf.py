"""Single readings end to end, against a tuned Telegraf on the same broker with the same messages in the same run.

100,000 QoS 1 messages wait in one Mosquitto for each of the contenders. While the broker is stopped (SIGSTOP) a
contender starts and connects; the clock runs from the moment the broker goes on until the last reading is stored: in
InfluxDB for Telegraf, durable in SQLite or in the spool for h2twin (as it is wired for production: identity, rate,
quality, gaps), and for the spool also until InfluxDB has it. CPU is that of the contender's process.

Telegraf is built by `.ci/install-telegraf` (Go is needed), InfluxDB by `.ci/install-influxd`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from faults.evidence import count_in_file
from ingest_flow import open_session, publish, sensors, singles
from running_service import environment
from servers import influxdb, mosquitto, telegraf
from servers.influxdb import Influx
from servers.process import wait_until

from twin.storage.registry import open_registry

MESSAGES = 100_000
ROUNDS = 2


@dataclass(frozen=True)
class Cost:
    """What a contender needed for all messages."""

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{MESSAGES / self.wall_s:8,.0f} /s  {self.cpu_s / MESSAGES * 1e6:5.1f} us CPU each"


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time of a process and its threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_connected(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the process has a connection to a loopback port (the kernel makes it also while the broker stands)."""
    lines = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    ours = {str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").glob("*") if link.is_symlink()}
    for line in lines:
        fields = line.split()
        if fields[2].endswith(f":{port:04X}") and fields[3] == "01" and f"socket:[{fields[9]}]" in ours:
            return True
    return False


def race(
    broker: subprocess.Popen[bytes], port: int, process: subprocess.Popen[bytes], is_done: Callable[[], bool]
) -> Cost:
    """Let a contender that waits for the stopped broker begin, and measure it to the end."""
    wait_until(lambda: is_connected(process, port), within_s=60, what="the contender's connection")
    time.sleep(1.0)  # what it does at its start is not counted
    begun, cpu_begun = time.perf_counter(), cpu_s(process)
    broker.send_signal(signal.SIGCONT)
    wait_until(is_done, within_s=300, what="the last reading")
    return Cost(time.perf_counter() - begun, cpu_s(process) - cpu_begun)


@contextmanager
def ingester(data: Path, port: int, client_id: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the ingest role on a data folder that knows the sensors."""
    data.mkdir(mode=0o700)
    registry = open_registry(f"sqlite:///{data / 'registry.db'}")
    registry.upsert_sensors(sensors())
    registry.close()
    given = environment(mqtt_url=f"mqtt://127.0.0.1:{port}", mqtt_client_id=client_id, **settings)
    command = [sys.executable, "-m", "api", "serve", "--role", "ingest", "--data-dir", str(data)]
    with (data.parent / f"{data.name}.log").open("wb") as log:
        process = subprocess.Popen(command, env=given, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)


def points(influx: Influx, bucket: str, field: str) -> int:
    """Return how many points of a field a bucket holds."""
    question = (
        f'from(bucket: "{bucket}") |> range(start: -1d, stop: 1d) |> filter(fn: (r) => r._field == "{field}")'
        " |> group() |> count()"
    )
    headers = {
        "Authorization": f"Token {influx.token}",
        "Content-Type": "application/vnd.flux",
        "Accept": "application/csv",
    }
    request = urllib.request.Request(f"{influx.url}/api/v2/query?org={influx.org}", question.encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        lines = answer.read().decode().split()
    return int(lines[-1].rpartition(",")[2]) if len(lines) > 1 else 0


def all_in(influx: Influx, bucket: str) -> Callable[[], bool]:
    """Return the question whether a bucket holds everything; it is asked no more often than four times a second."""
    asked = 0.0

    def ask() -> bool:
        nonlocal asked
        if time.monotonic() - asked < 0.25:
            return False
        asked = time.monotonic()
        return points(influx, bucket, "value") >= MESSAGES

    return ask


def make_bucket(influx: Influx, name: str) -> str:
    headers = {"Authorization": f"Token {influx.token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(f"{influx.url}/api/v2/orgs", None, headers)) as answer:
        org = json.load(answer)["orgs"][0]["id"]
    body = json.dumps({"orgID": org, "name": name, "retentionRules": []}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{influx.url}/api/v2/buckets", body, headers)).close()
    return name


def one_round(folder: Path, influx: Influx, number: int) -> dict[str, Cost]:
    """Race all contenders on one broker, each for its own copy of the same messages."""
    (folder / "broker").mkdir(parents=True)
    found: dict[str, Cost] = {}
    with mosquitto.mosquitto(folder / "broker") as (port, broker):
        open_session(port, "telegraf", mqtt5=False)
        for name in ("sqlite", "spool"):
            open_session(port, name)
        publish(port, singles(MESSAGES))
        bucket = make_bucket(influx, f"telegraf-{number}")
        broker.send_signal(signal.SIGSTOP)
        with telegraf.telegraf(folder, telegraf.config(port, "telegraf", influx, bucket)) as process:
            found["Telegraf -> InfluxDB"] = race(broker, port, process, all_in(influx, bucket))
        broker.send_signal(signal.SIGSTOP)
        with ingester(folder / "sqlite", port, "sqlite") as process:
            store = folder / "sqlite" / "readings.db"
            found["h2twin -> SQLite"] = race(
                broker, port, process, lambda: count_in_file(store, "SELECT readings FROM tally") >= MESSAGES
            )
        bucket = make_bucket(influx, f"spool-{number}")
        broker.send_signal(signal.SIGSTOP)
        given = {"influx_url": influx.url, "influx_token": influx.token, "influx_org": influx.org}
        with ingester(folder / "spool", port, "spool", influx_bucket=bucket, **given) as process:
            spool = folder / "spool" / "spool.db"
            begun = time.perf_counter()
            durable = race(broker, port, process, lambda: count_in_file(spool, "SELECT readings FROM tally") >= MESSAGES)
            found["h2twin -> spool (durable, acknowledged)"] = durable
            begun = time.perf_counter() - durable.wall_s
            cpu_begun = cpu_s(process) - durable.cpu_s
            wait_until(all_in(influx, bucket), within_s=300)
            found["h2twin -> spool -> InfluxDB"] = Cost(time.perf_counter() - begun, cpu_s(process) - cpu_begun)
    return found


def main() -> None:
    for part, find, script in (
        ("Mosquitto", mosquitto.find, "your package manager"),
        ("InfluxDB", influxdb.find, ".ci/install-influxd"),
        ("Telegraf", telegraf.find, ".ci/install-telegraf (needs Go)"),
    ):
        if find() is None:
            print(f"skipped: {part} is not installed here; get it with {script}")
            return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "influx").mkdir()
        with influxdb.influxdb(folder / "influx") as influx:
            rounds = [one_round(folder / f"round-{number}", influx, number) for number in range(ROUNDS)]
    print(f"{MESSAGES:,} single readings of {len(sensors()):,} sensors, load average {os.getloadavg()[0]:.1f}")
    for contender in rounds[0]:
        costs = [found[contender] for found in rounds]
        ratios = [found["Telegraf -> InfluxDB"].wall_s / found[contender].wall_s for found in rounds]
        cheaper = [found["Telegraf -> InfluxDB"].cpu_s / found[contender].cpu_s for found in rounds]
        print(f"{contender:42}", " | ".join(map(str, costs)), end="")
        print(f" | x{min(ratios):.2f}-{max(ratios):.2f} on the wall, x{min(cheaper):.2f}-{max(cheaper):.2f} of CPU")


if __name__ == "__main__":
    main()
