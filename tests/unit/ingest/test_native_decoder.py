"""h2twin's own payloads: what is read, and what is refused by which name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.base import RawReading, UndecodableError
from ingest.decoders.native import NativeDecoder, encode_batch, item_alone, item_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AT = datetime(2026, 1, 1, tzinfo=UTC)
DECODER = NativeDecoder()


def decode(payload: str | bytes, topic: str = "h2/g1/P-1"):
    return DECODER.decode(topic, payload.encode() if isinstance(payload, str) else payload, NOW)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        pytest.param(
            '{"observed_at": "2026-01-01T00:00:00Z", "value": 3.2, "unit": "m", "seq": 17}',
            RawReading("P-1", AT, 3.2, "m", 17),
            id="the contract's example",
        ),
        pytest.param('{"observed_at":"2026-01-01T00:00:00Z","value":3}', RawReading("P-1", AT, 3.0), id="least"),
        pytest.param(
            '{"observed_at":"2026-01-01T02:00:00+02:00","value":-1e-3}', RawReading("P-1", AT, -0.001), id="offset"
        ),
        pytest.param(
            '{"observed_at":"2026-01-01T00:00:00.250Z","value":0}',
            RawReading("P-1", AT + timedelta(milliseconds=250), 0.0),
            id="milliseconds",
        ),
        pytest.param(
            '{"observed_at":"2026-01-01T00:00:00Z","value":1,"note":"x","deep":{"value":2}}',
            RawReading("P-1", AT, 1.0),
            id="unknown fields are ignored",
        ),
        pytest.param(
            '{"observed_at":"2026-01-01T00:00:00Z","value":1,"unit":null,"seq":null}',
            RawReading("P-1", AT, 1.0),
            id="null unit and seq",
        ),
        pytest.param(
            '{"observed_at":"2026-01-01T00:00:00Z","value":1,"sensor_id":"P-1"}',
            RawReading("P-1", AT, 1.0),
            id="topic and payload name the same sensor",
        ),
        pytest.param(
            '{"observed_at":"2026-01-01T00:00:00Z","value":1,"unit":"\\u006d"}',
            RawReading("P-1", AT, 1.0, "m"),
            id="escaped text",
        ),
    ],
)
def test_reads_a_single(payload: str, expected: RawReading) -> None:
    assert decode(payload).readings == [expected]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b"", "undecodable", id="empty payload"),
        pytest.param(b"\xff\xfe", "undecodable", id="not UTF-8"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"unit":"\xff"}', "undecodable", id="bad text"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1', "undecodable", id="cut off"),
        pytest.param(b"3.2", "undecodable", id="a bare number"),
        pytest.param(b"[" * 100_000, "undecodable", id="100,000 brackets"),
        pytest.param(
            b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            "undecodable",
            id="100,000 brackets in an ignored field",
        ),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"value":2}', "undecodable", id="a repeated key"),
        pytest.param(
            b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"v\\u0061lue":2}', "undecodable", id="repeated, escaped"
        ),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":NaN}', "not_finite", id="NaN"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":-Infinity}', "not_finite", id="Infinity"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1e999}', "not_finite", id="1e999"),
        pytest.param(
            b'{"observed_at":"2026-01-01T00:00:00Z","value":1' + b"0" * 400 + b"}",
            "not_finite",
            id="a 401-digit number",
        ),
        pytest.param(
            b'{"observed_at":"2026-01-01T00:00:00Z","value":1' + b"0" * 9000 + b"}", "undecodable", id="9001 digits"
        ),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":"NaN"}', "undecodable", id="NaN as text"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":"3.2"}', "undecodable", id="a number as text"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":true}', "undecodable", id="true"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":null}', "undecodable", id="null"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z"}', "undecodable", id="no value"),
        pytest.param(b'{"value":1}', "undecodable", id="no time"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00","value":1}', "naive_time", id="no zone"),
        pytest.param(b'{"observed_at":"2026-01-01","value":1}', "naive_time", id="a date"),
        pytest.param(b'{"observed_at":"yesterday","value":1}', "undecodable", id="no time at all"),
        pytest.param(b'{"observed_at":"2026-02-30T00:00:00Z","value":1}', "undecodable", id="30 February"),
        pytest.param(b'{"observed_at":1767225600,"value":1}', "undecodable", id="seconds since 1970"),
        pytest.param(b'{"observed_at":"9999-12-31T23:59:59-01:00","value":1}', "undecodable", id="beyond the calendar"),
        pytest.param(b'{"observed_at":"9999-01-01T00:00:00Z","value":1}', "implausible_time", id="year 9999"),
        pytest.param(b'{"observed_at":"0001-01-01T00:00:00Z","value":1}', "implausible_time", id="year 1"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"unit":5}', "undecodable", id="unit 5"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"seq":-1}', "undecodable", id="seq -1"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"seq":1.5}', "undecodable", id="seq 1.5"),
        pytest.param(b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"seq":true}', "undecodable", id="seq true"),
        pytest.param(
            b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"seq":9223372036854775808}', "undecodable", id="seq 2^63"
        ),
        pytest.param(
            b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"sensor_id":"P-2"}',
            "forged_identity",
            id="another sensor than the topic",
        ),
        pytest.param(
            b'{"observed_at":"2026-01-01T00:00:00Z","value":1,"gateway_id":"g2"}',
            "forged_identity",
            id="another gateway than the topic",
        ),
    ],
)
def test_refuses_a_single_by_name(payload: bytes, reason: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(payload)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "topic", ["h2", "h2//P-1", "h2/g1/", "h2/g1/a/b", "x/g1/P-1", "h2/" + "g" * 257, "h2/g1/" + "s" * 257, "h2/g/\x01"]
)
def test_refuses_a_strange_topic(topic: str) -> None:
    with pytest.raises(UndecodableError):
        decode('{"observed_at":"2026-01-01T00:00:00Z","value":1}', topic)


def test_a_batch_keeps_its_good_readings_and_names_the_bad() -> None:
    good = {"sensor_id": "P-1", "observed_at": "2026-01-01T00:00:00Z", "value": 1.5, "unit": "m", "seq": 3}
    naive = {"sensor_id": "P-2", "observed_at": "2026-01-01T00:00:00", "value": 1}
    nobody = {"observed_at": "2026-01-01T00:00:00Z", "value": 1}
    infinite = {"sensor_id": "P-3", "observed_at": "2026-01-01T00:00:00Z", "value": float("inf")}
    long_name = {"sensor_id": "s" * 257, "observed_at": "2026-01-01T00:00:00Z", "value": 1}
    decoded = decode(json.dumps({"readings": [naive, good, nobody, infinite, long_name, 7]}), "h2/g1")
    assert decoded.readings == [RawReading("P-1", AT, 1.5, "m", 3)]
    assert [(refused.name, str(refused.reason)) for refused in decoded.refused] == [
        ("P-2", "naive_time"), (None, "undecodable"), ("P-3", "not_finite"), (None, "undecodable"),
        (None, "undecodable"),
    ]  # fmt: skip
    assert decoded.gateway == "g1"


@pytest.mark.parametrize("payload", ["[]", "{}", '{"readings": {}}', '{"readings": [], "readings": []}', "null"])
def test_refuses_what_is_no_batch(payload: str) -> None:
    with pytest.raises(UndecodableError):
        decode(payload, "h2/g1")


def test_a_refused_item_alone_can_be_published_again() -> None:
    item = {"sensor_id": "P-2", "observed_at": "2026-01-01T00:00:00", "value": float("nan")}
    topic, payload = item_alone("g1", "P-2", item)
    assert topic == "h2/g1/P-2"
    with pytest.raises(UndecodableError) as caught:
        decode(payload, topic)
    assert caught.value.reason == "not_finite"
    topic, payload = item_alone("g1", "a/b", {"value": 1})
    assert (topic, json.loads(payload)) == ("h2/g1", {"readings": [{"sensor_id": "a/b", "value": 1}]})


TIMES = st.integers(-2_000_000_000_000_000, 7_000_000_000_000_000).map(
    lambda us: (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).astimezone(timezone(timedelta(hours=-9)))
)
RAW = st.builds(
    RawReading,
    st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="/+#"), min_size=1, max_size=20),
    TIMES,
    st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.text(max_size=10),
    st.none() | st.integers(0, 2**63 - 1),
)


@given(RAW)
def test_what_is_written_is_read_back(raw: RawReading) -> None:
    assert raw.observed_at is not None
    topic, payload = item_alone("g1", raw.name, item_of(raw, raw.observed_at))
    assert decode(payload, topic).readings == [raw]
    batch = encode_batch([{"sensor_id": raw.name, **item_of(raw, raw.observed_at)}])
    assert decode(batch, "h2/g1").readings == [raw]


@given(RAW, st.sampled_from(["value", "observed_at", "extra"]))
def test_the_fast_and_the_slow_way_agree(raw: RawReading, key: str) -> None:
    assert raw.observed_at is not None
    fields = item_of(raw, raw.observed_at)
    assert decode(json.dumps(fields)).readings == decode(json.dumps({**fields, "unknown": 1})).readings
    doubled = json.dumps({**fields, "extra": 0})[:-1] + f', "{key}": {json.dumps(fields.get(key, 0))}}}'
    with pytest.raises(UndecodableError, match="twice"):
        decode(doubled)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["readings", "sensor_id", "observed_at", "value", "unit", "seq"]) | st.text(max_size=3),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from(["h2/g", "h2/g/s"]))
def test_never_raises_anything_but_undecodable(payload: bytes, topic: str) -> None:
    try:
        decoded = decode(payload, topic)
    except UndecodableError:
        return
    for refused in decoded.refused:
        item_alone("g", refused.name, refused.item)
