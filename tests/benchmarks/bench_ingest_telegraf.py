"""Single readings end to end, against a tuned Telegraf on the same broker with the same messages in the same run.

100,000 QoS 1 messages wait in one Mosquitto for each of the contenders. While the broker is stopped (SIGSTOP) a
contender starts and connects; the clock runs from the moment the broker goes on until the last reading is stored: in
InfluxDB for Telegraf, durable in SQLite or in the spool for h2twin (as it is wired for production: identity, rate,
quality, gaps), and for the spool also until InfluxDB has it. CPU is that of the contender's process.

Telegraf is built by `.ci/install-telegraf` (Go is needed), InfluxDB by `.ci/install-influxd`.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

from faults.evidence import count_in_file
from ingest_flow import open_session, publish, sensors, singles
from ingest_race import Cost, all_in, cpu_s, ingester, race
from servers import influxdb, mosquitto, telegraf
from servers.influxdb import Influx, make_bucket
from servers.process import wait_until

MESSAGES = 100_000
ROUNDS = 2


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
            found["Telegraf -> InfluxDB"] = race(broker, port, [process], all_in(influx, bucket, MESSAGES), MESSAGES)
        broker.send_signal(signal.SIGSTOP)
        with ingester(folder / "sqlite", port, "sqlite") as process:
            store = folder / "sqlite" / "readings.db"
            found["h2twin -> SQLite"] = race(
                broker,
                port,
                [process],
                lambda: count_in_file(store, "SELECT readings FROM tally") >= MESSAGES,
                MESSAGES,
            )
        bucket = make_bucket(influx, f"spool-{number}")
        broker.send_signal(signal.SIGSTOP)
        given = {"influx_url": influx.url, "influx_token": influx.token, "influx_org": influx.org}
        with ingester(folder / "spool", port, "spool", influx_bucket=bucket, **given) as process:
            spool = folder / "spool" / "spool.db"
            begun = time.perf_counter()
            durable = race(
                broker,
                port,
                [process],
                lambda: count_in_file(spool, "SELECT readings FROM tally") >= MESSAGES,
                MESSAGES,
            )
            found["h2twin -> spool (durable, acknowledged)"] = durable
            begun = time.perf_counter() - durable.wall_s
            cpu_begun = cpu_s(process) - durable.cpu_s
            wait_until(all_in(influx, bucket, MESSAGES), within_s=300)
            found["h2twin -> spool -> InfluxDB"] = Cost(
                MESSAGES, time.perf_counter() - begun, cpu_s(process) - cpu_begun
            )
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
