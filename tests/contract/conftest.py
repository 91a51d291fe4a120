"""Every reading store, for the suites that ask the same of each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from reading_stores import Opener, SealedReadings
from servers.influxdb import Influx, influxdb, make_bucket

from twin.ports import ReadingStore
from twin.storage.influx_readings import InfluxReadings
from twin.storage.sqlite_readings import SqliteReadings


@pytest.fixture(scope="module")
def influx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with influxdb(tmp_path_factory.mktemp("influx")) as influx:
        yield influx


@pytest.fixture(
    params=[
        "sqlite",
        "sqlite, sealed",
        pytest.param("influx", marks=pytest.mark.needs_influxdb),
        pytest.param("influx without ledger", marks=pytest.mark.needs_influxdb),
    ]
)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same store again and again."""
    if request.param == "sqlite":
        return lambda: SqliteReadings(tmp_path / "readings.db")
    if request.param == "sqlite, sealed":
        return lambda: SealedReadings(tmp_path / "readings.db")
    influx: Influx = request.getfixturevalue("influx_server")
    bucket = make_bucket(influx)
    max_ledger = 2_000_000 if request.param == "influx" else 0
    return lambda: InfluxReadings(
        influx.url, influx.token, influx.org, bucket, tmp_path / "spool.db", max_ledger=max_ledger
    )


@pytest.fixture
def store(opener: Opener) -> Iterator[ReadingStore]:
    store = opener()
    yield store
    store.close()
