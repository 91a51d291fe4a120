"""What every decoder returns, and the slugs that say why something could not become a reading.

A decoder is pure: the same topic, payload and time of receipt give the same answer; only a format with a memory of its
own (Sparkplug B's births) may remember, and is asked in order of receipt. It converts no units and knows no sensors. It
raises `UndecodableError` for a message of which nothing can be read, and returns a `Refused` for each item
of a readable message that cannot be a reading, so that one bad item never takes its neighbours with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import msgspec

from ingest.topics import TopicTemplate
from twin.errors import InputError
from twin.events import Event

LONGEST_NAME = 256
"""Longer sensor and gateway names are refused: they are mistakes or attacks, and break keys and logs."""


class Refusal(StrEnum):
    """Why a message or one of its readings became a dead letter. The values are stable."""

    UNDECODABLE = "undecodable"
    NOT_FINITE = "not_finite"
    NAIVE_TIME = "naive_time"
    IMPLAUSIBLE_TIME = "implausible_time"
    UNKNOWN_SENSOR = "unknown_sensor"
    UNKNOWN_UNIT = "unknown_unit"
    WRONG_DIMENSION = "wrong_dimension"
    CONFLICT = "conflict"
    EMPTY = "empty"
    RATE_LIMITED = "rate_limited"
    FORGED_IDENTITY = "forged_identity"
    NO_DECODER = "no_decoder"
    REFUSED_BY_STORE = "refused_by_store"


class Command(msgspec.Struct, frozen=True, gc=False):
    """A message that the sender should get, such as the request to introduce itself again."""

    topic: str
    payload: bytes


class UndecodableError(InputError):
    """Something that cannot be read; `reason` is the dead letter's slug, `commands` go back to the sender.

    `is_own_format` says that the message is without doubt of the decoder's format, and yet holds nothing to read.
    """

    def __init__(
        self,
        detail: str,
        reason: Refusal = Refusal.UNDECODABLE,
        *,
        commands: Sequence[Command] = (),
        is_own_format: bool = False,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.commands = tuple(commands)
        self.is_own_format = is_own_format


class RawReading(msgspec.Struct, frozen=True, gc=False):
    """One value as sent: the sender's name of the sensor, its unit (None: the sensor's own) and its time.

    `observed_at` is None where the format carries no time; the time of receipt stands in for it. `reasons` are what
    the sender itself says of the value (`twin.readings.Reason`: device_alarm, device_status, historical).
    """

    name: str
    observed_at: datetime | None
    value: float
    unit: str | None = None
    seq: int | None = None
    reasons: tuple[str, ...] = ()


class Refused(msgspec.Struct, frozen=True, gc=False):
    """One item of a readable message that cannot be a reading: its name if it has one, and its fields as sent."""

    name: str | None
    reason: Refusal
    detail: str
    item: object


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """What a message held. `gateway` is who sent it; `many` says whether the format may carry several readings.

    `events` are what devices say of themselves (their `detail` is the sender's own words). `stale` are the external
    names whose last values are void from now on. `commands` go back to the sender once the message is durable.
    `is_news` says that a message without readings is nothing wrong (a birth, a death, a status). Each gets lists of its
    own.
    """

    gateway: str
    readings: list[RawReading] = []
    refused: list[Refused] = []
    many: bool = False
    events: list[Event] = []
    stale: list[str] = []
    commands: list[Command] = []
    is_news: bool = False

    @property
    def is_remarkable(self) -> bool:
        """Whether it holds more than readings."""
        return bool(self.refused or self.events or self.stale or self.commands)


class Decoder(Protocol):
    """Reads one payload format."""

    def decode(self, topic: str, payload: bytes, received_at: datetime) -> Decoded:
        """Return what the message holds, or raise UndecodableError."""
        ...


class AllNames(frozenset[str]):
    """Stands for every external name there is: a decoder that is told so reads all that a message holds."""

    def __contains__(self, name: object) -> bool:
        """Return true."""
        return True


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a decoder is told of its source: `names` are the external names somebody mapped to a sensor."""

    template: TopicTemplate
    names: frozenset[str] = frozenset()
    zero_if_absent: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
