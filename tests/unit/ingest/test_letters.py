"""Requeueing a dead letter never loses it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes import MemoryLetters, away

from ingest.decoders.base import RawReading
from ingest.letters import letter_of_row, requeue, require_taken
from ingest.mappings import native_sources, parse_mappings
from twin.errors import InputError, NotFoundError, UnavailableError
from twin.ports import DeadLetter

LETTER = DeadLetter(0, datetime(2026, 1, 1, tzinfo=UTC), "h2/g1/P-1", b"payload", "unknown_sensor", "")


def test_a_letter_is_published_and_forgotten() -> None:
    letters, published = MemoryLetters(), []
    letters.bury([LETTER])
    assert requeue(letters, lambda topic, payload: published.append((topic, payload)), 1, native_sources())
    assert published == [("h2/g1/P-1", b"payload")]
    assert letters.count_dead_letters() == 0


def test_a_letter_stays_when_the_broker_does_not_acknowledge() -> None:
    letters = MemoryLetters()
    letters.bury([LETTER])

    def publish(topic: str, payload: bytes) -> None:
        raise away()

    with pytest.raises(UnavailableError):
        requeue(letters, publish, 1, native_sources())
    assert letters.count_dead_letters() == 1


def test_a_letter_that_comes_back_while_it_is_requeued_is_not_forgotten() -> None:
    letters = MemoryLetters()
    letters.bury([LETTER])
    assert not requeue(letters, lambda *_: letters.bury([LETTER]) and None, 1, native_sources())
    assert letters.dead_letter(1).times_seen == 2


def test_an_unknown_letter_is_named() -> None:
    with pytest.raises(NotFoundError):
        requeue(MemoryLetters(), lambda *_: None, 5, native_sources())


NOW = datetime(2026, 1, 2, tzinfo=UTC)
RAW = RawReading("P-9", datetime(2026, 1, 1, tzinfo=UTC), 3.5, "bar", 7)


def a_letter_on(topic: str) -> DeadLetter:
    return DeadLetter(1, NOW, topic, b"P-9,2026-01-01,3.5", "invalid_input", "")


def test_a_topic_that_nobody_takes_is_refused_and_the_letter_stays() -> None:
    letters, published = MemoryLetters(), []
    letters.bury([a_letter_on("import/day.csv")])
    with pytest.raises(InputError, match="import the file again"):
        requeue(letters, lambda *message: published.append(message), 1, native_sources())
    assert (published, letters.count_dead_letters()) == ([], 1)


@pytest.mark.parametrize("topic", ["plant/7/data", "h2", "h2/a/b/c", "H2/g/s", ""])
def test_a_topic_outside_the_mappings_is_refused_naming_the_mappings(topic: str) -> None:
    with pytest.raises(InputError, match="TWIN_MAPPINGS"):
        require_taken(a_letter_on(topic), native_sources())


@pytest.mark.parametrize("topic", ["h2/g1", "h2/g1/P-9", "plant/7/data"])
def test_a_topic_that_a_source_takes_is_let_through(topic: str) -> None:
    mapped = parse_mappings(
        '[[source]]\ntopic = "plant/{device}/data"\ndecoder = "json_path"\n'
        '[source.options]\nid = "{device}"\ntime = "ts"\nfields = {"p" = "bar"}\n[source.sensors]\n"7/p" = "P-9"\n'
    )
    require_taken(a_letter_on(topic), (*native_sources(), *mapped))


def test_a_row_that_a_message_can_say_becomes_one_that_can_be_requeued() -> None:
    letter = letter_of_row("day.csv", 3, b"as in the file", RAW, "unknown_sensor", "nobody knows P-9", NOW)
    assert letter.topic == "h2/import/P-9"
    assert letter.payload == b'{"observed_at":"2026-01-01T00:00:00Z","value":3.5,"unit":"bar","seq":7}'
    assert letter.detail == "day.csv, line 3: nobody knows P-9"
    require_taken(letter, native_sources())


def test_a_name_that_is_no_level_of_a_topic_goes_into_a_batch_of_one() -> None:
    letter = letter_of_row("day.csv", None, b"", RawReading("a/b", RAW.observed_at, 1.0), "conflict", "again", NOW)
    assert letter.topic == "h2/import"
    assert b'"sensor_id":"a/b"' in letter.payload
    assert letter.detail == "day.csv: again"


UNSAYABLE = [
    pytest.param(None, id="not understood at all"),
    pytest.param(RawReading("", RAW.observed_at, 1.0), id="no name"),
    pytest.param(RawReading("bell\x07", RAW.observed_at, 1.0), id="a name that cannot be printed"),
    pytest.param(RawReading("P-9", RAW.observed_at, float("nan")), id="no number"),
    pytest.param(RawReading("P-9", None, 1.0), id="no time"),
]


@pytest.mark.parametrize("raw", UNSAYABLE)
def test_a_row_that_no_message_can_say_stays_as_it_is_in_the_file(raw: RawReading | None) -> None:
    letter = letter_of_row("day.csv", 3, b"as in the file", raw, "undecodable", "no", NOW)
    assert (letter.topic, letter.payload) == ("import/day.csv", b"as in the file")
