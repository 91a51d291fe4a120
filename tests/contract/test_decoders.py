"""What every decoder promises, on the samples and on whatever else may come.

The mappings are those that docs/connectors.md shows; the samples lie in tests/data/mqtt_payloads. The expected readings
were read off the samples by hand.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import re
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.decoders.base import Decoded, UndecodableError
from ingest.decoders.catalog import BUILT_IN
from ingest.decoders.native import NativeDecoder
from ingest.mappings import Source, native_sources, parse_mappings
from twin.units import unit_named

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "mqtt_payloads"
PAGE = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SECTIONS = (section.partition("\n") for section in PAGE.split("\n## ")[1:])
MAPPINGS = {title: text.split("```toml\n")[1].split("```")[0] for title, _, text in _SECTIONS if "```toml\n" in text}
"""The mapping in each format's section of the page, by the decoder's name, which is the section's title."""

FORMATS = ["native", *sorted(MAPPINGS)]


def sources(form: str) -> tuple[Source, ...]:
    return native_sources() if form == "native" else parse_mappings(MAPPINGS[form])


def samples(form: str) -> list[tuple[str, bytes]]:
    """Return topics and payloads; a payload that is no JSON stands there as {"hex": …}."""
    rows: list[dict[str, Any]] = json.loads((DATA / f"{form}.json").read_text(encoding="utf-8"))
    return [(row["topic"], _bytes(row["payload"])) for row in rows]


def _bytes(payload: object) -> bytes:
    if isinstance(payload, dict) and set(payload) == {"hex"}:
        return bytes.fromhex(payload["hex"])
    return json.dumps(payload).encode()


def decode(form: str, topic: str, payload: bytes) -> tuple[Source, Decoded]:
    source = next(source for source in sources(form) if source.template.match(topic) is not None)
    return source, source.decoder.decode(topic, payload, NOW)


def at(minute: int = 0, second: int = 0, microsecond: int = 0, hour: int = 0) -> datetime:
    return datetime(2026, 1, 1, hour, minute, second, microsecond, tzinfo=UTC)


RFC = datetime(2010, 6, 8, 18, 1, 16, 1000, tzinfo=UTC)
"""1276020076.001 seconds after 1970, as RFC 8428 has it."""

EXPECTED: dict[str, list[list[tuple[str, datetime | None, float, str | None]] | str]] = {
    "native": [
        [("P-12", at(), 3.2, "bar")],
        [("P-12", at(5), 3.1, "bar"), ("L-3", at(5), 2.75, None)],
    ],
    "json_path": [
        [("P-1", at(), 4.1, "bar"), ("Q-1", at(), 31.5, "L/s")],
        [("Q-2", at(microsecond=250_000), 0.0, "L/s")],
    ],
    "senml": [
        [("T-1", None, 23.1, "degC")],
        [],
        [
            ("A-1", RFC - timedelta(seconds=5), 1.2, "SenML A"),
            ("A-1", RFC - timedelta(seconds=4), 1.3, "SenML A"),
        ],
        [("T-2", None, 23.1, "degC"), ("V-1", None, 0.0, None)],
        [
            ("Q-3", at(), 0.0135, "m3/s"),
            ("W-3", at(), 1204.5, "m3"),
            ("Q-3", at(1), 0.0145, "m3/s"),
            ("W-3", at(1), 1205.3, "m3"),
            ("T-3", at(1), 11.5, "degC"),
        ],
    ],
    "chirpstack": [
        [
            ("P-12", at(0, 15, 775_023), 3.15, "bar"),
            ("V-12", at(0, 15, 775_023), 1.0, None),
            ("PH-12", at(0, 15, 775_023), 7.25, None),
        ],
        "codec",
        [],
        [],
        [],
    ],
    "tts": [
        [
            ("L-9", at(10, 45, 787_000), 2.75, "m"),
            ("Q-9", at(10, 45, 787_000), 18.4, "L/s"),
            ("S-9", at(10, 45, 787_000), 1.0, None),
        ],
        [
            ("L-9", at(20, 45, 787_000), 2.74, "m"),
            ("Q-9", at(20, 45, 787_000), 0.0, "L/s"),
            ("S-9", at(20, 45, 787_000), 0.0, None),
        ],
        "payload formatter",
        [],
    ],
    "wmbusmeters": [
        [
            ("M-4", at(0, 12), 812.447, "m3"),
            ("Q-4", at(0, 12), 0.512, "m3/h"),
            ("T-4", at(0, 12), 9.0, "degC"),
        ],
        [
            ("M-4", at(0, 12, hour=1), 812.447, "m3"),
            ("Q-4", at(0, 12, hour=1), 0.0, "m3/h"),
            ("T-4", at(0, 12, hour=1), 127.0, "degC"),
        ],
        [("M-6", at(0, 13, hour=1), 3.488, "m3")],
        "not water",
        [],
    ],
    "sensorthings": [
        [("T-5", at(15, 31), 21.5, "degC")],
        [("T-5", at(30), 19.0, "degC")],
        [("L-7", at(45), 2.5, "m")],
        [("T-5", None, 20.0, "degC")],
    ],
    "sparkplug_b": [  # data without the births before it cannot be understood; whole lives are in the unit tests
        [],
        [
            ("Q-12", datetime(2025, 11, 22, 8, 26, 40, tzinfo=UTC), 84.5, None),
            ("P-13", datetime(2025, 11, 22, 8, 26, 40, tzinfo=UTC), 4.199999809265137, None),
        ],
        "before its birth",
        "before its birth",
        [],
    ],
}


@pytest.mark.parametrize(
    ("form", "number"), [(form, number) for form in EXPECTED for number in range(len(EXPECTED[form]))]
)
def test_a_sample_says_what_was_read_off_it_by_hand(form: str, number: int) -> None:
    topic, payload = samples(form)[number]
    expected = EXPECTED[form][number]
    if isinstance(expected, str):
        with pytest.raises(UndecodableError, match=expected):
            decode(form, topic, payload)
        return
    source, decoded = decode(form, topic, payload)
    found = [(source.sensor_id(raw.name), raw.observed_at, raw.value, raw.unit) for raw in decoded.readings]
    assert sorted(found, key=_order) == sorted(
        [(name, when, pytest.approx(value, rel=1e-12), unit) for name, when, value, unit in expected], key=_order
    )
    assert decoded.refused == []


def _order(row: Sequence[Any]) -> tuple[str, str]:
    return str(row[1]), str(row[0])


def test_every_decoder_has_a_mapping_and_samples_and_a_row_on_the_page() -> None:
    assert set(BUILT_IN) <= set(MAPPINGS)
    for form in FORMATS:
        assert samples(form), form
        if form != "native":
            assert f"| `{form}` |" in PAGE
            assert all(name in BUILT_IN for name in re.findall(r'^decoder = "(\w+)"', MAPPINGS[form], re.MULTILINE))


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_message_gives_the_same_answer(form: str) -> None:
    for topic, payload in samples(form):
        assert outcome(form, topic, payload) == outcome(form, topic, payload)


@pytest.mark.parametrize("form", FORMATS)
def test_names_that_nobody_mapped_are_ignored(form: str) -> None:
    for topic, payload in samples(form):
        try:
            source, decoded = decode(form, topic, payload)
        except UndecodableError:
            continue
        assert all(source.sensor_id(raw.name) is not None for raw in decoded.readings)
        assert all(source.sensor_id(refused.name or "") is not None for refused in decoded.refused)


def outcome(form: str, topic: str, payload: bytes) -> object:
    try:
        return decode(form, topic, payload)[1]
    except UndecodableError as error:
        return (error.reason, str(error))


def require_sound(decoded: Decoded) -> None:
    """Whatever a decoder returns, this holds."""
    assert decoded.gateway
    assert decoded.gateway.isprintable()
    assert not any(sign in decoded.gateway for sign in "/+#")
    for raw in decoded.readings:
        assert isinstance(raw.value, float)
        assert math.isfinite(raw.value)
        assert raw.observed_at is None or raw.observed_at.utcoffset() == timedelta(0)
    for refused in decoded.refused:
        assert refused.detail
    for told in decoded.events:
        assert told.subject
        assert told.first_at == NOW


def try_to_decode(source: Source, topic: str, payload: bytes) -> None:
    with contextlib.suppress(UndecodableError):
        require_sound(source.decoder.decode(topic, payload, NOW))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("form", FORMATS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_but_undecodable_error_escapes(form: str, data: st.DataObject) -> None:
    known = samples(form)
    topic, payload = data.draw(st.sampled_from(known))
    topic = data.draw(st.just(topic) | st.text(max_size=20) | st.sampled_from([t + "/x" for t, _ in known]))
    source = data.draw(st.sampled_from(sources(form)))
    try_to_decode(source, topic, data.draw(_mutations(payload)))


def _mutations(payload: bytes) -> st.SearchStrategy[bytes]:
    cut = st.integers(0, len(payload)).map(lambda end: payload[:end])
    flipped = st.tuples(st.integers(0, max(0, len(payload) - 1)), st.integers(0, 255)).map(
        lambda change: payload[: change[0]] + bytes([change[1]]) + payload[change[0] + 1 :]
    )
    plain = st.binary(max_size=64) | json_values.map(lambda value: json.dumps(value).encode()) | cut | flipped
    try:
        document = json.loads(payload)
    except ValueError:
        return plain
    return plain | _altered(document).map(lambda value: json.dumps(value).encode())


def _altered(document: object) -> st.SearchStrategy[object]:
    """Return the document with one value somewhere in it replaced, removed or kept."""
    if isinstance(document, dict) and document:
        return st.sampled_from(sorted(document)).flatmap(
            lambda key: (
                _altered(document[key]).map(lambda value: {**document, key: value})
                | st.just({k: v for k, v in document.items() if k != key})
            )
        )
    if isinstance(document, list) and document:
        return st.integers(0, len(document) - 1).flatmap(
            lambda place: _altered(document[place]).map(lambda v: [*document[:place], v, *document[place + 1 :]])
        )
    return json_values


@pytest.mark.parametrize("form", FORMATS)
def test_memory_stays_flat_however_much_comes(form: str) -> None:
    known = samples(form)
    decoders = sources(form)

    def a_round(number: int) -> None:
        for source in decoders:
            for topic, payload in known:
                broken = payload[: (number * 7) % (len(payload) + 1)]
                try_to_decode(source, topic, payload)
                try_to_decode(source, f"{topic}/{number}", payload)
                try_to_decode(source, topic, broken)
                try_to_decode(source, topic.replace("0", str(number % 10)), payload)

    for number in range(20):
        a_round(number)
    gc.collect()
    tracemalloc.start()
    a_round(20)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(21, 171):
        a_round(number)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 64 * 1024


def test_the_units_that_decoders_hand_on_are_known_or_on_purpose_unknown() -> None:
    for rows in EXPECTED.values():
        for row in rows:
            for _, _, _, unit in () if isinstance(row, str) else row:
                assert unit is None or unit.startswith("SenML ") or unit_named(unit)


def test_the_native_decoder_is_the_one_of_the_native_sources() -> None:
    assert all(isinstance(source.decoder, NativeDecoder) for source in native_sources())
