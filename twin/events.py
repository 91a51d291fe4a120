"""What happened around the readings: devices' alarms, suspicious senders, stores that fill up.

An event is an episode: what happens again and again with the same subject is one event that grows, not a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class EventKind(StrEnum):
    """What happened. The values are stable."""

    DEVICE_ALARM = "device_alarm"  # subject: the device; it says that it is broken, empty, frozen, tampered with
    DEVICE_STATUS = "device_status"  # subject: the device; battery low, restarted, went offline by its own word
    SENSOR_STALE = "sensor_stale"  # subject: the gateway or node that says its sensors are dead
    CLOCK_SKEW = "clock_skew"  # subject: the gateway
    UNIT_SUSPECT = "unit_suspect"  # subject: the sensor
    RATE_LIMITED = "rate_limited"  # subject: the gateway
    FORGED_IDENTITY = "forged_identity"  # subject: the topic
    REPLAYED = "replayed"  # subject: the gateway
    STORE_FILLING = "store_filling"  # subject: the store
    POISON_MESSAGE = "poison_message"  # subject: the topic


SECURITY = frozenset({EventKind.RATE_LIMITED, EventKind.FORGED_IDENTITY, EventKind.REPLAYED})
"""Kinds that mean somebody or something sends what it must not."""

TROUBLE = frozenset({EventKind.CLOCK_SKEW, EventKind.UNIT_SUSPECT, EventKind.STORE_FILLING, EventKind.POISON_MESSAGE})
"""Kinds that make readings wrong, or keep them from being stored, until somebody mends something."""

EPISODE = timedelta(hours=1)
"""The same kind and subject again within this time prolongs the event; after it a new one begins."""


@dataclass(frozen=True, slots=True)
class Event:
    """One episode. `event_id` is 0 until it is kept; `detail` is that of its first time."""

    kind: EventKind
    subject: str
    first_at: datetime
    last_at: datetime
    detail: str = ""
    times_seen: int = 1
    event_id: int = 0

    @property
    def is_security(self) -> bool:
        """Whether it belongs in front of whoever guards the installation."""
        return self.kind in SECURITY


def event(kind: EventKind, subject: str, at: datetime, detail: str = "") -> Event:
    """Return the event of something that just happened once."""
    return Event(kind, subject, at, at, detail)
