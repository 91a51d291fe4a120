"""What the public is told about an incident: draft, approved, published, updated, all-clear.

The life cycle is a table; every step makes a new frozen notice, and the published steps form a chain (`revisions`)
that CAP's `references` and the feeds are made from. Words are written by a `NoticeWriter` outside this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from twin.errors import ConflictError
from twin.incidents import IncidentKind, Severity


class NoticeState(StrEnum):
    """Where a notice stands."""

    DRAFT = "draft"
    APPROVED = "approved"
    PUBLISHED = "published"
    UPDATED = "updated"
    ALL_CLEAR = "all_clear"
    REPLACED = "replaced"  # ended because another notice took over: the trouble is not over
    CANCELLED = "cancelled"  # withdrawn before it was ever published


class NoticeStatus(StrEnum):
    """CAP's status: whether this is for real. Demo and replay make exercises only."""

    ACTUAL = "actual"
    EXERCISE = "exercise"


IN_FORCE = frozenset({NoticeState.PUBLISHED, NoticeState.UPDATED})
PUBLIC_STATES = IN_FORCE | {NoticeState.ALL_CLEAR, NoticeState.REPLACED}
UNFINISHED = IN_FORCE | {NoticeState.DRAFT, NoticeState.APPROVED}

_STEPS: Mapping[NoticeState, frozenset[NoticeState]] = {
    NoticeState.DRAFT: frozenset({NoticeState.APPROVED, NoticeState.CANCELLED}),
    NoticeState.APPROVED: frozenset({NoticeState.PUBLISHED, NoticeState.CANCELLED}),
    NoticeState.PUBLISHED: frozenset({NoticeState.UPDATED, NoticeState.ALL_CLEAR, NoticeState.REPLACED}),
    NoticeState.UPDATED: frozenset({NoticeState.UPDATED, NoticeState.ALL_CLEAR, NoticeState.REPLACED}),
    NoticeState.ALL_CLEAR: frozenset(),
    NoticeState.REPLACED: frozenset(),
    NoticeState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class NoticeText:
    """The words of a notice in one language: plain, complete, without markup."""

    headline: str
    description: str
    instruction: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One published step of a notice: what was said, when. `number` counts from 1."""

    number: int
    state: NoticeState
    sent_at: datetime
    texts: Mapping[str, NoticeText]
    starts_at: datetime | None
    ends_at: datetime | None
    connection_count: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What the public is told about one incident.

    `texts` maps a language (pt, en) to the words of the next step; `revisions` are the steps already published.
    """

    notice_id: str
    incident_id: str
    kind: IncidentKind
    status: NoticeStatus
    severity: Severity
    state: NoticeState
    created_at: datetime
    updated_at: datetime
    texts: Mapping[str, NoticeText]
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    node_ids: tuple[str, ...] = ()
    connection_ids: tuple[str, ...] = ()
    streets: tuple[str, ...] = ()
    approved_by: str = ""
    revisions: tuple[Revision, ...] = field(default=())
    districts: tuple[str, ...] = ()
    confidence: float | None = None

    @property
    def is_public(self) -> bool:
        """Whether the notice has been published (an all-clear still is public)."""
        return self.state in PUBLIC_STATES

    @property
    def is_in_force(self) -> bool:
        """Whether the notice is public and not over."""
        return self.state in IN_FORCE


def step(notice: Notice, to: NoticeState, *, now: datetime, by: str) -> Notice:
    """Take the notice to state `to`; a public state appends a revision with the present texts.

    Raises:
        ConflictError: If the life cycle does not allow the step; the message names the steps it allows.
    """
    allowed = _STEPS[notice.state]
    if to not in allowed:
        names = ", ".join(sorted(allowed)) or "none"
        raise ConflictError(f"notice {notice.notice_id} is {notice.state}; it cannot become {to} (allowed: {names})")
    moved = replace(notice, state=to, updated_at=now)
    if to is NoticeState.APPROVED:
        return replace(moved, approved_by=by)
    if to not in PUBLIC_STATES:
        return moved
    revision = Revision(
        number=len(notice.revisions) + 1,
        state=to,
        sent_at=now,
        texts=notice.texts,
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
        connection_count=len(notice.connection_ids),
    )
    return replace(moved, revisions=(*notice.revisions, revision))
