"""Readings into InfluxDB through the spool, against the embedded store with the same readings in the same run.

Appending is measured as fast as it goes, while the server is being fed on the same machine, and until it has all of it;
and at a pace that the server can follow, where only the time within the appends counts. CPU is this process's, with all
its threads: the server's own is not in it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from bench_store import in_batches
from servers.influxdb import Influx, find, influxdb, make_bucket

from twin.readings import Reading
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings

SERIES = 200
ROUNDS = 3
CENTURY = timedelta(days=36_525)


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


def embedded(path: Path, batches: list[list[Reading]], pace: float) -> Iterator[tuple[str, Speed]]:
    with closing(SqliteReadings(path)) as store:
        yield "embedded", timed(store.append, batches).read()
        yield "embedded, paced", paced(store.append, later(batches), pace)


def spooled(path: Path, influx: Influx, batches: list[list[Reading]], pace: float) -> Iterator[tuple[str, Speed]]:
    bucket = make_bucket(influx, path.stem)
    with closing(InfluxReadings(influx.url, influx.token, influx.org, bucket, path)) as store:
        store.append([])  # meets the bucket
        watch = timed(store.append, batches)
        yield "spool", watch.read()
        store.flush(300)
        yield "spool, until all is in InfluxDB", watch.read()
        yield "spool, paced", paced(store.append, later(batches), pace)
        assert store.stats().pending < sum(map(len, batches)) / 5, "InfluxDB does not keep up with this pace"


def timed(append: Callable[[list[Reading]], object], batches: list[list[Reading]]) -> Watch:
    watch = Watch(sum(map(len, batches)))
    for batch in batches:
        append(batch)
    return watch


def paced(append: Callable[[list[Reading]], object], batches: list[list[Reading]], pace: float) -> Speed:
    """Append so many readings a second; only the time within the appends counts."""
    count, begun, cpu_begun = 0, time.perf_counter(), time.process_time()
    appending_s = 0.0
    for batch in batches:
        time.sleep(max(0.0, begun + count / pace - time.perf_counter()))
        before = time.perf_counter()
        append(batch)
        appending_s += time.perf_counter() - before
        count += len(batch)
    return Speed(count / appending_s, (time.process_time() - cpu_begun) / count * 1e6)


def later(batches: list[list[Reading]]) -> list[list[Reading]]:
    """Return a part of the readings a century on, so that they are new."""
    some = batches[: max(1, len(batches) // 2)]
    return [[replace(reading, observed_at=reading.observed_at + CENTURY) for reading in batch] for batch in some]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--pace", type=float, default=10_000, help="readings a second that InfluxDB can follow")
    arguments = parser.parse_args()
    count, pace = arguments.readings, arguments.pace
    if find() is None:
        print("skipped: InfluxDB is not installed here; get it with .ci/install-influxd")
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, influxdb(Path(name)) as influx:
        for size in (1_000, 5_000):
            rounds: list[dict[str, Speed]] = []
            for number in range(ROUNDS):
                batches = in_batches(count, size, SERIES)
                where = (Path(name) / f"{kind}-{size}-{number}.db" for kind in ("readings", "spool"))
                rounds.append(
                    dict(embedded(next(where), batches, pace)) | dict(spooled(next(where), influx, batches, pace))
                )
            print(f"{count:,} readings of {SERIES} series, batches of {size:,}, load average {os.getloadavg()[0]:.1f}")
            for way in rounds[0]:
                speeds = [found[way] for found in rounds]
                peer = "embedded, paced" if "paced" in way else "embedded"
                ratios = [found[way].rate / found[peer].rate for found in rounds]
                print(f"  {way:32}", " | ".join(map(str, speeds)), end=" | ")
                print(f"x{min(ratios):.2f}-{max(ratios):.2f}, median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
