"""The life cycle of a notice."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from twin.errors import ConflictError
from twin.incidents import IncidentKind, Severity
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText, step

T0 = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)
S = NoticeState

ALLOWED = {
    (S.DRAFT, S.APPROVED),
    (S.DRAFT, S.CANCELLED),
    (S.APPROVED, S.PUBLISHED),
    (S.APPROVED, S.CANCELLED),
    (S.PUBLISHED, S.UPDATED),
    (S.PUBLISHED, S.ALL_CLEAR),
    (S.PUBLISHED, S.REPLACED),
    (S.UPDATED, S.UPDATED),
    (S.UPDATED, S.ALL_CLEAR),
    (S.UPDATED, S.REPLACED),
}


def a_notice(state: NoticeState) -> Notice:
    texts = {"pt": NoticeText("h", "d", "i")}
    return Notice(
        "n1", "i1", IncidentKind.OUTAGE_OBSERVED, NoticeStatus.ACTUAL, Severity.MODERATE, state, T0, T0, texts
    )


@pytest.mark.parametrize("state", S)
@pytest.mark.parametrize("to", S)
def test_only_the_steps_of_the_life_cycle_are_allowed(state: NoticeState, to: NoticeState) -> None:
    if (state, to) in ALLOWED:
        assert step(a_notice(state), to, now=T0, by="ana").state is to
    else:
        with pytest.raises(ConflictError, match=f"n1 is {state}"):
            step(a_notice(state), to, now=T0, by="ana")


def test_published_steps_form_a_chain_of_what_was_said() -> None:
    notice = step(a_notice(S.DRAFT), S.APPROVED, now=T0, by="ana")
    assert (notice.approved_by, notice.revisions) == ("ana", ())
    notice = step(notice, S.PUBLISHED, now=T0, by="ana")
    reworded = replace(notice, texts={"pt": NoticeText("h2", "d", "i")}, connection_ids=("C1", "C2"))
    notice = step(reworded, S.UPDATED, now=T0 + timedelta(hours=1), by="rule")
    assert [(r.number, r.state, r.texts["pt"].headline, r.connection_count) for r in notice.revisions] == [
        (1, S.PUBLISHED, "h", 0),
        (2, S.UPDATED, "h2", 2),
    ]


@pytest.mark.parametrize(
    ("state", "is_public", "is_in_force"),
    [
        (S.DRAFT, False, False),
        (S.APPROVED, False, False),
        (S.PUBLISHED, True, True),
        (S.UPDATED, True, True),
        (S.ALL_CLEAR, True, False),
        (S.REPLACED, True, False),
        (S.CANCELLED, False, False),
    ],
)
def test_what_is_public_and_what_is_in_force(state: NoticeState, is_public: bool, is_in_force: bool) -> None:
    notice = a_notice(state)
    assert (notice.is_public, notice.is_in_force) == (is_public, is_in_force)
