"""Requests to gateways, and the topic on which no sensor may speak."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.backfill import Wanted, decode_request, encode_request
from ingest.decoders.base import UndecodableError
from ingest.decoders.native import NativeDecoder, backfill_topic, fits_topic, item_alone
from ingest.files.sensors import COLUMNS, read_sensors
from twin.errors import InputError
from twin.gaps import Gap

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 1, tzinfo=UTC)


def test_a_request_says_what_is_missing() -> None:
    by_seq = Gap("P-1", "g1", AT, LATER, 4, 4, LATER, first_seq=18, last_seq=21)
    by_cadence = Gap("P-2", "g1", AT, LATER, 11, 11, LATER)
    payload = encode_request([by_seq, by_cadence])
    message = json.loads(payload)
    assert message.pop("request_id")
    assert message == {
        "gaps": [
            {
                "sensor_id": "P-1",
                "from": "2026-01-01T00:00:00Z",
                "to": "2026-01-01T01:00:00Z",
                "first_seq": 18,
                "last_seq": 21,
            },
            {"sensor_id": "P-2", "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z"},
        ]
    }
    assert decode_request(payload) == [Wanted("P-1", AT, LATER, 18, 21), Wanted("P-2", AT, LATER)]


@given(st.one_of(st.binary(max_size=100), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps({"gaps": value}).encode()
)))  # fmt: skip
def test_no_request_ends_a_gateway(payload: bytes) -> None:
    with contextlib.suppress(UndecodableError):
        decode_request(payload)


def test_our_own_requests_are_news_to_the_ingester() -> None:
    decoded = NativeDecoder().decode(backfill_topic("g1"), encode_request([]), AT)
    assert (decoded.gateway, decoded.readings, decoded.refused, decoded.is_news) == ("g1", [], [], True)


def test_no_dead_letter_is_written_anew_on_the_topic_of_requests() -> None:
    assert not fits_topic("backfill")
    topic, payload = item_alone("g1", "backfill", {"value": 1})
    assert (topic, json.loads(payload)) == ("h2/g1", {"readings": [{"sensor_id": "backfill", "value": 1}]})


def test_no_sensor_may_have_the_name_of_the_topic(tmp_path: Path) -> None:
    file = tmp_path / "sensors.csv"
    file.write_text(",".join(COLUMNS) + "\nbackfill,pressure,instant,m,none,,,300,,\n")
    with pytest.raises(InputError, match="line 2, column sensor_id: 'backfill' is the topic"):
        read_sensors(file)
