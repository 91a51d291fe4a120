"""What happened around the readings."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example
from twin.events import EventKind


class EventOut(Out):
    """One episode: what happened again and again with the same subject, `times_seen` times. `detail` is the first's."""

    model_config = example(
        {
            "event_id": 12,
            "kind": "forged_identity",
            "subject": "h2/gw1/P-1",
            "first_at": "2026-01-01T00:00:02Z",
            "last_at": "2026-01-01T00:14:40Z",
            "times_seen": 31,
            "is_security": True,
            "detail": "sensor 'P-1' belongs to gateway 'gw2'",
        }
    )

    event_id: int
    kind: EventKind
    subject: str
    first_at: datetime
    last_at: datetime
    times_seen: int
    is_security: bool
    detail: str
