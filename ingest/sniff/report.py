"""The whole answer: proposals, the mappings text, and the proof that the text reads what was caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingest.decoders.base import UndecodableError
from ingest.mappings import parse_mappings
from ingest.sniff.catch import Catch
from ingest.sniff.guessing import is_native, propose
from ingest.sniff.proposal import Proposal, Unread
from ingest.sniff.writing import write_mappings, write_source
from twin.errors import ConfigError

OWN_TOPICS = "h2twin/"
"""What h2twin tells on a broker, such as its heartbeat, is nothing to read."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. `read` of `caught` messages give readings, or news, through `toml`; `native` need no mapping."""

    messages: int
    topics: int
    caught: int
    native: int
    read: int
    readings: int
    proposals: tuple[Proposal, ...]
    unread: tuple[Unread, ...]
    toml: str


def report_on(catch: Catch, tell: Callable[[str], None] = lambda _: None) -> Report:
    """Propose a mappings file for what was caught, and run it on the same messages."""
    caught = [message for message in catch if not message.topic.startswith(("$", OWN_TOPICS))]
    proposals, unread = _sound(*propose(caught, tell))
    toml = write_mappings(proposals, unread)
    read = readings = 0
    sources = parse_mappings(toml)
    for message in caught:
        source = next((source for source in sources if source.template.match(message.topic) is not None), None)
        if source is None:
            continue
        try:
            decoded = source.decoder.decode(message.topic, message.payload, message.received_at)
        except UndecodableError:
            continue
        mapped = sum(source.sensor_id(raw.name) is not None for raw in decoded.readings)
        read += bool(mapped) or decoded.is_news
        readings += mapped
    return Report(
        messages=catch.messages,
        topics=catch.topics,
        caught=len(caught),
        native=sum(is_native(message.topic) for message in caught),
        read=read,
        readings=readings,
        proposals=tuple(proposals),
        unread=tuple(unread),
        toml=toml,
    )


def _sound(proposals: list[Proposal], unread: list[Unread]) -> tuple[list[Proposal], list[Unread]]:
    """Keep the proposals that a mappings file may hold beside each other; the others are shown as not read."""
    kept: list[Proposal] = []
    taken: set[str] = set()
    for one in proposals:
        try:
            sources = parse_mappings(write_source(one))
            subscriptions = {source.template.subscription for source in sources}
            if subscriptions & taken:
                raise ConfigError("another source reads the same topics")
        except ConfigError as error:
            unread = [*unread, Unread(one.topic, one.topics, one.messages, f"{one.decoder}: {error}")]
            continue
        taken |= subscriptions
        kept.append(one)
    return kept, unread
