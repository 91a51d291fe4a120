"""The ingest role beyond the race for single messages: batches, sharing, how soon a reading can be read, memory.

    python tests/benchmarks/bench_ingest_service.py batches sharing latency memory

- batches: 300,000 readings in messages of 100, into an empty embedded store.
- sharing: one ingester and two that share (`$share`) 60,000 single messages into InfluxDB, each with its own spool.
  Two cores cannot carry two ingesters, a broker and InfluxDB at once, so every ingester is given a fifth of a core
  (stopped four fifths of the time): then the client is the limit, and the ratio is that of the clients.
- latency: 3,000 single messages a second for 60 s; how long after its publication each can be read in the store.
- memory: 1,000,000 messages, one in ten malformed; resident memory at a quarter of the way and at the end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from faults.evidence import count_in_file
from ingest_flow import SENSORS, endless_singles, gateway_of, open_session, publish, singles
from ingest_race import Cost, all_in, cpu_s, ingester, is_connected, race
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from servers import influxdb, mosquitto
from servers.influxdb import Influx, make_bucket
from servers.process import wait_until

from ingest.decoders.native import batch_topic, encode_batch, single_topic
from twin.clock import format_time

BATCHES, PER_BATCH = 3_000, 100
SHARED = 60_000
RATE_PER_S, LASTING_S = 3_000, 60
MANY = 1_000_000
TALLY = "SELECT readings FROM tally"


def batches(folder: Path) -> None:
    """Race one ingester through batch messages."""
    count = BATCHES * PER_BATCH
    items = [{"sensor_id": topic.rpartition("/")[2], **json.loads(payload)} for topic, payload in singles(count)]
    messages = [(batch_topic("town"), encode_batch(items[n : n + PER_BATCH])) for n in range(0, count, PER_BATCH)]
    with mosquitto.mosquitto(folder) as (port, broker):
        open_session(port, "batches", "h2/+")
        publish(port, messages)
        broker.send_signal(signal.SIGSTOP)
        with ingester(folder / "batches", port, "batches") as process:
            store = folder / "batches" / "readings.db"
            cost = race(broker, port, [process], lambda: count_in_file(store, TALLY) >= count, count)
    print(f"batches of {PER_BATCH} -> SQLite, readings: {cost}")


def sharing(folder: Path) -> None:
    """Race one throttled ingester and two that share, into InfluxDB."""
    (folder / "influx").mkdir()
    with influxdb.influxdb(folder / "influx") as influx:
        one = _shared(folder / "one", influx, ["a"])
        two = _shared(folder / "two", influx, ["a", "b"])
    print(f"one ingester  -> InfluxDB, a fifth of a core:      {one}")
    print(f"two that share -> InfluxDB, a fifth of a core each: {two}")
    print(f"two are x{two.per_s / one.per_s:.2f} of one, at x{two.cpu_us / one.cpu_us:.2f} of the CPU for each message")


def _shared(folder: Path, influx: Influx, names: list[str]) -> Cost:
    folder.mkdir()
    bucket = make_bucket(influx, folder.name)
    given = {"influx_url": influx.url, "influx_token": influx.token, "influx_org": influx.org, "influx_bucket": bucket}
    with mosquitto.mosquitto(folder) as (port, broker), ExitStack() as stack:
        for name in names:
            open_session(port, name, "$share/town/h2/+/+")
        publish(port, singles(SHARED))
        broker.send_signal(signal.SIGSTOP)
        processes = [
            stack.enter_context(ingester(folder / name, port, name, ingest_share="town", **given)) for name in names
        ]
        for process in processes:
            wait_until(lambda process=process: is_connected(process, port), within_s=60)  # type: ignore[misc]
        with throttled(processes):
            return race(broker, port, processes, all_in(influx, bucket, SHARED), SHARED)


@contextmanager
def throttled(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Let processes run a fifth of the time only, one after the other."""
    done = threading.Event()

    def throttle() -> None:
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        while not done.is_set():
            for process in processes:
                process.send_signal(signal.SIGCONT)
                time.sleep(0.02)
                process.send_signal(signal.SIGSTOP)
            time.sleep(0.1 - 0.02 * len(processes))
        for process in processes:
            process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=throttle)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def latency(folder: Path) -> None:
    """Publish at a steady rate; readings are stored in order of publication, so the tally says which are there."""
    count = RATE_PER_S * LASTING_S
    with mosquitto.mosquitto(folder) as (port, _), ingester(folder / "live", port, "live") as process:
        store = folder / "live" / "readings.db"
        wait_until(lambda: is_connected(process, port), within_s=60)
        time.sleep(3.0)
        published_s: list[float] = []
        steady = threading.Thread(target=_publish_steadily, args=(port, count, published_s))
        cpu_begun = cpu_s(process)
        steady.start()
        took_s: list[float] = []
        wait_until(lambda: bool(published_s), within_s=30)
        end_s = time.monotonic() + 2 * LASTING_S
        while len(took_s) < count and time.monotonic() < end_s:
            readable, now = count_in_file(store, TALLY), time.monotonic()
            took_s += [now - at for at in published_s[len(took_s) : readable]]
            time.sleep(0.01)
        steady.join()
        cpu_us = (cpu_s(process) - cpu_begun) / count * 1e6
    took_s.sort()
    middle, late, last = (took_s[min(int(len(took_s) * share), len(took_s) - 1)] * 1000 for share in (0.5, 0.99, 1))
    print(f"{RATE_PER_S:,} messages a second for {LASTING_S} s ({len(took_s):,} readable): ", end="")
    print(f"median {middle:.0f} ms, p99 {late:.0f} ms, largest {last:.0f} ms, {cpu_us:.1f} us CPU each")


def _publish_steadily(port: int, count: int, published_s: list[float]) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2, "steady")
    client.max_inflight_messages_set(5_000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    begun = time.monotonic()
    for n in range(count):
        ahead_s = begun + n / RATE_PER_S - time.monotonic()
        if ahead_s > 0.005:
            time.sleep(ahead_s)
        payload = {"observed_at": format_time(datetime.now(UTC)), "value": 30 + n % 7, "unit": "m", "seq": n // SENSORS}
        published_s.append(time.monotonic())
        sent = client.publish(single_topic(gateway_of(n % SENSORS), f"P-{n % SENSORS}"), json.dumps(payload), qos=1)
    sent.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def memory(folder: Path) -> None:
    """Feed many messages, one in ten of them malformed, and look at the resident memory."""
    with mosquitto.mosquitto(folder) as (port, _), ingester(folder / "long", port, "long") as process:
        store = folder / "long"
        wait_until(lambda: is_connected(process, port), within_s=60)
        time.sleep(1.0)
        flow = _with_malformed(endless_singles())
        sizes = []
        for quarter in range(1, 5):
            for _ in range(MANY // 4 // 10_000):
                publish(port, list(islice(flow, 10_000)))
            fed = quarter * MANY // 4
            wait_until(lambda fed=fed: _dealt_with(store) >= fed, within_s=600, what="the last message")  # type: ignore[misc]
            sizes.append(_resident_mib(process))
    print(
        f"{MANY:,} messages, one in ten malformed: resident MiB at each quarter ", ", ".join(f"{s:.0f}" for s in sizes)
    )


def _dealt_with(data: Path) -> int:
    letters = count_in_file(data / "registry.db", "SELECT count(*) FROM dead_letters")
    return count_in_file(data / "readings.db", TALLY) + letters


def _with_malformed(messages: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    faults = (
        lambda topic, payload: (topic, payload[: len(payload) // 2]),
        lambda topic, payload: (f"{topic}-unknown", payload),
        lambda topic, payload: (topic, payload.replace(b'"m"', b'"parsec"')),
        lambda topic, payload: (topic, payload.replace(b'Z"', b'"')),
    )
    for n, (topic, payload) in enumerate(messages):
        yield faults[n // 10 % len(faults)](topic, payload) if n % 10 == 9 else (topic, payload)


def _resident_mib(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    parts = {part.__name__: part for part in (batches, sharing, latency, memory)}
    for name in sys.argv[1:] or parts:
        if mosquitto.find() is None or (name == "sharing" and influxdb.find() is None):
            print(f"{name}: skipped, a server is not installed here (see .ci/install-influxd)")
            continue
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            parts[name](Path(folder))
        print(f"  load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
