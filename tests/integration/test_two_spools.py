"""Two ingesters have a spool each in front of one bucket: the first value for a sensor and moment stays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading_builders import NOON, a_reading, after
from reading_stores import everything
from servers.influxdb import Influx, influxdb, make_bucket
from servers.process import wait_until

from api import bootstrap
from api.settings import load_settings
from twin.errors import UnavailableError
from twin.ports import AppendResult, DeadLetter, Registry
from twin.readings import Quality, Reading
from twin.storage.influx_readings import InfluxReadings
from twin.storage.influx_server import InfluxServer
from twin.storage.registry import open_registry

pytestmark = pytest.mark.needs_influxdb

_names = itertools.count()


@pytest.fixture(scope="module")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influx]:
    with influxdb(tmp_path_factory.mktemp("influx")) as running:
        yield running


@pytest.fixture
def bucket(influx: Influx) -> str:
    return make_bucket(influx)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    opened = open_registry(f"sqlite:///{tmp_path / 'registry.db'}")
    yield opened
    opened.close()


Pair = tuple[InfluxReadings, InfluxReadings]


@pytest.fixture
def stores(influx: Influx, bucket: str, registry: Registry, tmp_path: Path) -> Iterator[Pair]:
    """Both meet the bucket while it is empty: neither knows what comes through the other."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(
                closing(
                    InfluxReadings(
                        influx.url,
                        influx.token,
                        influx.org,
                        bucket,
                        tmp_path / f"{name}.db",
                        has_company=True,
                        conflicts=registry,
                    )
                )
            )
            for name in ("one", "two")
        )
        for store in (first, second):
            store.append([])
        yield first, second


@pytest.fixture
def server(influx: Influx, bucket: str) -> Iterator[InfluxServer]:
    with closing(InfluxServer(influx.url, influx.token, influx.org, bucket)) as asked:
        yield asked


def in_server(server: InfluxServer, sensor_id: str = "pressure-1") -> list[Reading]:
    return server.between(sensor_id, NOON - timedelta(days=365), NOON + timedelta(days=365), known_at=None, limit=None)


def test_the_first_value_stays_and_the_other_is_told(stores: Pair, server: InfluxServer, registry: Registry) -> None:
    one, two = stores
    first, other = a_reading(raw_value=3.0, reasons=("late",)), a_reading(raw_value=4.0)
    beside = a_reading(at_s=60)
    assert one.append([first]) == AppendResult(1, 0)
    one.flush(10)
    assert two.append([other, beside]) == AppendResult(2, 0)
    two.flush(10)
    assert in_server(server) == everything(one) == everything(two) == [first, beside]
    (letter,) = registry.dead_letters().items
    assert (letter.reason, letter.times_seen, letter.received_at) == ("conflict", 1, other.available_at)
    assert "4.0 m" in letter.detail
    assert "3.0 m" in letter.detail
    assert letter.topic == "spool/pressure-1"
    assert b" value=4.0,raw_value=4.0," in letter.payload
    assert two.append([first, other]) == AppendResult(0, 1, (other,))
    assert two.stats().pending == two.stats().quarantined == 0


def test_ingesters_that_share_the_messages_are_wired_so(influx: Influx, bucket: str, tmp_path: Path) -> None:
    where = {
        "influx_url": influx.url, "influx_token": influx.token, "influx_org": influx.org, "influx_bucket": bucket,
        "mqtt_url": "mqtt://127.0.0.1:1", "ingest_share": "waterworks",
    }  # fmt: skip
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(
                closing(bootstrap.open_memory(load_settings(data_dir=tmp_path / name, mqtt_client_id=name, **where)))
            )
            for name in ("one", "two")
        )
        for memory in (one, two):
            memory.readings.append([])
        for memory, value in ((one, 3.0), (two, 4.0)):
            memory.readings.append([a_reading(raw_value=value)])
            wait_until(lambda: one.readings.stats().pending + two.readings.stats().pending == 0)
        assert everything(one.readings) == everything(two.readings) == [a_reading(raw_value=3.0)]
        assert (one.registry.count_dead_letters(), two.registry.count_dead_letters()) == (0, 1)


def test_whoever_opens_such_a_spool_later_asks_too_or_leaves_it_alone(
    influx: Influx, bucket: str, server: InfluxServer, registry: Registry, tmp_path: Path
) -> None:
    """A role that was not told, on the data folder of an ingester that was."""
    where = (influx.url, influx.token, influx.org, bucket)
    with closing(InfluxReadings(*where, tmp_path / "one.db")) as one:
        one.append([])
        with closing(InfluxReadings(*where, tmp_path / "two.db", has_company=True, conflicts=registry)) as two:
            two.append([])
            one.append([a_reading()])
            one.flush(10)
    with closing(InfluxReadings(*where, tmp_path / "two.db")) as untold:
        untold.append([a_reading(raw_value=4.0)])
        with pytest.raises(UnavailableError, match="1 readings still wait"):
            untold.flush(1.0)
    with closing(InfluxReadings(*where, tmp_path / "two.db", conflicts=registry)) as told:
        told.flush(10)
    assert in_server(server) == [a_reading()]
    assert registry.count_dead_letters() == 1


def test_a_repeat_takes_no_verdict_back(stores: Pair, server: InfluxServer, registry: Registry) -> None:
    one, two = stores
    judged = replace(a_reading(), quality=Quality.BAD, reasons=("spike",), value=9.0)
    one.append([a_reading()])
    one.requalify([judged])
    one.flush(10)
    assert two.append([replace(a_reading(), available_at=after(99))]) == AppendResult(1, 0)
    two.flush(10)
    assert in_server(server) == everything(two) == [judged]
    assert registry.count_dead_letters() == 0


@pytest.mark.parametrize("is_known", [False, True])
def test_a_new_verdict_reaches_what_came_through_the_other(stores: Pair, server: InfluxServer, is_known: bool) -> None:
    one, two = stores
    one.append([a_reading(), a_reading(at_s=60)])
    one.flush(10)
    two.append([a_reading(at_s=0 if is_known else 120)])
    two.flush(10)
    judged = replace(a_reading(), quality=Quality.SUSPECT, reasons=("spike",))
    assert two.requalify([judged, a_reading("nobody")]) == 1
    assert everything(two)[:2] == [judged, a_reading(at_s=60)]
    two.flush(10)
    assert in_server(server)[:2] == everything(one)[:2] == everything(two)[:2] == [judged, a_reading(at_s=60)]
    assert one.latest(["pressure-1"], at=after(30)) == two.latest(["pressure-1"], at=after(30)) == {}
    assert one.latest(["pressure-1"], at=after(30), trusted_only=False) == {"pressure-1": judged}


def test_what_waits_behind_a_conflict_that_cannot_be_told_waits(
    influx: Influx, bucket: str, server: InfluxServer, tmp_path: Path
) -> None:
    """The registry is away just when it is needed: nothing is overwritten, nothing lost, and it goes on by itself."""

    class Away:
        is_away = True

        def __init__(self) -> None:
            self.letters: list[DeadLetter] = []

        def bury(self, letters: Sequence[DeadLetter]) -> int:
            if self.is_away:
                raise UnavailableError("the registry is away")
            self.letters += letters
            return len(letters)

    registry = Away()
    where = (influx.url, influx.token, influx.org, bucket)
    with (
        closing(InfluxReadings(*where, tmp_path / "one.db", has_company=True, conflicts=registry)) as one,  # type: ignore[arg-type]
        closing(InfluxReadings(*where, tmp_path / "two.db", has_company=True, conflicts=registry)) as two,  # type: ignore[arg-type]
    ):
        two.append([])
        one.append([a_reading()])
        one.flush(10)
        two.append([a_reading(raw_value=4.0), a_reading(at_s=60)])
        wait_until(lambda: "registry is away" in str(two._forwarder.trouble))
        assert (in_server(server), two.stats().pending) == ([a_reading()], 2)
        registry.is_away = False
        two.flush(30)
        assert in_server(server) == [a_reading(), a_reading(at_s=60)]
        assert len(registry.letters) == 1


@pytest.mark.parametrize("apart_s", [0, 1], ids=["at one moment", "one after the other"])
def test_of_many_sensors_too_the_first_values_stay(
    stores: Pair, server: InfluxServer, registry: Registry, apart_s: int
) -> None:
    one, two = stores
    first = [a_reading(f"s{number}", at_s=number * apart_s, raw_value=1.0) for number in range(0, 250, 2)]
    other = [a_reading(f"s{number}", at_s=number * apart_s, raw_value=2.0) for number in range(250)]
    one.append(first)
    one.flush(10)
    two.append(other)
    two.flush(10)
    told = server.latest([reading.sensor_id for reading in other], at=after(999), known_at=None, trusted_only=True)
    assert [told[f"s{number}"].value for number in range(250)] == [1.0, 2.0] * 125
    assert registry.count_dead_letters() == 125


_moments = st.sampled_from([0, 1, 30, 3_600, 90_000, 100_000, 900_000, 5_000_000, -400_000])
_drawn = st.builds(
    a_reading, sensor_id=st.sampled_from("abc"), at_s=_moments, raw_value=st.sampled_from([1.0, 2.0]), seq=st.none()
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turns=st.lists(st.tuples(st.integers(0, 1), st.lists(_drawn, min_size=1, max_size=12)), max_size=4))
def test_whoever_was_first_is_kept(
    stores: Pair, server: InfluxServer, registry: Registry, turns: list[tuple[int, list[Reading]]]
) -> None:
    suffix, kept = f"-{next(_names)}", dict[tuple[str, object], Reading]()
    for who, drawn in turns:
        batch = [replace(reading, sensor_id=reading.sensor_id + suffix) for reading in drawn]
        stores[who].append(batch)
        stores[who].flush(10)
        for reading in batch:
            kept.setdefault(reading.key, reading)
    for sensor_id in (name + suffix for name in "abc"):
        expected = sorted((r for r in kept.values() if r.sensor_id == sensor_id), key=lambda r: r.observed_at)
        assert in_server(server, sensor_id) == expected
        assert everything(stores[0], sensor_id) == everything(stores[1], sensor_id) == expected
