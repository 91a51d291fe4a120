"""Every answer of the server alone says of each reading what was written of it, and nothing of its neighbours.

InfluxDB 2.7 builds its answers from columns and loses an empty text that follows other texts: all texts below it move
up by one, beyond the part of the answer that it was lost from (a shard, or a thousand points).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading_builders import NOON, a_reading, after
from servers.influxdb import Influx, make_bucket

from twin.readings import Reading
from twin.storage.influx_lines import head_of, line, words_of
from twin.storage.influx_server import InfluxServer
from twin.storage.readings_rows import reasons_to_text, to_microseconds
from twin.storage.spool_journal import pack

pytestmark = pytest.mark.needs_influxdb

_NEXT_SHARD_S = 90_000
_names = itertools.count()


@pytest.fixture(scope="module")
def server(influx_server: Influx) -> Iterator[InfluxServer]:
    server = InfluxServer(influx_server.url, influx_server.token, influx_server.org, make_bucket(influx_server))
    yield server
    server.close()


def as_line(reading: Reading) -> str:
    words = words_of(reading.unit, reading.raw_unit, reading.quality, reasons_to_text(reading.reasons))
    times = to_microseconds(reading.available_at), reading.seq, to_microseconds(reading.observed_at)
    return line(head_of(reading.sensor_id), reading.value, reading.raw_value, words, *times)


def require_told_alike(server: InfluxServer, readings: Sequence[Reading]) -> None:
    """Ask for the readings of a sensor in every way there is."""
    sensor_id, end = readings[0].sensor_id, after(1_000_000)
    for known_at in (None, after(999_999)):
        assert server.between(sensor_id, NOON, end, known_at=known_at, limit=None) == readings
        newest = server.latest([sensor_id], at=end, known_at=known_at, trusted_only=False)
        assert newest == {sensor_id: readings[-1]}
    assert server.held([reading.key for reading in readings]) == {reading.key: reading for reading in readings}


_drawn = st.tuples(
    st.sampled_from(["", " ", "  ", "m", "bar"]),
    st.sampled_from(["", " ", "m"]),
    st.sampled_from([(), ("late",), ("spike", "late")]),
    st.sampled_from([None, 7]),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.dictionaries(st.sampled_from([0, 1, 2, 3, _NEXT_SHARD_S, _NEXT_SHARD_S + 1]), _drawn, min_size=1))
def test_words_stay_with_their_reading(
    server: InfluxServer, drawn: dict[int, tuple[str, str, tuple[str, ...], int | None]]
) -> None:
    sensor_id = f"words-{next(_names)}"
    readings = [
        replace(a_reading(sensor_id, at_s=at_s, reasons=reasons, seq=seq), unit=unit, raw_unit=raw_unit)
        for at_s, (unit, raw_unit, reasons, seq) in sorted(drawn.items())
    ]
    server.write(pack([as_line(reading) for reading in readings]))
    require_told_alike(server, readings)


def test_words_stay_with_their_reading_in_a_long_answer(server: InfluxServer) -> None:
    readings = [
        a_reading(
            "long", at_s=second, reasons=("late",) if second % 700 < 5 else (), raw_unit="m" if second < 9 else ""
        )
        for second in range(2_500)
    ]
    server.write(pack([as_line(reading) for reading in readings]))
    require_told_alike(server, readings)


def test_what_was_written_with_empty_words_is_told_right(server: InfluxServer) -> None:
    """As lines were before they held no empty text: they may wait in a spool still, and are in the bucket."""
    late, none = ("late",), ()
    readings = [
        replace(a_reading("before", at_s=at_s, reasons=reasons), unit=unit, raw_unit=unit)
        for at_s, reasons, unit in (
            (0, late, "m"), (1, none, ""), (2, none, "m"), (3, late, ""), (_NEXT_SHARD_S, late, "m"),
            (_NEXT_SHARD_S + 1, none, "m"),
        )
    ]  # fmt: skip
    server.write(pack([as_line(reading).replace('=" "', '=""').replace('="[]"', '=""') for reading in readings]))
    require_told_alike(server, readings)


def test_a_new_verdict_takes_the_reasons_away(server: InfluxServer) -> None:
    judged = [a_reading("judged", at_s=second, reasons=("late",)) for second in range(4)]
    server.write(pack([as_line(reading) for reading in judged]))
    judged[1:3] = [replace(reading, reasons=()) for reading in judged[1:3]]
    server.write(pack([as_line(reading) for reading in judged[1:3]]))
    require_told_alike(server, judged)
