"""SenML records resolved, by RFC 8428; expected values are worked out by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ingest.decoders.base import Decoded, RawReading, SourceOptions, UndecodableError
from ingest.decoders.senml import SenmlDecoder
from ingest.topics import TopicTemplate
from twin.errors import ConfigError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
YEAR_2026 = 1767225600
AT = datetime(2026, 1, 1, tzinfo=UTC)


def decode(pack: object, names: str = "a b c", **options: object) -> Decoded:
    source = SourceOptions(TopicTemplate.parse("senml/{device}"), frozenset(names.split()), (), options)
    return SenmlDecoder(source).decode("senml/d1", json.dumps(pack).encode(), NOW)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        pytest.param({}, None, id="no time is now"),
        pytest.param({"t": -5.25}, NOW - timedelta(seconds=5.25), id="before now"),
        pytest.param(
            {"bt": -10, "t": 4}, NOW - timedelta(seconds=6), id="base and time are added before they are judged"
        ),
        pytest.param({"t": 268435455}, NOW + timedelta(seconds=268435455), id="the last relative time"),
        pytest.param({"t": 268435456}, datetime(1978, 7, 4, 21, 24, 16, tzinfo=UTC), id="the first absolute time"),
        pytest.param({"bt": YEAR_2026, "t": -1}, AT - timedelta(seconds=1), id="absolute base, relative time"),
        pytest.param({"bt": 1276020076.001, "t": -5}, datetime(2010, 6, 8, 18, 1, 11, 1000, tzinfo=UTC), id="exact"),
    ],
)
def test_times_are_resolved(time: dict[str, float], expected: datetime | None) -> None:
    assert decode([{"n": "a", "v": 1, **time}]).readings == [RawReading("a", expected, 1.0)]


def test_base_fields_hold_until_they_are_set_anew() -> None:
    pack = [
        {"bn": "x", "bu": "Cel", "bv": 20, "bt": YEAR_2026},
        {"n": "a", "v": 1},
        {"n": "b", "v": 2, "u": "K"},
        {"bn": "", "bv": 0, "n": "c", "v": 3},
    ]
    assert decode(pack, "xa xb c").readings == [
        RawReading("xa", AT, 21.0, "degC"),
        RawReading("xb", AT, 22.0, "K"),
        RawReading("c", AT, 3.0, "degC"),
    ]


@pytest.mark.parametrize(
    ("unit", "value_unit", "sum_unit"),
    [
        ("m3/s", "m3/s", "m3"),
        ("l/s", "L/s", "L"),
        ("W", "W", "J"),
        ("Cel", "degC", "SenML Cel.s"),
        ("C", "SenML C", "SenML C.s"),  # coulomb, not degrees
        ("F", "SenML F", "SenML F.s"),  # farad, not degrees
        ("Pa", "Pa", "SenML Pa.s"),
        ("/", "1", "SenML /.s"),
        ("bar", "bar", "SenML bar.s"),  # not registered; many send it
    ],
)
def test_units_are_those_of_the_registry(unit: str, value_unit: str, sum_unit: str) -> None:
    decoded = decode([{"n": "a", "u": unit, "v": 1, "s": 2}], "a a#sum")
    assert decoded.readings == [RawReading("a", None, 1.0, value_unit), RawReading("a#sum", None, 2.0, sum_unit)]


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param({"n": "a", "v": 1}, id="no array"),
        pytest.param([{"n": "a", "v": 1, "extra_": 1}], id="a label that must be understood"),
        pytest.param([{"bver": 11, "n": "a", "v": 1}], id="a version from the future"),
        pytest.param([{"bver": 10, "n": "a", "v": 1}, {"bver": 5, "n": "b", "v": 1}], id="two versions"),
        pytest.param([{"bver": True, "n": "a", "v": 1}], id="no version"),
        pytest.param([{"bn": 5, "n": "a", "v": 1}], id="a base name that is a number"),
        pytest.param([{"bt": "now", "n": "a", "v": 1}], id="a base time that is text"),
        pytest.param([{"n": "a", "v": 1}, 7], id="a record that is a number"),
        pytest.param([{"v": 1}], id="no name at all"),
    ],
)
def test_a_pack_that_cannot_be_trusted_is_refused_as_a_whole(pack: object) -> None:
    with pytest.raises(UndecodableError):
        decode(pack)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"vs": "12"}, "undecodable"),
        ({"vd": "aGk"}, "undecodable"),
        ({"v": "12"}, "undecodable"),
        ({"v": 1, "vb": True}, "undecodable"),
        ({"v": 1, "t": 1e300}, "implausible_time"),
        ({"v": 1e308, "bv": 1e308}, "not_finite"),
        ({"v": 1, "u": 5}, "undecodable"),
    ],
)
def test_a_record_that_is_no_reading_spares_its_neighbours(record: dict[str, object], reason: str) -> None:
    decoded = decode([{"n": "b", "v": 1}, {"n": "a", **record}, {"bv": 0, "n": "c", "v": 2}])
    assert [raw.name for raw in decoded.readings] == ["b", "c"]
    assert [(refused.name, str(refused.reason)) for refused in decoded.refused] == [("a", reason)]


def test_unknown_labels_and_unmapped_text_are_ignored() -> None:
    assert decode([{"n": "a", "v": 1, "ut": 5, "note": "x"}, {"n": "z", "vs": "text"}]).refused == []


def test_names_outside_what_the_topic_allows_are_forged() -> None:
    with pytest.raises(UndecodableError) as caught:
        decode([{"n": "d1:a", "v": 1}, {"n": "d2:a", "v": 1}], "d1:a d2:a", names_begin_with="{device}:")
    assert caught.value.reason == "forged_identity"


@pytest.mark.parametrize(
    "options",
    [
        {"names_begin_with": "{gateway}"},
        {"names_begin_with": 5},
        {"sender": "{gateway}"},
        {"sender": "device"},
        {"x": 1},
    ],
)
def test_options_nobody_understands_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        decode([], **options)


def test_the_topic_names_the_sender() -> None:
    assert decode([]).gateway == "d1"
    anywhere = SourceOptions(TopicTemplate.parse("a/#"), frozenset({"x"}))
    assert SenmlDecoder(anywhere).decode("a/b+/c", b"[]", NOW).gateway == "a.b..c"
