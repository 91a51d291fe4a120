"""Notices as everybody may read them."""

from __future__ import annotations

from datetime import datetime

from api.schemas.base import Out, example
from api.schemas.notices import NoticeTextOut

_ITEM = {
    "notice_id": "n-1",
    "kind": "outage_predicted",
    "status": "actual",
    "state": "published",
    "severity": "severe",
    "revision": 1,
    "published_at": "2026-01-01T00:05:00Z",
    "updated_at": "2026-01-01T00:05:00Z",
    "starts_at": "2026-01-01T01:00:00Z",
    "ends_at": None,
    "connections": 41,
    "streets": ["Rua de Camões"],
    "districts": ["D1"],
    "texts": {
        "en": {"headline": "Water cut", "description": "From 01:00 there is no water.", "instruction": "Store some."}
    },
    "cap": "https://water.example.org/public/notices/n-1.cap",
}


class PublicNoticeOut(Out):
    """A published notice; `connections` null: none, or fewer than 15."""

    model_config = example(_ITEM)

    notice_id: str
    kind: str
    status: str
    state: str
    severity: str
    revision: int
    published_at: datetime
    updated_at: datetime
    starts_at: datetime | None
    ends_at: datetime | None
    connections: int | None
    streets: list[str]
    districts: list[str]
    texts: dict[str, NoticeTextOut]
    cap: str


class PublicNoticesOut(Out):
    """Notices in force, and those that ended within a week."""

    model_config = example({"exercise": False, "items": [_ITEM], "next_cursor": None})

    exercise: bool
    items: list[PublicNoticeOut]
    next_cursor: str | None
