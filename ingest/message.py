"""A message as the broker handed it over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Message:
    """Bytes on a topic, and when they reached us (aware UTC).

    `is_redelivery` says that the broker may have handed it over before (DUP): it is then nobody's repetition.
    """

    topic: str
    payload: bytes
    received_at: datetime
    is_redelivery: bool = False
