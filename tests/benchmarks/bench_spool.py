"""Readings into InfluxDB through the spool, against the embedded store with the same readings in the same run.

Appending is measured while the server is being fed on the same machine, and again until it has everything. CPU is this
process's, with all its threads: the server's own is not in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench_store import in_batches
from servers.influxdb import Influx, find, influxdb

from twin.readings import Reading
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings

SERIES = 200
ROUNDS = 3


@dataclass(frozen=True)
class Speed:
    """Readings a second, and microseconds of CPU for each."""

    rate: float
    cpu_us: float

    def __str__(self) -> str:
        return f"{self.rate:9,.0f}/s {self.cpu_us:5.1f} us"


class Watch:
    """Runs from the moment it is made."""

    def __init__(self, readings: int) -> None:
        self._readings = readings
        self._begun = time.perf_counter(), time.process_time()

    def read(self) -> Speed:
        wall_s, cpu_s = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        return Speed(self._readings / wall_s, cpu_s / self._readings * 1e6)


def embedded(path: Path, batches: list[list[Reading]]) -> dict[str, Speed]:
    with closing(SqliteReadings(path)) as store:
        return {"embedded": timed(store.append, batches).read()}


def spooled(path: Path, influx: Influx, batches: list[list[Reading]]) -> dict[str, Speed]:
    with closing(InfluxReadings(influx.url, influx.token, influx.org, influx.bucket, path)) as store:
        store.append([])  # meets the bucket
        watch = timed(store.append, batches)
        found = {"spool": watch.read()}
        store.flush(300)
        return {**found, "spool, until all is in InfluxDB": watch.read()}


def timed(append: Callable[[list[Reading]], object], batches: list[list[Reading]]) -> Watch:
    watch = Watch(sum(map(len, batches)))
    for batch in batches:
        append(batch)
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=200_000)
    count = parser.parse_args().readings
    if find() is None:
        print("skipped: InfluxDB is not installed here; get it with .ci/install-influxd")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, influxdb(Path(name)) as influx:
        for size in (1_000, 5_000):
            rounds: list[dict[str, Speed]] = []
            for number in range(ROUNDS):
                batches = in_batches(count, size, SERIES, (number + (size == 5_000) * ROUNDS) * count)
                rounds.append(
                    embedded(Path(name) / f"readings-{size}-{number}.db", batches)
                    | spooled(Path(name) / f"spool-{size}-{number}.db", influx, batches)
                )
            print(f"{count:,} readings of {SERIES} series, batches of {size:,}, load average {os.getloadavg()[0]:.1f}")
            for way in rounds[0]:
                speeds = [found[way] for found in rounds]
                ratios = [found[way].rate / found["embedded"].rate for found in rounds]
                print(f"  {way:32}", " | ".join(map(str, speeds)), end=" | ")
                print(f"x{min(ratios):.2f}-{max(ratios):.2f}, median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
