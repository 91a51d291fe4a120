"""Messages that could not become readings."""

from __future__ import annotations

import base64
from datetime import datetime

from api.schemas.base import Out, example
from twin.ports import DeadLetter


class DeadLetterOut(Out):
    """A message as it came, with the reason; `payload_b64` instead of `payload` where it is no text."""

    model_config = example(
        {
            "id": 7,
            "received_at": "2026-01-01T00:00:02Z",
            "topic": "h2/g1/P9",
            "payload": '{"value": 1}',
            "payload_b64": None,
            "reason": "unknown_sensor",
            "detail": "there is no sensor 'P9'",
            "times_seen": 3,
        }
    )

    id: int
    received_at: datetime
    topic: str
    payload: str | None
    payload_b64: str | None
    reason: str
    detail: str
    times_seen: int


def dead_letter_out(letter: DeadLetter) -> DeadLetterOut:
    """Show a dead letter."""
    try:
        text: str | None = letter.payload.decode()
    except UnicodeDecodeError:
        text = None
    return DeadLetterOut(
        id=letter.letter_id,
        received_at=letter.received_at,
        topic=letter.topic,
        payload=text,
        payload_b64=None if text is not None else base64.b64encode(letter.payload).decode(),
        reason=letter.reason,
        detail=letter.detail,
        times_seen=letter.times_seen,
    )
