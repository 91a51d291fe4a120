"""Foreign JSON read by configuration."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from ingest.decoders.base import RawReading, SourceOptions, UndecodableError
from ingest.decoders.json_path import JsonPathDecoder
from ingest.decoders.times import TimeFormat, read_time
from ingest.topics import TopicTemplate
from twin.errors import ConfigError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
AT = datetime(2026, 1, 1, tzinfo=UTC)


def decoder(names: list[str], *, topic: str = "plant/{device}/data", zero: tuple[str, ...] = (), **options: object):
    return JsonPathDecoder(SourceOptions(TopicTemplate.parse(topic), frozenset(names), zero, options))


def test_reads_fields_at_their_paths() -> None:
    subject = decoder(
        ["pump/p.out", "pump/flows.1"],
        id="{device}",
        time="meta.ts",
        time_format="epoch_ms",
        seq="n",
        fields={"p.out": "bar", "flows.1": "", "unmapped": "m"},
    )
    payload = {"meta": {"ts": 1767225600000}, "n": 4, "p": {"out": 2.5}, "flows": [1, 7], "unmapped": "broken"}
    decoded = subject.decode("plant/pump/data", json.dumps(payload).encode(), NOW)
    assert decoded.readings == [
        RawReading("pump/p.out", AT, 2.5, "bar", 4),
        RawReading("pump/flows.1", AT, 7.0, None, 4),
    ]
    assert decoded.refused == []


def test_reads_each_item_of_a_list_with_the_id_in_the_payload() -> None:
    subject = decoder(["a/v", "b/v"], id="id", time="at", items="rows", fields={"v": "m"})
    rows = [{"id": "a", "v": 1, "at": "2026-01-01T00:00:00Z"}, {"id": "b", "v": 2}, {"id": "c", "v": 3}]
    payload = {"at": "2026-01-01T01:00:00+01:00", "rows": rows}
    decoded = subject.decode("plant/x/data", json.dumps(payload).encode(), NOW)
    assert decoded.readings == [RawReading("a/v", AT, 1.0, "m"), RawReading("b/v", AT, 2.0, "m")]


def test_a_pointer_reaches_keys_that_hold_dots_and_slashes() -> None:
    subject = decoder(["x//a.b/c~1d"], id="{device}", fields={"/a.b/c~1d": "m"})
    decoded = subject.decode("plant/x/data", b'{"a.b": {"c/d": 5}}', NOW)
    assert decoded.readings == [RawReading("x//a.b/c~1d", None, 5.0, "m")]


def test_an_absent_field_is_zero_only_where_configured() -> None:
    subject = decoder(["x/rain", "x/level"], zero=("rain",), id="{device}", fields={"rain": "mm", "level": "m"})
    assert subject.decode("plant/x/data", b"{}", NOW).readings == [RawReading("x/rain", None, 0.0, "mm")]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        pytest.param(b'{"v": NaN, "t": 0}', "not_finite", id="NaN"),
        pytest.param(b'{"v": "12", "t": 0}', "undecodable", id="text"),
        pytest.param(b'{"v": null, "t": 0}', "undecodable", id="null"),
        pytest.param(b'{"v": 1}', "undecodable", id="no time"),
        pytest.param(b'{"v": 1, "t": 1e300}', "implausible_time", id="a time beyond all calendars"),
        pytest.param(b'{"v": 1, "t": "2026-01-01T00:00:00Z"}', "undecodable", id="time in another format"),
    ],
)
def test_refuses_a_field_by_name(payload: bytes, reason: str) -> None:
    subject = decoder(["x/v"], id="{device}", time="t", time_format="epoch_s", fields={"v": "m"})
    decoded = subject.decode("plant/x/data", payload, NOW)
    assert [str(refused.reason) for refused in decoded.refused] == [reason]


@pytest.mark.parametrize("payload", [b"{", b"[]", b'{"id": true, "v": 1}', b'{"id": 1, "id": 2}', b"[" * 100_000])
def test_refuses_a_message_without_json_or_id(payload: bytes) -> None:
    with pytest.raises(UndecodableError):
        decoder(["x/v"], id="id", fields={"v": "m"}).decode("plant/x/data", payload, NOW)


@pytest.mark.parametrize(
    "options",
    [
        {"fields": {"v": "m"}},
        {"id": "{other}", "fields": {"v": "m"}},
        {"id": "{device}"},
        {"id": "{device}", "fields": {}},
        {"id": "{device}", "fields": {"v": 1}},
        {"id": "{device}", "fields": {"v": "m"}, "timeformat": "iso"},
        {"id": "{device}", "fields": {"v": "m"}, "time_format": "unix"},
        {"id": "{device}", "fields": {"v": "m"}, "time": 3},
    ],
)
def test_refuses_options_nobody_understands(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        decoder(["x/v"], **options)


@pytest.mark.parametrize(
    ("form", "value", "microsecond"),
    [
        (TimeFormat.EPOCH_S, 1767225600, 0),
        (TimeFormat.EPOCH_S, 1767225600.25, 250_000),
        (TimeFormat.EPOCH_S, 1767225600.001, 1_000),  # no float is that, the nearest lies below
        (TimeFormat.EPOCH_MS, 1767225600001, 1_000),
        (TimeFormat.EPOCH_NS, 1767225600000001999, 1),
    ],
)
def test_epochs_are_exact_to_the_microsecond(form: TimeFormat, value: float, microsecond: int) -> None:
    assert read_time(value, form) == AT.replace(microsecond=microsecond)


@pytest.mark.parametrize(
    ("names", "fields", "complaint"),
    [
        pytest.param(["x/level"], {"level": "meters"}, "unknown unit 'meters'", id="a unit that nobody knows"),
        pytest.param(["x/levl"], {"level": "m"}, "'x/levl' must read id/path.*level", id="a slip of the pen"),
        pytest.param(["level"], {"level": "m"}, "'level' must read id/path", id="no sender"),
    ],
)
def test_refuses_at_the_start_what_could_never_be_read(
    names: list[str], fields: dict[str, str], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        decoder(names, id="{device}", fields=fields)
