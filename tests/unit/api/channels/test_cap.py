"""CAP 1.2 messages: valid by the OASIS schema in every state, and saying the right thing."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from api.channels.cap import Area, to_cap, validate
from api.channels.texts import TextWriter
from twin.errors import ConflictError, InputError
from twin.incidents import Incident, IncidentKind, Severity
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText, step

DATA = Path(__file__).parents[3] / "data" / "cap"
T0 = datetime(2026, 1, 10, 6, 0, 0, 123456, tzinfo=UTC)
OBSERVED, PREDICTED, FLOOD = IncidentKind.OUTAGE_OBSERVED, IncidentKind.OUTAGE_PREDICTED, IncidentKind.FLOOD_PREDICTED
S = NoticeState
CAP = {"c": "urn:oasis:names:tc:emergency:cap:1.2"}
LIVES = {
    S.PUBLISHED: (S.APPROVED, S.PUBLISHED),
    S.UPDATED: (S.APPROVED, S.PUBLISHED, S.UPDATED),
    S.ALL_CLEAR: (S.APPROVED, S.PUBLISHED, S.UPDATED, S.ALL_CLEAR),
    S.REPLACED: (S.APPROVED, S.PUBLISHED, S.REPLACED),
}


def a_notice(kind: IncidentKind = OBSERVED, state: NoticeState = S.PUBLISHED, **changes: object) -> Notice:
    """A notice that has lived to `state`, a step an hour."""
    notice = Notice(
        "notice-i1", "i1", kind, NoticeStatus.ACTUAL, Severity.SEVERE, S.DRAFT, T0, T0,
        {"pt": NoticeText("t", "d", "i"), "en": NoticeText("h", "d", "i")},
        T0 + timedelta(hours=30), T0 + timedelta(hours=36), ("A",), ("C1",), ("Rua B", "Rua D"), confidence=0.7,
    )  # fmt: skip
    notice = replace(notice, **changes)  # type: ignore[arg-type]
    for hour, to in enumerate(LIVES[state]):
        notice = step(notice, to, now=T0 + timedelta(hours=hour), by="ana")
    return notice


def parsed(notice: Notice, area: Area | None = None) -> etree._Element:
    return etree.fromstring(to_cap(notice, sender="noc@agua.example", base_url="https://agua.example/", area=area))


def said(alert: etree._Element, name: str) -> list[str]:
    return [str(element.text) for element in alert.iterfind(f".//c:{name}", CAP)]


def test_the_oasis_example_is_valid_by_the_schema_in_use() -> None:
    validate(etree.parse(str(DATA / "cap_amber_alert_example.xml")).getroot())


def test_a_time_with_z_is_not_valid_by_the_schema_in_use() -> None:
    alert = etree.parse(str(DATA / "cap_amber_alert_example.xml")).getroot()
    alert.find("c:sent", CAP).text = "2003-06-11T22:39:00Z"  # type: ignore[union-attr]
    with pytest.raises(InputError, match="sent"):
        validate(alert)


@pytest.mark.parametrize("kind", [OBSERVED, PREDICTED, FLOOD])
@pytest.mark.parametrize("state", LIVES)
@pytest.mark.parametrize("status", NoticeStatus)
@pytest.mark.parametrize("window", [True, False], ids=["window known", "window unknown"])
def test_every_state_of_every_kind_is_valid(
    kind: IncidentKind, state: NoticeState, status: NoticeStatus, window: bool
) -> None:
    unknown = {} if window else {"starts_at": None, "ends_at": None, "streets": (), "confidence": None}
    alert = parsed(a_notice(kind, state, status=status, **unknown))
    assert said(alert, "status") == ["Exercise" if status is NoticeStatus.EXERCISE else "Actual"]
    assert said(alert, "language") == ["pt-PT", "en"]
    for name in ("sent", "effective", "onset", "expires"):
        for text in said(alert, name):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", text)


@pytest.mark.parametrize(
    ("state", "message_type", "response", "earlier"),
    [
        (S.PUBLISHED, "Alert", "Execute", 0),
        (S.UPDATED, "Update", "Execute", 1),
        (S.ALL_CLEAR, "Update", "AllClear", 2),
        (S.REPLACED, "Cancel", "None", 1),
    ],
)
def test_each_step_is_the_message_the_standard_has_for_it(
    state: NoticeState, message_type: str, response: str, earlier: int
) -> None:
    alert = parsed(a_notice(OBSERVED, state))
    assert said(alert, "msgType") == [message_type]
    assert said(alert, "responseType") == [response] * 2
    references = " ".join(said(alert, "references")).split()
    assert len(references) == earlier


def test_references_name_sender_identifier_and_time_of_all_earlier_messages() -> None:
    alert = parsed(a_notice(OBSERVED, S.ALL_CLEAR))
    assert said(alert, "identifier") == ["notice-i1.3"]
    assert said(alert, "references") == [
        "noc@agua.example,notice-i1.1,2026-01-10T07:00:00+00:00 noc@agua.example,notice-i1.2,2026-01-10T08:00:00+00:00"
    ]


@pytest.mark.parametrize(
    ("starts_in_min", "urgency"),
    [(None, "Unknown"), (-5, "Immediate"), (0, "Immediate"), (60, "Expected"), (61, "Future")],
)
def test_urgency_follows_the_start(starts_in_min: int | None, urgency: str) -> None:
    published = T0 + timedelta(hours=1)
    starts = None if starts_in_min is None else published + timedelta(minutes=starts_in_min)
    assert set(said(parsed(a_notice(starts_at=starts)), "urgency")) == {urgency}


@pytest.mark.parametrize(
    ("kind", "confidence", "certainty"),
    [
        (OBSERVED, 0.9, "Observed"),
        (FLOOD, 0.51, "Likely"),
        (FLOOD, 0.5, "Possible"),
        (FLOOD, 0.01, "Unlikely"),
        (PREDICTED, None, "Unknown"),
    ],
)
def test_certainty_follows_the_confidence(kind: IncidentKind, confidence: float | None, certainty: str) -> None:
    assert set(said(parsed(a_notice(kind, confidence=confidence)), "certainty")) == {certainty}


@pytest.mark.parametrize(
    ("ends_in_h", "expires"),
    [(None, []), (6, ["2026-01-10T12:00:00+00:00"] * 2), (0.5, [])],
    ids=["unknown", "known", "already past"],
)
def test_a_message_expires_only_when_the_end_is_known_and_to_come(ends_in_h: float | None, expires: list[str]) -> None:
    ends = None if ends_in_h is None else T0 + timedelta(hours=ends_in_h)
    assert said(parsed(a_notice(ends_at=ends)), "expires") == expires


@pytest.mark.parametrize(("connections", "shown"), [(14, []), (15, ["15", "15"])])
def test_counts_below_fifteen_are_withheld(connections: int, shown: list[str]) -> None:
    notice = a_notice(connection_ids=tuple(f"C{i}" for i in range(connections)))
    assert said(parsed(notice), "value") == shown


def test_no_id_of_a_node_or_connection_gets_out() -> None:
    notice = a_notice(node_ids=("SECRETNODE",), connection_ids=("SECRETCONNECTION",) * 20)
    assert b"SECRET" not in to_cap(notice, sender="a@b", base_url="u")


def test_the_area_names_the_streets_and_has_no_polygon_in_local_coordinates() -> None:
    alert = parsed(a_notice())
    assert said(alert, "areaDesc") == ["Rua B, Rua D"] * 2
    assert said(alert, "polygon") == []


def test_a_known_polygon_is_written_as_latitude_longitude_pairs() -> None:
    ring = ((41.15, -8.62), (41.16, -8.62), (41.16, -8.61), (41.15, -8.62))
    alert = parsed(a_notice(), Area("Bonfim", (ring,)))
    assert said(alert, "areaDesc") == ["Bonfim"] * 2
    assert said(alert, "polygon")[0].split()[0] == "41.150000,-8.620000"


@pytest.mark.parametrize(
    "ring",
    [
        ((41.0, -8.0), (41.0, -8.1), (41.0, -8.0)),
        ((41.0, -8.0), (41.0, -8.1), (41.1, -8.1), (41.1, -8.0)),
        ((141.0, -8.0), (41.0, -8.1), (41.1, -8.1), (141.0, -8.0)),
    ],
    ids=["too few points", "open", "no latitude"],
)
def test_what_is_no_ring_on_the_globe_is_refused(ring: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(InputError, match="closed ring"):
        parsed(a_notice(), Area("x", (ring,)))


def test_a_draft_has_no_message() -> None:
    draft = replace(a_notice(), state=S.DRAFT, revisions=())
    with pytest.raises(ConflictError):
        parsed(draft)


@pytest.mark.parametrize("sender", ["", "a b", "a,b", "a<b", "a&b"])
def test_a_sender_that_would_break_references_is_refused(sender: str) -> None:
    with pytest.raises(InputError, match="cannot stand in CAP"):
        to_cap(a_notice(), sender=sender, base_url="u")


ANY_TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["]]>", "<script>&", "\x00\x01\x1f", "\ud800", "\ufffe\uffff", "\U0001f6b0", "\"'", "&#0;"]
)


@given(headline=ANY_TEXT, description=ANY_TEXT, street=ANY_TEXT)
def test_any_text_makes_a_valid_message_and_legal_text_arrives(headline: str, description: str, street: str) -> None:
    texts = {"pt": NoticeText(headline, description, "i"), "en": NoticeText(headline, description, "i")}
    alert = parsed(a_notice(texts=texts, streets=(street,) if street else ()))
    validate(alert)
    if re.fullmatch(r"[ -~]+", headline):
        assert said(alert, "headline") == [headline] * 2


@given(key=ANY_TEXT, streets=st.lists(ANY_TEXT, max_size=3), kind=st.sampled_from([OBSERVED, PREDICTED, FLOOD]))
def test_written_words_of_any_street_and_cause_are_valid(key: str, streets: list[str], kind: IncidentKind) -> None:
    incident = Incident("i1", kind, key, key, Severity.SEVERE, 0.7, T0, T0)
    notice = a_notice(kind, streets=tuple(streets))
    texts = TextWriter().write(incident, notice=notice, to=S.UPDATED)
    updated = step(replace(notice, texts=texts), S.UPDATED, now=T0 + timedelta(hours=3), by="rule")
    validate(parsed(updated))


@given(offset_min=st.integers(-720, 840), seconds=st.integers(0, 10**8))
def test_times_are_the_same_moment_in_utc(offset_min: int, seconds: int) -> None:
    local = timezone(timedelta(minutes=offset_min))
    starts = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(local)
    (onset, _) = said(parsed(a_notice(starts_at=starts)), "onset")
    assert onset.endswith("+00:00")
    assert datetime.fromisoformat(onset) == starts
