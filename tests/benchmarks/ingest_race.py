"""How the ingest benchmarks run contenders, processes that wait for a stopped broker, and what they cost to the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ingest_flow import sensors
from running_service import environment
from servers.influxdb import Influx
from servers.process import wait_until

from twin.storage.registry import open_registry


@dataclass(frozen=True)
class Cost:
    """What contenders needed for so many messages or readings."""

    count: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.count / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.count * 1e6

    def __str__(self) -> str:
        return f"{self.per_s:8,.0f} /s  {self.cpu_us:5.1f} us CPU each"


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Return the CPU time of a process and its threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_connected(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the process has a connection to a loopback port (the kernel makes it also while the broker stands)."""
    lines = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    ours = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            ours.add(str(link.readlink()))
    for line in lines:
        fields = line.split()
        if fields[2].endswith(f":{port:04X}") and fields[3] == "01" and f"socket:[{fields[9]}]" in ours:
            return True
    return False


def race(
    broker: subprocess.Popen[bytes],
    port: int,
    contenders: Sequence[subprocess.Popen[bytes]],
    is_done: Callable[[], bool],
    count: int,
) -> Cost:
    """Let contenders that wait for the stopped broker begin, and measure them together to the end."""
    for process in contenders:
        wait_until(lambda process=process: is_connected(process, port), within_s=60, what="the contender's connection")
    time.sleep(1.0)  # what they do at their start is not counted
    begun, cpu_begun = time.perf_counter(), sum(map(cpu_s, contenders))
    broker.send_signal(signal.SIGCONT)
    wait_until(is_done, within_s=300, what="the last reading")
    return Cost(count, time.perf_counter() - begun, sum(map(cpu_s, contenders)) - cpu_begun)


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


def all_in(influx: Influx, bucket: str, count: int) -> Callable[[], bool]:
    """Return the question whether a bucket holds so many points; it is asked no more often than four times a second."""
    asked = 0.0

    def ask() -> bool:
        nonlocal asked
        if time.monotonic() - asked < 0.25:
            return False
        asked = time.monotonic()
        return points(influx, bucket, "value") >= count

    return ask
