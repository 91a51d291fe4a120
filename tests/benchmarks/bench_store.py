"""The embedded reading store, empty and with ten million readings, against the bare sqlite3 module in the same run.

The ratios carry over to other machines, the absolute figures do not. The peer writes the same rows into the same kind
of table with the same durability, with nothing in between: no repeats told from conflicts, no words looked up.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twin.readings import Reading
from twin.rollups import Every
from twin.storage.sqlite_readings import SqliteReadings

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(minutes=5)
STEP_US, DAY_US = 300_000_000, 86_400_000_000
START_US = int(START.timestamp()) * 1_000_000
SERIES = 1_000
_TABLE = """
    CREATE TABLE reading (series INTEGER, time INTEGER, available INTEGER, value REAL, unit INTEGER, raw_value REAL,
    raw_unit INTEGER, quality INTEGER, reasons INTEGER, seq INTEGER, PRIMARY KEY (series, time)) WITHOUT ROWID
"""
_INSERT = "INSERT INTO reading VALUES (?, ?, ?, ?, 1, ?, 1, 0, 2, ?)"


def a_reading(series: int, step: int) -> Reading:
    at = START + step * STEP
    value = 30.0 + (series * 7 + step) % 11 / 10
    return Reading(f"P-{series}", at, at, value, "m", value, "m", seq=step)


def in_batches(count: int, size: int, series: int, first_step: int = 0) -> list[list[Reading]]:
    """Return so many readings in batches, as gateways send them: every series in turn."""
    readings = [a_reading(n % series, first_step + n // series) for n in range(count)]
    return [readings[n : n + size] for n in range(0, count, size)]


def rate(write: Callable[[list[Reading]], object], batches: list[list[Reading]]) -> float:
    begun = time.perf_counter()
    for batch in batches:
        write(batch)
    return sum(map(len, batches)) / (time.perf_counter() - begun)


def bare(path: Path) -> tuple[sqlite3.Connection, Callable[[list[Reading]], object]]:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=20000", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute(_TABLE)

    def write(batch: list[Reading]) -> None:
        rows = []
        for reading in batch:
            us = int(reading.observed_at.timestamp() * 1e6)
            rows.append((int(reading.sensor_id[2:]) + 1, us, us, reading.value, reading.raw_value, reading.seq))
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_INSERT, rows)
        connection.execute("COMMIT")

    return connection, write


def appends(folder: Path) -> None:
    print("Appending to an empty store (200 series)          store        bare   ratio   limit")
    for size in (100, 1_000, 5_000):
        batches = in_batches(200_000 if size > 100 else 50_000, size, 200)
        with closing(SqliteReadings(folder / f"store-{size}.db")) as store:
            ours = rate(store.append, batches)
        connection, write = bare(folder / f"bare-{size}.db")
        theirs = rate(write, batches)
        connection.close()
        told = "30,000 /s, aim 60,000" if size >= 1_000 else ""
        rates = f"{ours:10,.0f}/s {theirs:10,.0f}/s {ours / theirs:6.2f}"
        print(f"  batches of {size:5,}                       {rates}   {told}")


def fill(path: Path, readings: int) -> None:
    """Put so many readings of 1,000 series into the store's own tables, in the quickest order."""
    SqliteReadings(path).close()
    steps = readings // SERIES
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO series (sensor_id) VALUES (?)", ((f"P-{n}",) for n in range(SERIES)))
        connection.execute("INSERT INTO word (text) VALUES ('m'), ('')")
        for series in range(SERIES):
            rows = []
            for step in range(steps):
                us, value = START_US + step * STEP_US, 30.0 + (series * 7 + step) % 11 / 10
                rows.append((series + 1, us, us, value, value, step))
            connection.executemany(_INSERT, rows)
        connection.execute("UPDATE tally SET readings = ?", (readings,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")


def milliseconds(ask: Callable[[], Any], times: int) -> float:
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        ask()
        found.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(found)


def questions(store: SqliteReadings, path: Path, days: int) -> None:
    middle = START + timedelta(days=days // 2)
    whole = (START, START + timedelta(days=days))
    hundred = [f"P-{n}" for n in range(0, SERIES, SERIES // 100)]
    from_us, to_us = START_US, START_US + days * DAY_US
    with closing(sqlite3.connect(path)) as plain:
        day = START_US + days // 2 * DAY_US
        bare_day = milliseconds(
            lambda: plain.execute(
                "SELECT * FROM reading WHERE series = 500 AND time >= ? AND time < ? ORDER BY time", (day, day + DAY_US)
            ).fetchall(),
            20,
        )
        bare_hours = milliseconds(
            lambda: [
                plain.execute(
                    "SELECT time / 3600000000, avg(value) FROM reading WHERE series = ? AND time >= ? AND time < ? "
                    "AND quality IN (0, 3) GROUP BY 1",
                    (series, from_us, to_us),
                ).fetchall()
                for series in range(1, SERIES, SERIES // 100)
            ],
            3,
        )
    ours = milliseconds(lambda: store.between("P-499", middle, middle + timedelta(days=1)), 20)
    print(f"  one series-day (288 readings)         {ours:8.1f} ms {bare_day:8.1f} ms          10 ms")
    ours = milliseconds(lambda: store.rollups(hundred, *whole, Every.HOUR), 5)
    print(f"  hourly means, 100 series, {days} days      {ours:8.1f} ms {bare_hours:8.1f} ms         300 ms")


def filled(folder: Path, readings: int) -> None:
    path = folder / "filled.db"
    fill(path, readings)
    days = min(30, readings // SERIES * 300 // 86_400)
    with closing(SqliteReadings(path)) as store:
        size = path.stat().st_size / readings
        print(f"\nWith {readings / 1e6:.0f} M readings of {SERIES:,} series, {size:.1f} bytes each; store, bare, limit")
        begun = time.perf_counter()
        store.roll_up(START + timedelta(days=days + 60))
        took = time.perf_counter() - begun
        print(f"  summing all up, once                  {took:8.1f} s  ({readings / took:,.0f} readings/s)")
        questions(store, path, days)
        steps = readings // SERIES
        for size, series in ((1_000, 200), (5_000, 200), (1_000, SERIES), (5_000, SERIES)):
            batches = in_batches(100_000, size, series, steps)
            steps += 100_000 // series
            print(f"  appending, batches of {size:,}, {series:5,} series {rate(store.append, batches):9,.0f}/s")
        repeats = [[replace(r) for r in batch] for batch in in_batches(50_000, 1_000, SERIES, readings // SERIES)]
        print(f"  repeats of what is there              {rate(store.append, repeats):9,.0f}/s")
        sealed(store)


def sealed(store: SqliteReadings) -> None:
    begun = time.perf_counter()
    files = store.seal(START + timedelta(days=2), now=START + timedelta(days=99))
    took, count = time.perf_counter() - begun, sum(file.readings for file in files)
    size = sum(file.size for file in files) / count
    print(f"  sealing two days                      {count / took:9,.0f}/s  {size:.1f} bytes each")
    ours = milliseconds(lambda: store.between("P-499", START, START + timedelta(days=1)), 20)
    print(f"  one series-day, sealed                {ours:8.1f} ms                        10 ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000_000, help="in the filled store")
    readings = parser.parse_args().readings
    with tempfile.TemporaryDirectory() as folder:
        appends(Path(folder))
        filled(Path(folder), readings)


if __name__ == "__main__":
    main()
