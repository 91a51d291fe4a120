"""A message as the broker handed it over."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Message(msgspec.Struct, frozen=True, gc=False):
    """Bytes on a topic, and when they reached us (aware UTC).

    `is_redelivery` says that the broker may have handed it over before (DUP): it is then nobody's repetition.
    `missing` bytes at the end of the payload were too many to be kept: such a message cannot be read.
    """

    topic: str
    payload: bytes
    received_at: datetime
    is_redelivery: bool = False
    missing: int = 0
