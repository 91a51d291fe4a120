"""Notices: look, approve, publish, withdraw.

`ETag` names what a person has seen; a step with `If-Match` is refused when the notice changed in the meantime, so that
nobody approves words they have not read.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.exceptions import HTTPException

from api.auth import Caller, Operator, Viewer, services_of
from api.routes.query import Cursor, Id, Limit
from api.schemas.base import PageOut, page_out
from api.schemas.notices import NoticeOut, notice_out
from api.services import Services
from twin.notices import Notice, NoticeState

router = APIRouter(prefix="/notices", tags=["notices"])

IfMatch = Annotated[str | None, Header(max_length=100, description="The ETag of the notice as it was read.")]


@router.get("")
def list_notices(
    request: Request,
    caller: Viewer,
    state: Annotated[list[NoticeState] | None, Query(description="Only these states; repeat for several.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> PageOut[NoticeOut]:
    """List notices by the time they were made, newest first."""
    page = services_of(request).registry.notices(states=state, limit=limit, cursor=cursor)
    return page_out(page, lambda notice: notice_out(notice, caller))


@router.get("/{notice_id}")
def get_notice(request: Request, response: Response, caller: Viewer, notice_id: Id) -> NoticeOut:
    """Return one notice."""
    notice = services_of(request).registry.notice(notice_id)
    response.headers["ETag"] = f'"{seen_version(notice)}"'
    return notice_out(notice, caller)


@router.post("/{notice_id}/approve")
def approve_notice(request: Request, caller: Operator, notice_id: Id, if_match: IfMatch = None) -> NoticeOut:
    """Approve a draft."""
    return notice_out(take_step(services_of(request), caller, notice_id, "approve", _version(if_match)), caller)


@router.post("/{notice_id}/publish")
def publish_notice(request: Request, caller: Operator, notice_id: Id, if_match: IfMatch = None) -> NoticeOut:
    """Publish an approved notice. A second time is a conflict: nobody is told twice."""
    return notice_out(take_step(services_of(request), caller, notice_id, "publish", _version(if_match)), caller)


@router.post("/{notice_id}/cancel")
def cancel_notice(request: Request, caller: Operator, notice_id: Id, if_match: IfMatch = None) -> NoticeOut:
    """Withdraw a notice that was never published."""
    return notice_out(take_step(services_of(request), caller, notice_id, "cancel", _version(if_match)), caller)


def seen_version(notice: Notice) -> str:
    """Return a short name of exactly these words, people and state."""
    shown = (notice.state, sorted((k, repr(v)) for k, v in notice.texts.items()), notice.starts_at, notice.ends_at)
    content = repr((shown, notice.connection_ids, notice.streets, notice.severity, len(notice.revisions)))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def take_step(services: Services, caller: Caller, notice_id: str, verb: str, seen: str | None) -> Notice:
    """Take a notice one step on, if it still is what the caller has seen (the noticeboard writes the audit)."""
    notice = services.registry.notice(notice_id)
    if seen is not None and seen != seen_version(notice):
        raise HTTPException(412, f"notice {notice_id} changed since you read it: read it again, then decide")
    steps = services.noticeboard
    take = {"approve": steps.approve, "publish": steps.publish, "cancel": steps.cancel}[verb]
    return take(notice_id, by=caller.actor)


def _version(if_match: str | None) -> str | None:
    return None if if_match is None or if_match == "*" else if_match.removeprefix("W/").strip('"')
