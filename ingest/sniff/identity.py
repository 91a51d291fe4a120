"""Where topics name the sender that the payloads name too, the mapping says so: then a forged name is noticed.

Only some decoders must be told; the others know where in their topics the sender stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from ingest.decoders.base import UndecodableError
from ingest.decoders.strict_json import load
from ingest.message import Message
from ingest.sniff.templates import is_literal

WMBUSMETERS, SENML = "wmbusmeters", "senml"
_DOUBTS = {
    WMBUSMETERS: "the topic does not name the meter as the payload does, so a forged id is not noticed",
    SENML: "nothing ties the names to the topic; where it names the device, set names_begin_with in [source.options]",
}


def tied_to_topic(decoder: str, topic: str, messages: Sequence[Message]) -> str:
    """Return the topic with the meter's level named `{id}` where one level of every topic is the payload's id."""
    if decoder != WMBUSMETERS:
        return topic
    split = [message.topic.split("/") for message in messages]
    ids = [_id_in(message) for message in messages]
    if len({len(levels) for levels in split}) != 1 or None in ids:
        return topic
    for position, levels in enumerate(zip(*split, strict=True)):
        if all(
            level.casefold() == name.casefold() for level, name in zip(levels, ids, strict=True) if name is not None
        ):
            return "/".join(_level(at, position, set(others)) for at, others in enumerate(zip(*split, strict=True)))
    return topic


def doubts_of(decoder: str, topic: str) -> tuple[str, ...]:
    """Return what a person must decide so that a forged name is noticed."""
    is_tied = decoder not in _DOUBTS or (decoder == WMBUSMETERS and "{id}" in topic)
    return () if is_tied else (_DOUBTS[decoder],)


def _level(at: int, of_id: int, found: set[str]) -> str:
    if at == of_id:
        return "{id}"
    only = found.pop() if len(found) == 1 else "+"
    return only if is_literal(only) else "+"


def _id_in(message: Message) -> str | None:
    try:
        document = load(message.payload)
    except UndecodableError:
        return None
    name = document.get("id") if isinstance(document, dict) else None
    return name if isinstance(name, str) else None
