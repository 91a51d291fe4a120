"""A proposed source: topic template, decoder, options and the values that were seen through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Seen:
    """One external name: its newest value and unit as sent, and how often it came."""

    name: str
    value: float
    unit: str | None
    times: int = 1


@dataclass(frozen=True, slots=True)
class Proposal:
    """One `[[source]]` of a mappings file. `doubts` are for the person who reads it."""

    topic: str
    decoder: str
    seen: Mapping[str, Seen]
    topics: int
    messages: int
    readable: int
    options: Mapping[str, object] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unread:
    """Topics that nobody could read, and what the likeliest decoder said."""

    topic: str
    topics: int
    messages: int
    why: str
