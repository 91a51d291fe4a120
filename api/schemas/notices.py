"""Notices as the staff sees them; the public sees the published steps only (`api.channels`)."""

from __future__ import annotations

from datetime import datetime

from api.auth import Caller, Role
from api.schemas.base import Out, example
from twin.incidents import IncidentKind, Severity
from twin.notices import Notice, NoticeState, NoticeStatus


class NoticeTextOut(Out):
    """The words in one language."""

    headline: str
    description: str
    instruction: str


class RevisionOut(Out):
    """A published step."""

    number: int
    state: NoticeState
    sent_at: datetime
    texts: dict[str, NoticeTextOut]
    starts_at: datetime | None
    ends_at: datetime | None
    connection_count: int


_TEXTS = {"en": {"headline": "Water cut", "description": "From 01:00 there is no water.", "instruction": "Store some."}}


class NoticeOut(Out):
    """What the public is told about an incident: `texts` of the next step, `revisions` as published."""

    model_config = example(
        {
            "notice_id": "n-1",
            "incident_id": "i-1",
            "kind": "outage_predicted",
            "status": "actual",
            "severity": "severe",
            "state": "published",
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:05:00Z",
            "texts": _TEXTS,
            "starts_at": "2026-01-01T01:00:00Z",
            "ends_at": None,
            "streets": ["Rua de Camões"],
            "connections": 41,
            "connection_ids": None,
            "approved_by": "night shift",
            "revisions": [
                {
                    "number": 1,
                    "state": "published",
                    "sent_at": "2026-01-01T00:05:00Z",
                    "texts": _TEXTS,
                    "starts_at": "2026-01-01T01:00:00Z",
                    "ends_at": None,
                    "connection_count": 41,
                }
            ],
        }
    )

    notice_id: str
    incident_id: str
    kind: IncidentKind
    status: NoticeStatus
    severity: Severity
    state: NoticeState
    created_at: datetime
    updated_at: datetime
    texts: dict[str, NoticeTextOut]
    starts_at: datetime | None
    ends_at: datetime | None
    streets: list[str]
    connections: int
    connection_ids: list[str] | None
    approved_by: str
    revisions: list[RevisionOut]


def notice_out(notice: Notice, caller: Caller) -> NoticeOut:
    """Show a notice to a caller; the ids of connections to operators only."""
    sees_ids = caller.may(Role.OPERATOR)
    plain = {name: getattr(notice, name) for name in NoticeOut.model_fields if hasattr(notice, name)}
    return NoticeOut.model_validate(
        {
            **plain,
            "texts": dict(notice.texts),
            "streets": list(notice.streets),
            "revisions": [RevisionOut.model_validate(revision) for revision in notice.revisions],
            "connections": len(notice.connection_ids),
            "connection_ids": list(notice.connection_ids) if sees_ids else None,
        }
    )
