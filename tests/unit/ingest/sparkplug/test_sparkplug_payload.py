"""The payload reader against what Google's protobuf says of the same bytes, and against damage."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparkplug_edge import M, payload_bytes

from ingest.decoders.base import UndecodableError
from ingest.decoders.sparkplug_payload import MOST_METRICS, read_payload, rebirth_request

RECORDED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "data" / "sparkplug" / "payloads.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("number", range(len(RECORDED)))
def test_reads_what_protobuf_reads(number: int) -> None:
    says = RECORDED[number]["says"]
    payload = read_payload(bytes.fromhex(RECORDED[number]["hex"]))
    assert (payload.timestamp_ms, payload.seq, payload.is_packed) == (says["timestamp"], says["seq"], says["has_body"])
    read = [
        {
            "name": m.name, "alias": m.alias, "timestamp": m.timestamp_ms, "datatype": m.datatype,
            "is_historical": m.is_historical, "is_null": m.is_null,
            "field": f"{m.field.name.lower()}_value" if m.field else None,
            "value": m.value, "unit": m.unit, "quality": m.quality,
        }
        for m in payload.metrics
    ]  # fmt: skip
    assert read == says["metrics"]


def test_the_rebirth_request_is_what_protobuf_writes() -> None:
    # recorded from Google's protobuf: timestamp, one metric (name, timestamp, datatype 11, true)
    recorded = "0880ccb0d5aa3312210a144e6f646520436f6e74726f6c2f526562697274681880ccb0d5aa33200b7001"
    assert rebirth_request(datetime.fromtimestamp(1763800000, tz=UTC)).hex() == recorded


def test_a_field_that_comes_twice_counts_as_last_said() -> None:
    once = payload_bytes([], seq=3, at_ms=10)
    assert read_payload(once + payload_bytes([M(1.0, alias=1)], seq=4)).seq == 4
    assert read_payload(once + payload_bytes([M(1.0, alias=1)], seq=None)).timestamp_ms == 10


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x08", "does not end"),
        (b"\x08" + b"\xff" * 11, "does not end"),
        (b"\x12\x05\x08", "cut off"),
        (b"\x12\x03\x0a\x02a", "cut off"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x00\x00", "no proper number"),
        (b"\x12\x04\x0a\x02\xff\xfe", "not UTF-8"),
        (b"\x12\x07\x4a\x05\x0a\x03abc", "1 keys and 0 values"),
        (b"\x12\x02\x65\x00", "cut off"),
        (b'{"observed_at": "2026"}', "not"),
    ],
    ids=[
        "no varint",
        "endless varint",
        "cut",
        "cut inside",
        "group",
        "wire 7",
        "field 0",
        "text",
        "keys",
        "float",
        "json",
    ],
)
def test_damage_is_named(data: bytes, says: str) -> None:
    with pytest.raises(UndecodableError, match=says):
        read_payload(data)


def test_too_many_metrics_are_refused_and_cost_no_memory() -> None:
    bomb = b"\x12\x00" * (MOST_METRICS + 1)
    assert len(read_payload(b"\x12\x00" * MOST_METRICS).metrics) == MOST_METRICS
    tracemalloc.start()
    with pytest.raises(UndecodableError, match="more than"):
        read_payload(bomb * 10)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(UndecodableError):
        read_payload(data)


@given(st.sampled_from(RECORDED), st.data())
def test_no_damage_raises_anything_else(recorded: dict[str, Any], data: st.DataObject) -> None:
    whole = bytearray.fromhex(recorded["hex"])
    for _ in range(data.draw(st.integers(1, 4))):
        if whole:
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(UndecodableError):
        read_payload(bytes(whole[:cut]))


@given(
    st.lists(
        st.builds(
            M,
            value=st.floats(width=32, allow_nan=False),
            name=st.none() | st.text(max_size=40),
            alias=st.none() | st.integers(0, 2**64 - 1),
            at_ms=st.none() | st.integers(0, 2**64 - 1),
            datatype=st.none() | st.integers(0, 40),
            historical=st.booleans(),
            null=st.booleans(),
            unit=st.none() | st.text(min_size=1, max_size=10),
            quality=st.none() | st.integers(0, 2**32 - 1),
        ),
        max_size=5,
    ),
    st.integers(0, 255),
)
def test_what_is_written_is_read(metrics: list[M], seq: int) -> None:
    payload = read_payload(payload_bytes(metrics, seq=seq, at_ms=5))
    assert payload.seq == seq
    assert [
        M(
            m.value,
            m.name,
            m.alias,
            m.timestamp_ms,
            m.datatype,
            m.is_historical,
            m.is_null,
            "float_value",
            m.unit,
            m.quality,
        )
        for m in payload.metrics
    ] == metrics
