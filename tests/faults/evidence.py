"""What is really there: rows, dead letters, gaps, read from the databases themselves and not through h2twin."""

from __future__ import annotations

import csv
import sqlite3
import threading
import urllib.request
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from faults.ledger import to_us
from servers.influxdb import Influx

StoredRow = tuple[str, int, float]
"""A sensor, a moment in microseconds, and the value as it was received."""
Letter = tuple[str, bytes, str]
"""Topic, payload and reason of a dead letter."""
OpenGap = tuple[str, int, int, int]
"""A sensor, the moments in microseconds between which readings of it are missing, and how many are."""


class Database:
    """A registry by its SQLAlchemy URL, SQLite or PostgreSQL, to be asked by any thread."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._server: psycopg.Connection[tuple[Any, ...]] | None = None

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """Return all rows of the answer; sqlite3.OperationalError where the file is not there yet, or busy."""
        if self.url.startswith("sqlite:"):
            return ask_file(Path(self.url.removeprefix("sqlite:///")), question)
        with self._lock:
            if self._server is None:
                self._server = psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True)
            return self._server.execute(question.encode()).fetchall()

    def count(self, question: str) -> int:
        """Return one number, 0 from a file that is not there yet."""
        try:
            return int(self.ask(question)[0][0])
        except sqlite3.OperationalError:
            return 0

    def letters(self) -> list[Letter]:
        found = self.ask("SELECT topic, payload, reason FROM dead_letters ORDER BY letter_id")
        return [(topic, bytes(payload), reason) for topic, payload, reason in found]

    def open_gaps(self) -> list[OpenGap]:
        """Return the gaps that are not closed, or that say that something is missing still."""
        question = "SELECT sensor_id, start, \"end\", missing FROM gaps WHERE state <> 'closed' OR missing > 0"
        return [(sensor_id, _us(start), _us(end), missing) for sensor_id, start, end, missing in self.ask(question)]

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def _us(moment: str | datetime) -> int:
    """Return the microseconds since 1970 of a moment in UTC, as SQLite (text) or PostgreSQL gives it."""
    return to_us(f"{moment}Z" if isinstance(moment, str) else moment.isoformat())


def ask_file(path: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as database:
        return database.execute(question).fetchall()


def count_in_file(path: Path, question: str) -> int:
    """Return one number from an SQLite file that may not be there yet, or be busy."""
    return Database(f"sqlite:///{path}").count(question)


def rows_in_sqlite(path: Path) -> list[StoredRow]:
    question = "SELECT sensor_id, time, raw_value FROM reading JOIN series USING (series) ORDER BY series, time"
    return [(sensor_id, time_us, value) for sensor_id, time_us, value in ask_file(path, question)]


def rows_in_influx(server: Influx, bucket: str) -> list[StoredRow]:
    """Ask the server for every point of the bucket, in whatever series it is."""
    question = (
        f'from(bucket: "{bucket}") |> range(start: 2000-01-01T00:00:00Z, stop: 2100-01-01T00:00:00Z)'
        ' |> filter(fn: (r) => r._measurement == "reading" and r._field == "raw_value")'
        ' |> keep(columns: ["_time", "_value", "sensor_id"]) |> group()'
    )
    request = urllib.request.Request(
        f"{server.url}/api/v2/query?org={server.org}",
        data=question.encode(),
        headers={
            "Authorization": f"Token {server.token}",
            "Content-Type": "application/vnd.flux",
            "Accept": "application/csv",
        },
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        text = response.read().decode()
    table = csv.DictReader(text.replace("\r\n", "\n").splitlines())
    return [(row["sensor_id"], to_us(row["_time"]), float(row["_value"])) for row in table if row.get("_time")]
