"""The public notices as an Atom feed (RFC 4287), each entry with a link to its CAP message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lxml import etree

from api.channels.cap import MEDIA_TYPE, identifier_of
from api.channels.texts import without_control_characters
from twin.clock import format_time
from twin.notices import Notice

NAMESPACE = "http://www.w3.org/2005/Atom"
FEED_MEDIA_TYPE = "application/atom+xml"

_TITLES = {"pt": "Avisos de abastecimento de água e de inundação", "en": "Water supply and flood notices"}


def to_atom(notices: Iterable[Notice], *, base_url: str, author: str, now: datetime, language: str = "pt") -> bytes:
    """Return the feed of the public notices among `notices`, newest first, in one language.

    `now` dates a feed without entries. A notice keeps its entry id through all its steps; `updated` moves.
    """
    base = base_url.rstrip("/")
    public = sorted(
        (notice for notice in notices if notice.is_public and notice.revisions),
        key=lambda notice: (notice.revisions[-1].sent_at, notice.notice_id),
        reverse=True,
    )
    feed = etree.Element(f"{{{NAMESPACE}}}feed", nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    feed.set("{http://www.w3.org/XML/1998/namespace}lang", language)
    _add(feed, "id", f"{base}/public/notices.atom")
    _add(feed, "title", _TITLES.get(language, _TITLES["en"]))
    _add(feed, "updated", format_time(public[0].revisions[-1].sent_at if public else now))
    _add(_add(feed, "author"), "name", author)
    _add(feed, "link", rel="self", type=FEED_MEDIA_TYPE, href=f"{base}/public/notices.atom")
    for notice in public:
        _add_entry(feed, notice, base, language)
    return etree.tostring(feed, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add_entry(feed: etree._Element, notice: Notice, base: str, language: str) -> None:
    revision = notice.revisions[-1]
    text = revision.texts.get(language) or next(iter(revision.texts.values()))
    entry = _add(feed, "entry")
    _add(entry, "id", f"{base}/public/notices/{notice.notice_id}")
    _add(entry, "title", text.headline)
    _add(entry, "published", format_time(notice.revisions[0].sent_at))
    _add(entry, "updated", format_time(revision.sent_at))
    _add(entry, "category", term=str(notice.kind))
    _add(entry, "category", term=str(revision.state), scheme="urn:h2twin:notice-state")
    _add(entry, "summary", f"{text.description} {text.instruction}", type="text")
    _add(
        entry,
        "link",
        rel="alternate",
        type=MEDIA_TYPE,
        href=f"{base}/public/notices/{notice.notice_id}.cap",
        title=identifier_of(notice, revision),
    )


def _add(parent: etree._Element, name: str, text: str = "", **attributes: str) -> etree._Element:
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}", attributes)
    if text:
        element.text = without_control_characters(text)
    return element
