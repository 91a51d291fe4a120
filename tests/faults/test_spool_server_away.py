"""InfluxDB goes away, comes back, refuses lines or does not let us in: nothing is lost, doubled or made up."""

from __future__ import annotations

import http.server
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from influxdb_client import InfluxDBClient
from reading_builders import NOON, a_reading, after
from servers.influxdb import Influx, influxdb, make_bucket
from servers.process import free_port, wait_until

from twin.errors import ConfigError, StorageFullError, UnavailableError
from twin.ports import AppendResult, StoreStats
from twin.readings import Reading
from twin.storage.influx_readings import InfluxReadings
from twin.storage.influx_server import InfluxServer

pytestmark = pytest.mark.needs_influxdb


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with influxdb(tmp_path_factory.mktemp("influx")) as influx:
        yield influx


@pytest.fixture
def bucket(server: Influx) -> str:
    return make_bucket(server)


@contextmanager
def opened(server: Influx, bucket: str, spool_path: Path, **settings: object) -> Iterator[InfluxReadings]:
    arguments = {"url": server.url, "token": server.token, "timeout_s": 10.0, **settings}
    store = InfluxReadings(org=server.org, bucket=bucket, spool_path=spool_path, **arguments)  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def in_server(server: Influx, bucket: str, sensor_id: str = "pressure-1") -> list[Reading]:
    """Ask the server alone, without any spool."""
    asked = InfluxServer(server.url, server.token, server.org, bucket)
    try:
        return asked.between(sensor_id, NOON, NOON + timedelta(days=30), known_at=None, limit=None)
    finally:
        asked.close()


def nowhere() -> str:
    return f"http://127.0.0.1:{free_port()}"


def test_a_server_that_is_restarted_during_appends_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """
    server   up ------- away ---------- up -------- away -- up
    appends  0.. 1000   1000..2000      ..3000      ..4000
    """
    folder, port = tmp_path / "influx", free_port()
    folder.mkdir()
    readings = [a_reading(at_s=second, seq=second) for second in range(4000)]

    def carry(store: InfluxReadings, part: int) -> None:
        for first in range(part * 1000, part * 1000 + 1000, 50):
            batch = readings[first : first + 50]
            assert store.append(batch) == AppendResult(50, 0)
            assert store.append(batch[:5]) == AppendResult(0, 5)

    with influxdb(folder, port=port) as first_life:
        store = InfluxReadings(
            first_life.url, first_life.token, first_life.org, first_life.bucket, tmp_path / "spool.db"
        )
        carry(store, 0)
    carry(store, 1)
    assert store.stats().pending >= 1000
    with influxdb(folder, port=port) as second_life:
        carry(store, 2)
        second_life.process.kill()
        second_life.process.wait()
        carry(store, 3)
    with influxdb(folder, port=port) as third_life:
        store.flush(60)
        assert store.stats() == StoreStats(readings=4000)
        assert in_server(third_life, third_life.bucket) == readings
        assert store.between("pressure-1", NOON, after(99_999)) == readings
        store.close()


def test_while_the_server_is_away(server: Influx, bucket: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    with opened(server, bucket, spool) as store:
        store.append([a_reading()])
        store.flush(30)
    with opened(server, bucket, spool, url=nowhere()) as store:
        assert store.append([a_reading(), a_reading(at_s=60), a_reading("new-sensor")]) == AppendResult(2, 1)
        assert store.append([a_reading(at_s=60, raw_value=9.0)]).conflicts == (a_reading(at_s=60, raw_value=9.0),)
        for ask in (
            lambda: store.between("pressure-1", NOON, after(99)),
            lambda: store.latest(["pressure-1"], at=after(99)),
            store.check,
            lambda: store.flush(0.1),
        ):
            with pytest.raises(UnavailableError, match="away"):
                ask()
        assert store.stats() == StoreStats(readings=3, pending=2)
    with opened(server, bucket, spool) as store:
        store.flush(30)
        store.check()
        assert in_server(server, bucket) == [a_reading(), a_reading(at_s=60)]


def test_a_key_that_cannot_be_decided_is_not_acknowledged(server: Influx, bucket: str, tmp_path: Path) -> None:
    with opened(server, bucket, tmp_path / "spool.db", url=nowhere()) as never_met:
        with pytest.raises(UnavailableError):
            never_met.append([a_reading()])
        assert never_met.stats().readings == 0
    with opened(server, bucket, tmp_path / "other.db") as other:
        other.append([a_reading(at_s=100)])
        other.flush(30)
    with opened(server, bucket, tmp_path / "spool.db") as store:
        store.append([a_reading("flow-1")])
        store.flush(30)
    with opened(server, bucket, tmp_path / "spool.db", url=nowhere()) as store:
        with pytest.raises(UnavailableError):
            store.append([a_reading(at_s=101), a_reading(at_s=100)])
        assert store.append([a_reading(at_s=101)]) == AppendResult(1, 0)


def test_a_fresh_spool_knows_what_the_bucket_holds(server: Influx, bucket: str, tmp_path: Path) -> None:
    with opened(server, bucket, tmp_path / "first.db") as first:
        first.append([a_reading(at_s=second) for second in range(0, 100_000, 1000)])
        first.flush(30)
    with opened(server, bucket, tmp_path / "second.db") as second:
        assert second.append([a_reading(at_s=0), a_reading(at_s=500), a_reading(at_s=99_000)]) == AppendResult(1, 2)
        other = a_reading(at_s=50_000, raw_value=9.0)
        assert second.append([other, a_reading(at_s=100_000)]) == AppendResult(1, 0, (other,))
        assert second.stats().readings == 102


@pytest.mark.parametrize("position", [0, 700, 1999])
def test_a_refused_line_is_quarantined_and_the_others_arrive(
    server: Influx, bucket: str, tmp_path: Path, position: int
) -> None:
    with InfluxDBClient(server.url, server.token, org=server.org) as client:
        client.write_api().write(
            bucket, record=f'reading,sensor_id=foreign seq="text" {int(NOON.timestamp())}000000000'
        )
    wait_until(lambda: foreign_arrived(server, bucket), what="the foreign point")
    readings = [a_reading(at_s=second) for second in range(2000)]
    readings[position] = replace(readings[position], seq=7)
    with opened(server, bucket, tmp_path / "spool.db") as store:
        store.append(readings)
        store.flush(30)
        assert store.stats() == StoreStats(readings=2000, quarantined=1)
        (refused,) = store.quarantined()
        assert refused.reading == readings[position]
        assert "seq" in refused.reason
        assert "seq=7i" in refused.line
        assert in_server(server, bucket) == [*readings[:position], *readings[position + 1 :]]
        assert store.between("pressure-1", NOON, after(99_999)) == readings
        assert store.append(readings[position : position + 1]) == AppendResult(0, 1)
        assert store.release_quarantined() == 1
        store.flush(30)
        assert store.stats().quarantined == 1


def foreign_arrived(server: Influx, bucket: str) -> bool:
    with InfluxDBClient(server.url, server.token, org=server.org) as client:
        question = f'from(bucket: "{bucket}") |> range(start: 0, stop: 2100-01-01T00:00:00Z)'
        return bool(client.query_api().query(question))


def test_a_token_that_is_not_known_keeps_everything(server: Influx, bucket: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    with opened(server, bucket, spool) as store:
        store.append([a_reading()])
        store.flush(30)
    with opened(server, bucket, spool, token="wrong") as store:
        store.append([a_reading(at_s=60)])
        with pytest.raises(UnavailableError, match="TWIN_INFLUX_TOKEN"):
            store.flush(1)
        with pytest.raises(UnavailableError, match="TWIN_INFLUX_TOKEN"):
            store.check()
        assert store.stats() == StoreStats(readings=2, pending=1)


def test_a_bucket_that_is_made_later(server: Influx, tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    with opened(server, name, tmp_path / "spool.db") as store:
        with pytest.raises(UnavailableError, match="TWIN_INFLUX_BUCKET"):
            store.append([a_reading()])
        make_bucket(server, name)
        assert store.append([a_reading()]) == AppendResult(1, 0)
        store.flush(30)
        assert in_server(server, name) == [a_reading()]


def test_a_bucket_that_is_removed_quarantines_nothing(server: Influx, bucket: str, tmp_path: Path) -> None:
    with opened(server, bucket, tmp_path / "spool.db") as store:
        store.append([a_reading()])
        store.flush(30)
        with InfluxDBClient(server.url, server.token, org=server.org) as client:
            client.buckets_api().delete_bucket(client.buckets_api().find_bucket_by_name(bucket))
        store.append([a_reading(at_s=60)])
        with pytest.raises(UnavailableError, match="TWIN_INFLUX_BUCKET"):
            store.flush(1)
        assert store.stats() == StoreStats(readings=2, pending=1)


class _Proxy(http.server.BaseHTTPRequestHandler):
    """Something in between that answers everything with 400 and a page."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(400)
        self.end_headers()
        self.wfile.write(b"<html>400 Bad Request</html>")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_400_from_something_else_quarantines_nothing(server: Influx, bucket: str, tmp_path: Path) -> None:
    with opened(server, bucket, tmp_path / "spool.db") as store:
        store.append([a_reading()])
        store.flush(30)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        with opened(server, bucket, tmp_path / "spool.db", url=f"http://127.0.0.1:{proxy.server_port}") as store:
            store.append([a_reading(at_s=60)])
            with pytest.raises(UnavailableError, match="answered 400"):
                store.flush(1)
            assert store.stats() == StoreStats(readings=2, pending=1)
        proxy.shutdown()
        thread.join()


def test_a_full_spool_says_so_and_stores_nothing_of_the_batch(server: Influx, bucket: str, tmp_path: Path) -> None:
    with opened(server, bucket, tmp_path / "spool.db") as store:
        store.append([a_reading()])
        store.flush(30)
    with opened(server, bucket, tmp_path / "spool.db", url=nowhere(), max_waiting=10) as store:
        store.append([a_reading(at_s=second) for second in range(1, 9)])
        with pytest.raises(StorageFullError):
            store.append([a_reading(at_s=second) for second in range(20, 23)])
        assert store.stats() == StoreStats(readings=9, pending=8)
        store.append([a_reading(at_s=9), a_reading(at_s=10)])
        with pytest.raises(StorageFullError):
            store.check()
        assert store.append([a_reading(at_s=9)]) == AppendResult(0, 1)


def test_two_openers_of_one_spool_share_the_work(server: Influx, bucket: str, tmp_path: Path) -> None:
    """One forwards; when it goes, the other takes over."""
    with opened(server, bucket, tmp_path / "spool.db") as second:
        with opened(server, bucket, tmp_path / "spool.db") as first:
            assert first.append([a_reading()]) == AppendResult(1, 0)
            assert second.append([a_reading(), a_reading(at_s=1)]) == AppendResult(1, 1)
            first.flush(30)
        second.append([a_reading(at_s=2)])
        second.flush(30)
        assert in_server(server, bucket) == [a_reading(at_s=second_) for second_ in range(3)]


def test_a_spool_of_another_bucket_is_refused(server: Influx, bucket: str, tmp_path: Path) -> None:
    with opened(server, bucket, tmp_path / "spool.db") as store:
        store.append([a_reading()])
    with pytest.raises(ConfigError, match=bucket), opened(server, "elsewhere", tmp_path / "spool.db"):
        pass


def test_the_ledger_forgets_but_the_store_does_not(server: Influx, bucket: str, tmp_path: Path) -> None:
    """Of 3 x 400 keys the ledger keeps about 300; each repeat and conflict is still told."""
    names = ("a", "b", "c")
    batches = [[a_reading(name, at_s=second) for second in range(400)] for name in names]
    with opened(server, bucket, tmp_path / "spool.db", max_ledger=300) as store:
        for batch in batches:
            store.append(batch)
            store.flush(30)
        assert [store.append(batch) for batch in batches] == [AppendResult(0, 400)] * 3
        others = [replace(reading, raw_value=9.0) for reading in batches[0]]
        assert store.append(others) == AppendResult(0, 0, tuple(others))
        assert [in_server(server, bucket, name) for name in names] == batches
    with opened(server, bucket, tmp_path / "spool.db", max_ledger=300, url=nowhere()) as store:
        with pytest.raises(UnavailableError):
            store.append(batches[0][:1])
        assert store.append([a_reading("a", at_s=400)]) == AppendResult(1, 0)
