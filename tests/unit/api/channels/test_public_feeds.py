"""The Atom feed and the JSON items: complete for readers, silent about people and valves."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from api.channels.atom import to_atom
from api.channels.json_feed import to_public_item
from twin.errors import ConflictError
from twin.incidents import IncidentKind, Severity
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText, step

T0 = datetime(2026, 1, 10, 6, 0, tzinfo=UTC)
S = NoticeState
ATOM = {"a": "http://www.w3.org/2005/Atom"}


def a_notice(name: str = "n1", *, hour: int = 0, headline: str = "título", connections: int = 3) -> Notice:
    notice = Notice(
        name, "SECRETINCIDENT", IncidentKind.OUTAGE_OBSERVED, NoticeStatus.ACTUAL, Severity.SEVERE, S.DRAFT, T0, T0,
        {"pt": NoticeText(headline, "descrição", "instrução"), "en": NoticeText("headline", "description", "do")},
        T0, None, ("SECRETNODE",), ("SECRETCONNECTION",) * connections, ("Rua B",),
    )  # fmt: skip
    for to in (S.APPROVED, S.PUBLISHED):
        notice = step(notice, to, now=T0 + timedelta(hours=hour), by="SECRETPERSON")
    return notice


def feed(*notices: Notice, language: str = "pt") -> etree._Element:
    return etree.fromstring(
        to_atom(notices, base_url="https://agua.example/", author="Águas", now=T0, language=language)
    )


def said(root: etree._Element, path: str) -> list[str]:
    return [str(element.text) for element in root.iterfind(path, ATOM)]


def test_a_feed_has_what_rfc_4287_requires() -> None:
    root = feed(a_notice())
    for parent in (root, root.find("a:entry", ATOM)):
        assert parent is not None
        for required in ("id", "title", "updated"):
            assert len(parent.findall(f"a:{required}", ATOM)) == 1
    assert said(root, "a:author/a:name") == ["Águas"]
    assert said(root, "a:entry/a:summary") == ["descrição instrução"]


def test_entries_are_newest_first_and_date_the_feed() -> None:
    root = feed(a_notice("old", hour=1), a_notice("new", hour=5), a_notice("middle", hour=3))
    assert [entry.rsplit("/", 1)[1] for entry in said(root, "a:entry/a:id")] == ["new", "middle", "old"]
    assert said(root, "a:updated") == ["2026-01-10T11:00:00Z"]


def test_an_entry_links_to_its_cap_message_and_keeps_its_id_through_updates() -> None:
    first = a_notice()
    updated = step(first, S.UPDATED, now=T0 + timedelta(hours=4), by="rule")
    link = feed(updated).find("a:entry/a:link", ATOM)
    assert link is not None
    assert link.get("href") == "https://agua.example/public/notices/n1.cap"
    assert link.get("type") == "application/cap+xml"
    assert said(feed(first), "a:entry/a:id") == said(feed(updated), "a:entry/a:id")
    assert said(feed(updated), "a:entry/a:published") == ["2026-01-10T06:00:00Z"]
    assert said(feed(updated), "a:entry/a:updated") == ["2026-01-10T10:00:00Z"]


def test_a_feed_without_notices_is_a_feed() -> None:
    assert said(feed(), "a:updated") == ["2026-01-10T06:00:00Z"]
    assert feed().findall("a:entry", ATOM) == []


def test_drafts_are_in_no_feed() -> None:
    draft = replace(a_notice(), state=S.DRAFT, revisions=())
    assert feed(draft).findall("a:entry", ATOM) == []
    with pytest.raises(ConflictError):
        to_public_item(draft, base_url="u")


def test_a_feed_speaks_one_language() -> None:
    assert said(feed(a_notice(), language="en"), "a:entry/a:title") == ["headline"]


@given(st.text(st.characters(), max_size=40))
def test_any_headline_makes_a_well_formed_feed(headline: str) -> None:
    assert len(feed(a_notice(headline=headline)).findall("a:entry", ATOM)) == 1


def test_an_item_says_what_was_published_last() -> None:
    notice = replace(a_notice(), texts={"en": NoticeText("not yet said", "", "")}, starts_at=None)
    item = to_public_item(notice, base_url="https://agua.example/")
    assert item["texts"]["pt"] == {"headline": "título", "description": "descrição", "instruction": "instrução"}
    assert (item["starts_at"], item["ends_at"]) == ("2026-01-10T06:00:00Z", None)
    assert item["cap"] == "https://agua.example/public/notices/n1.cap"


@pytest.mark.parametrize(("connections", "shown"), [(14, None), (15, 15)])
def test_counts_below_fifteen_are_withheld(connections: int, shown: int | None) -> None:
    assert to_public_item(a_notice(connections=connections), base_url="u")["connections"] == shown


def test_nothing_public_names_a_person_a_connection_a_node_or_an_incident() -> None:
    notice = a_notice()
    assert "SECRET" not in json.dumps(to_public_item(notice, base_url="u"))
    assert "SECRET" not in etree.tostring(feed(notice), encoding="unicode")
