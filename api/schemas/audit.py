"""The audit log."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example


class AuditEntryOut(Out):
    """Who did what to which thing, when."""

    model_config = example(
        {
            "at": "2026-01-01T00:05:00Z",
            "actor": "night shift (0a1b2c3d4e5f)",
            "action": "incident.acknowledge",
            "subject": "i-1",
            "detail": "",
        }
    )

    at: datetime
    actor: str
    action: str
    subject: str
    detail: str
