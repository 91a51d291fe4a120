"""What a death in a batch leaves behind, and what goes back to the sender."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fakes import MemoryLetters, MemoryNotebook, MemoryReadings, MemorySensors
from sparkplug_edge import FLOAT, Edge, M, ms

from ingest.mappings import parse_mappings
from ingest.message import Message
from ingest.pipeline import BatchOutcome, Pipeline
from ingest.topics import TopicTemplate
from twin.events import EventKind
from twin.readings import Sensor
from twin.units import Quantity

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MAPPING = """
[[source]]
topic = "spBv1.0/Porto/#"
decoder = "sparkplug_b"
[source.sensors]
"Porto/RTU-1/DMA-1/level" = "L-1"
"""


class Station:
    """A pipeline that reads one edge node; all messages of a batch have one time, as those of one gulp may have."""

    def __init__(self) -> None:
        self.notebook, self.letters, self.edge, self.readings = (
            MemoryNotebook(),
            MemoryLetters(),
            Edge(),
            MemoryReadings(),
        )
        self.pipeline = Pipeline(
            readings=self.readings,
            dead_letters=self.letters,
            sensors=MemorySensors(Sensor("L-1", Quantity.LEVEL)),
            notebook=self.notebook,
            mappings=parse_mappings(MAPPING),
        )

    def births(self, level: float = 3.0, *, historical: bool = False) -> list[tuple[str, bytes]]:
        at = NOW - timedelta(seconds=5)
        metric = M(level, name="level", alias=1, at_ms=ms(at), datatype=FLOAT, historical=historical)
        return [self.edge.nbirth(at), self.edge.dbirth(at, metric)]

    def take(self, *messages: tuple[str, bytes], at: datetime = NOW) -> BatchOutcome:
        return self.pipeline.process([Message(topic, payload, at) for topic, payload in messages])


def test_data_before_a_death_are_void() -> None:
    station = Station()
    station.take(*station.births(), station.edge.ndeath(NOW))
    assert station.notebook.noted_stale == {"L-1": NOW}
    assert [event.kind for event in station.notebook.noted_events] == [EventKind.SENSOR_STALE]


def test_who_is_born_again_in_the_same_moment_lives() -> None:
    station = Station()
    station.take(*station.births())
    station.take(station.edge.ndeath(NOW), *station.births(3.1))
    assert station.notebook.noted_stale == {}


def test_a_kept_value_revives_nobody() -> None:
    station = Station()
    station.take(*station.births())
    station.take(station.edge.ndeath(NOW), *station.births(3.1, historical=True))
    assert station.notebook.noted_stale == {"L-1": NOW}


def test_data_before_births_are_buried_byte_for_byte_and_the_births_asked_for() -> None:
    station = Station()
    station.births()
    message = station.edge.ddata(NOW, M(3.0, alias=1))
    outcome = station.take(message)
    assert list(station.letters.kept) == [message]
    assert [command.topic for command in outcome.commands] == ["spBv1.0/Porto/NCMD/RTU-1"]
    assert station.take(station.edge.ddata(NOW, M(3.0, alias=1))).commands == ()


def test_a_filter_for_all_below_holds_its_own_level_too() -> None:
    template = TopicTemplate.parse("a/{b}/#")
    assert template.match("a/x") == {"b": "x"}
    assert template.match("a/x/y/z") == {"b": "x"}
    assert template.match("a") is None
    assert TopicTemplate.parse("#").match("a/b") == {}
    assert TopicTemplate.parse("a/#").match("ab") is None
