"""From messages to readings and dead letters: nothing is lost, nothing is doubled, every refusal has its name."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from fakes import MemoryLetters, MemoryNotebook, MemoryReadings, MemorySensors, away
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.native import single_topic
from ingest.mappings import native_sources, parse_mappings
from ingest.message import Message
from ingest.pipeline import Pipeline
from twin.errors import UnavailableError
from twin.readings import Quality, Sensor
from twin.units import Quantity

NOW = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
SENSORS = (
    Sensor("P-1", Quantity.PRESSURE, unit="bar", low=0.0, high=100.0),
    Sensor("L-1", Quantity.LEVEL),
)


class Plant:
    """A pipeline with its stores."""

    def __init__(self, readings: MemoryReadings | None = None, mappings: str = "") -> None:
        self.readings = readings or MemoryReadings()
        self.letters = MemoryLetters()
        self.sensors = MemorySensors(*SENSORS)
        self.notebook = MemoryNotebook()
        self.pipeline = Pipeline(
            readings=self.readings,
            dead_letters=self.letters,
            sensors=self.sensors,
            notebook=self.notebook,
            mappings=native_sources() + parse_mappings(mappings),
        )

    def process(self, *messages: Message):
        return self.pipeline.process(messages)

    @property
    def buried(self) -> list[tuple[str, str]]:
        return [(letter.topic, letter.reason) for letter in self.letters.kept.values()]


def a_message(topic: str = "h2/g1/P-1", payload: bytes | None = None, **fields: object) -> Message:
    item = {"observed_at": "2026-01-01T00:00:00Z", "value": 3.2, **fields}
    return Message(topic, json.dumps(item).encode() if payload is None else payload, NOW)


def a_batch(*items: dict[str, object]) -> Message:
    rows = [{"observed_at": "2026-01-01T00:00:00Z", "value": 3.2, **item} for item in items]
    return Message("h2/g1", json.dumps({"readings": rows}).encode(), NOW)


def test_a_reading_is_stored_in_si_with_what_arrived() -> None:
    plant = Plant()
    assert plant.process(a_message(seq=7)).stored == 1
    (reading,) = plant.readings.kept.values()
    assert reading.value == pytest.approx(3.2 * 1e5 / 9806.65)  # bar in metres of water
    assert (reading.unit, reading.raw_value, reading.raw_unit, reading.seq) == ("m", 3.2, "bar", 7)
    assert (reading.observed_at, reading.available_at) == (datetime(2026, 1, 1, tzinfo=UTC), NOW)
    assert reading.quality is Quality.GOOD


def test_a_flagged_reading_is_stored_not_buried() -> None:
    plant = Plant()
    assert plant.process(a_message(value=50)).stored == 1
    (reading,) = plant.readings.kept.values()
    assert (reading.quality, reading.reasons, reading.raw_value) == (Quality.BAD, ("out_of_range",), 50.0)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(a_message(payload=b"\xff"), "undecodable", id="bytes"),
        pytest.param(a_message("h2/g1/nobody"), "unknown_sensor", id="unknown sensor"),
        pytest.param(a_message(unit="L/s"), "wrong_dimension", id="a flow as pressure"),
        pytest.param(a_message(unit="furlong"), "unknown_unit", id="unknown unit"),
        pytest.param(a_message(unit="\ud800\x00"), "unknown_unit", id="a unit no database can hold"),
        pytest.param(a_message(value=float("nan")), "not_finite", id="NaN"),
        pytest.param(a_message("h2/g1/L-1", value=1e308, unit="bar"), "not_finite", id="too large once converted"),
        pytest.param(a_message(observed_at="2026-01-01T00:00:00"), "naive_time", id="no zone"),
        pytest.param(a_message("h2/g1", payload=b'{"readings":[]}'), "empty", id="an empty batch"),
        pytest.param(a_message("other/topic"), "no_decoder", id="a topic without source"),
    ],
)
def test_what_cannot_be_a_reading_is_buried_byte_for_byte(message: Message, reason: str) -> None:
    plant = Plant()
    outcome = plant.process(message)
    assert (outcome.stored, outcome.dead, dict(outcome.by_reason)) == (0, 1, {reason: 1})
    (letter,) = plant.letters.kept.values()
    assert (letter.topic, letter.payload, letter.received_at) == (message.topic, message.payload, NOW)
    assert letter.detail.isprintable()
    letter.detail.encode()


def test_of_a_batch_the_good_are_stored_and_each_bad_one_is_buried_by_itself() -> None:
    plant = Plant()
    batch = a_batch(
        {"sensor_id": "P-1"},
        {"sensor_id": "nobody", "seq": 4},
        {"sensor_id": "L-1", "unit": "L/s"},
        {"sensor_id": "L-1", "value": "x"},
        {"sensor_id": "P-1", "value": 9.9},
    )
    outcome = plant.process(batch)
    assert (outcome.stored, outcome.dead) == (1, 4)
    assert sorted(plant.buried) == [
        ("h2/g1/L-1", "undecodable"), ("h2/g1/L-1", "wrong_dimension"), ("h2/g1/P-1", "conflict"),
        ("h2/g1/nobody", "unknown_sensor"),
    ]  # fmt: skip


def test_a_letter_from_a_batch_is_stored_when_it_comes_again_after_the_cause_is_mended() -> None:
    plant = Plant()
    plant.process(a_batch({"sensor_id": "P-1"}, {"sensor_id": "new", "seq": 4, "unit": "psi"}))
    (letter,) = plant.letters.kept.values()
    plant.sensors.upsert_sensors([Sensor("new", Quantity.PRESSURE)])
    assert plant.process(Message(letter.topic, letter.payload, NOW)).stored == 1
    reading = next(r for r in plant.readings.kept.values() if r.sensor_id == "new")
    assert (reading.raw_value, reading.raw_unit, reading.seq) == (3.2, "psi", 4)


def test_a_repeat_is_absorbed_and_another_value_is_a_conflict() -> None:
    plant = Plant()
    first, other = a_message(), a_message(value=3.3)
    assert plant.process(first, first).duplicates == 1
    again = plant.process(first, other)
    assert (again.stored, again.duplicates, dict(again.by_reason)) == (0, 1, {"conflict": 1})
    assert [reading.raw_value for reading in plant.readings.kept.values()] == [3.2]
    assert list(plant.letters.kept) == [(other.topic, other.payload)]


def test_a_letter_seen_again_is_counted_not_doubled() -> None:
    plant = Plant()
    message = a_message("h2/g1/nobody")
    assert [plant.process(message).dead for _ in range(3)] == [1, 0, 0]
    assert next(iter(plant.letters.kept.values())).times_seen == 3


def test_a_sensor_registered_a_moment_ago_is_known() -> None:
    plant = Plant()
    plant.process(a_message())
    plant.sensors.upsert_sensors([Sensor("new", Quantity.PRESSURE)])
    assert plant.process(a_message("h2/g1/new")).stored == 1


@pytest.mark.parametrize("store", ["readings", "letters", "sensors"])
def test_a_store_that_is_away_stops_everything_and_nothing_is_judged_twice(store: str) -> None:
    plant = Plant()
    messages = [a_message(), a_message("h2/g1/nobody")]
    getattr(plant, store).failure = away()
    with pytest.raises(UnavailableError):
        plant.process(*messages)
    getattr(plant, store).failure = None
    outcome = plant.process(*messages)
    assert len(plant.readings.kept) == 1
    assert plant.buried == [("h2/g1/nobody", "unknown_sensor")]
    assert outcome.stored + outcome.duplicates == 1


def test_a_commit_goes_on_where_it_was_interrupted() -> None:
    plant = Plant()
    prepared = plant.pipeline.prepare([a_message(), a_message("h2/g1/nobody")])
    plant.letters.failure = away()
    with pytest.raises(UnavailableError):
        plant.pipeline.commit(prepared)
    plant.letters.failure = None
    outcome = plant.pipeline.commit(prepared)
    assert (outcome.stored, outcome.duplicates, outcome.dead) == (1, 0, 1)


def test_what_the_store_refuses_does_not_take_its_neighbours_with_it() -> None:
    plant = Plant(MemoryReadings(refuses="L-1"))
    outcome = plant.process(a_message(), a_message("h2/g1/L-1"))
    assert outcome.stored == 1
    assert plant.buried == [("h2/g1/L-1", "refused_by_store")]


MAPPINGS = """
[[source]]
topic = "plant/{device}"
decoder = "json_path"
[source.options]
id = "{device}"
time = "t"
fields = { "p" = "bar", "l" = "m", "q" = "L/s" }
[source.sensors]
"x/p" = "P-1"
"x/l" = "L-1"
"x/q" = "L-1"
"""


@pytest.mark.parametrize(
    ("payload", "stored", "buried"),
    [
        (b'{"t":"2026-01-01T00:00:00Z","p":1,"l":2}', 2, []),
        (b'{"t":"2026-01-01T00:00:00Z","p":1,"l":"?"}', 1, [("h2/x/L-1", "undecodable")]),
        (b'{"t":"2026-01-01T00:00:00Z","q":1}', 0, [("h2/x/L-1", "wrong_dimension")]),
        (b'{"t":"2026-01-01T00:00:00Z","other":1}', 0, [("plant/x", "empty")]),
        (b'{"t":"2026-01-01T00:00:00Z","p":1,"p":2}', 0, [("plant/x", "undecodable")]),
    ],
)
def test_foreign_payloads_take_the_same_way(payload: bytes, stored: int, buried: list[tuple[str, str]]) -> None:
    plant = Plant(mappings=MAPPINGS)
    assert plant.process(Message("plant/x", payload, NOW)).stored == stored
    assert plant.buried == buried


def test_a_decoder_that_breaks_costs_one_message_not_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Plant(mappings=MAPPINGS)
    broken = plant.pipeline._sources[-1].decoder
    monkeypatch.setattr(broken, "decode", lambda *_: 1 / 0)
    assert plant.process(Message("plant/x", b"{}", NOW), a_message()).stored == 1
    assert plant.buried == [("plant/x", "undecodable")]


def test_a_sensor_registry_away_at_the_first_message_is_waited_for() -> None:
    plant = Plant()
    plant.sensors.failure = away()
    with pytest.raises(UnavailableError):
        plant.pipeline.prepare([a_message()])


PUBLISHED = st.lists(
    st.tuples(
        st.sampled_from(["P-1", "L-1", "nobody"]),
        st.integers(0, 5),
        st.sampled_from([1.0, 2.0, float("nan"), "x"]),
        st.sampled_from([None, "cm", "L/s", "?"]),
    ),
    max_size=25,
)


@given(PUBLISHED, st.integers(1, 8), st.randoms(use_true_random=False))
def test_distinct_published_readings_are_stored_or_buried(
    published: list[tuple[str, int, float | str, str | None]], size: int, order: object
) -> None:
    """The oracle counts by hand: every distinct (sensor, time, value, unit) ends in exactly one place."""
    plant = Plant()
    messages = []
    for sensor_id, second, value, unit in published:
        fields = {"observed_at": f"2026-01-01T00:00:0{second}Z", "value": value}
        fields |= {} if unit is None else {"unit": unit}
        messages.append(Message(single_topic("g1", sensor_id), json.dumps(fields).encode(), NOW))
    again = [*messages, *messages]
    order.shuffle(again)  # type: ignore[attr-defined]
    for start in range(0, len(again), size):
        plant.process(*again[start : start + size])
    assert len({(m.topic, m.payload) for m in messages}) == len(plant.readings.kept) + len(plant.letters.kept)


def test_single_and_batch_give_the_same_readings() -> None:
    one, many = Plant(), Plant()
    times = [f"2026-01-01T00:00:{second:02d}Z" for second in range(30)]
    one.process(*(a_message(observed_at=time) for time in times))
    many.process(a_batch(*({"sensor_id": "P-1", "observed_at": time} for time in times)))
    assert Counter(one.readings.kept.values()) == Counter(many.readings.kept.values())
    assert len(one.readings.kept) == 30


def test_errors_that_are_no_refusals_are_not_swallowed() -> None:
    plant = Plant()
    plant.readings.failure = ValueError("a defect")
    with pytest.raises(ValueError, match="defect"):
        plant.process(a_message())
    assert plant.buried == []
