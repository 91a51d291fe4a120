"""The public notices as plain JSON values. What could point at a person or a valve never gets in here.

An item has words, streets, districts, the window and the count of connections from 15 up: no ids of connections,
customers or nodes, no approver, no incident of any kind that people are not told of.
"""

from __future__ import annotations

from typing import Any

from twin.clock import format_time
from twin.customers import public_count
from twin.errors import ConflictError
from twin.notices import Notice


def to_public_item(notice: Notice, *, base_url: str) -> dict[str, Any]:
    """Return a public notice as it was last published.

    Raises:
        ConflictError: If it was never published.
    """
    if not notice.is_public or not notice.revisions:
        raise ConflictError(f"notice {notice.notice_id} is {notice.state}: only published notices are public")
    revision = notice.revisions[-1]
    return {
        "notice_id": notice.notice_id,
        "kind": str(notice.kind),
        "status": str(notice.status),
        "state": str(revision.state),
        "severity": str(notice.severity),
        "revision": revision.number,
        "published_at": format_time(notice.revisions[0].sent_at),
        "updated_at": format_time(revision.sent_at),
        "starts_at": format_time(revision.starts_at) if revision.starts_at else None,
        "ends_at": format_time(revision.ends_at) if revision.ends_at else None,
        "connections": public_count(revision.connection_count),
        "streets": list(notice.streets),
        "districts": list(notice.districts),
        "texts": {
            language: {"headline": text.headline, "description": text.description, "instruction": text.instruction}
            for language, text in revision.texts.items()
        },
        "cap": f"{base_url.rstrip('/')}/public/notices/{notice.notice_id}.cap",
    }
