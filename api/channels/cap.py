"""Notices as Common Alerting Protocol 1.2 messages (OASIS Standard CAP-v1.2), checked against its schema.

How the steps of a notice become messages (section 3.2.1 of the standard):

| step      | msgType | responseType     | why                                                                     |
|-----------|---------|------------------|-------------------------------------------------------------------------|
| published | Alert   | Prepare/Monitor… | initial information                                                     |
| updated   | Update  | same             | updates and supersedes the messages named in `references`               |
| all-clear | Update  | AllClear         | supersedes them too, and people must read it: the trouble is over, and |
|           |         |                  | what to do now is in `instruction`; it expires after two hours          |
| replaced  | Cancel  | None             | takes them back: another notice is in force about the same cause        |

`references` names every earlier message. An unknown end gives no `expires`: nobody may take the trouble for over.
A count of connections appears as a parameter from 15 up. Times are `+00:00` in whole seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import as_file, files

from lxml import etree

from api.channels.texts import place_in_words, without_control_characters
from twin.clock import as_utc
from twin.customers import public_count
from twin.errors import ConflictError, InputError
from twin.incidents import IncidentKind, Severity
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText, Revision

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
MEDIA_TYPE = "application/cap+xml"
ALL_CLEAR_LASTS = timedelta(hours=2)

_LANGUAGES = {"pt": "pt-PT", "en": "en"}
_MESSAGE_TYPES = {
    NoticeState.PUBLISHED: "Alert",
    NoticeState.UPDATED: "Update",
    NoticeState.ALL_CLEAR: "Update",
    NoticeState.REPLACED: "Cancel",
}
_CATEGORIES = {
    IncidentKind.OUTAGE_PREDICTED: "Infra",
    IncidentKind.OUTAGE_OBSERVED: "Infra",
    IncidentKind.FLOOD_PREDICTED: "Met",
}
_EVENTS = {
    IncidentKind.OUTAGE_PREDICTED: {"pt": "Interrupção do abastecimento de água", "en": "Water supply interruption"},
    IncidentKind.OUTAGE_OBSERVED: {"pt": "Interrupção do abastecimento de água", "en": "Water supply interruption"},
    IncidentKind.FLOOD_PREDICTED: {"pt": "Inundação", "en": "Flood"},
}
_RESPONSES = {
    IncidentKind.OUTAGE_PREDICTED: "Prepare",
    IncidentKind.OUTAGE_OBSERVED: "Execute",
    IncidentKind.FLOOD_PREDICTED: "Avoid",
}
_SEVERITIES = {
    Severity.MINOR: "Minor",
    Severity.MODERATE: "Moderate",
    Severity.SEVERE: "Severe",
    Severity.EXTREME: "Extreme",
}
_FORBIDDEN_IN_NAMES = re.compile(r"[\s,<&]")


@dataclass(frozen=True, slots=True)
class Area:
    """Where a message applies: words (else the notice's streets or districts), and WGS84 polygons where known.

    A polygon is a closed ring of (latitude, longitude) in degrees. Models in local coordinates have none.
    """

    description: str = ""
    polygons: Sequence[Sequence[tuple[float, float]]] = ()


def to_cap(notice: Notice, *, sender: str, base_url: str, area: Area | None = None) -> bytes:
    """Return the newest step of a public notice as a CAP 1.2 message, valid by the schema.

    `base_url` is the address of the public pages, for the `web` link.

    Raises:
        ConflictError: If the notice was never published.
        InputError: If sender or id cannot stand in a CAP message, or the message is not valid.
    """
    if not notice.is_public or not notice.revisions:
        raise ConflictError(f"notice {notice.notice_id} is {notice.state}: only published notices have a CAP message")
    for name in (sender, notice.notice_id):
        if not name or _FORBIDDEN_IN_NAMES.search(name):
            raise InputError(f"{name!r} cannot stand in CAP: no space, comma, < or & is allowed")
    revision = notice.revisions[-1]
    alert = etree.Element(f"{{{NAMESPACE}}}alert", nsmap={None: NAMESPACE})  # type: ignore[dict-item]
    _add(alert, "identifier", identifier_of(notice, revision))
    _add(alert, "sender", sender)
    _add(alert, "sent", cap_time(revision.sent_at))
    _add(alert, "status", "Exercise" if notice.status is NoticeStatus.EXERCISE else "Actual")
    _add(alert, "msgType", _MESSAGE_TYPES[revision.state])
    _add(alert, "scope", "Public")
    earlier = [f"{sender},{identifier_of(notice, r)},{cap_time(r.sent_at)}" for r in notice.revisions[:-1]]
    if earlier:
        _add(alert, "references", " ".join(earlier))
    _add(alert, "incidents", notice.incident_id)
    for language, text in sorted(revision.texts.items(), key=lambda item: item[0] != "pt"):
        web = f"{base_url.rstrip('/')}/public/notices/{notice.notice_id}.cap"
        _add_info(alert, notice, revision, language, text, web, area or Area())
    validate(alert)
    return etree.tostring(alert, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def validate(alert: etree._Element) -> None:
    """Return if a message is valid by the CAP 1.2 schema.

    Raises:
        InputError: If it is not; the message says where.
    """
    schema = _schema()
    if not schema.validate(alert):
        raise InputError(f"not a valid CAP 1.2 message: {schema.error_log}")


def identifier_of(notice: Notice, revision: Revision) -> str:
    """Return the identifier of one message of the notice."""
    return f"{notice.notice_id}.{revision.number}"


def cap_time(moment: datetime) -> str:
    """Write a moment as CAP wants it: `+00:00` and whole seconds."""
    return as_utc(moment).replace(microsecond=0).isoformat()


def _add_info(
    alert: etree._Element,
    notice: Notice,
    revision: Revision,
    language: str,
    text: NoticeText,
    web: str,
    area: Area,
) -> None:
    over = revision.state in {NoticeState.ALL_CLEAR, NoticeState.REPLACED}
    info = _add(alert, "info")
    _add(info, "language", _LANGUAGES.get(language, language))
    _add(info, "category", _CATEGORIES.get(notice.kind, "Infra"))
    _add(info, "event", _EVENTS[notice.kind]["pt" if language == "pt" else "en"])
    _add(info, "responseType", _response(notice, revision))
    _add(info, "urgency", _urgency(revision))
    _add(info, "severity", "Minor" if over else _SEVERITIES[notice.severity])
    _add(info, "certainty", _certainty(notice))
    _add(info, "effective", cap_time(revision.sent_at))
    if revision.starts_at is not None and not over:
        _add(info, "onset", cap_time(revision.starts_at))
    expires = _expires(revision)
    if expires is not None:
        _add(info, "expires", cap_time(expires))
    _add(info, "headline", text.headline)
    _add(info, "description", text.description)
    _add(info, "instruction", text.instruction)
    _add(info, "web", web)
    count = public_count(revision.connection_count)
    if count is not None:
        parameter = _add(info, "parameter")
        _add(parameter, "valueName", "connections")
        _add(parameter, "value", str(count))
    where = _add(info, "area")
    _add(where, "areaDesc", area.description or place_in_words("pt" if language == "pt" else "en", notice))
    for polygon in area.polygons:
        _add(where, "polygon", _ring(polygon))


def _response(notice: Notice, revision: Revision) -> str:
    if revision.state is NoticeState.ALL_CLEAR:
        return "AllClear"
    return "None" if revision.state is NoticeState.REPLACED else _RESPONSES[notice.kind]


def _urgency(revision: Revision) -> str:
    """Return how soon to act: at once when it has begun, Expected within the hour, Future later."""
    if revision.state in {NoticeState.ALL_CLEAR, NoticeState.REPLACED}:
        return "Past"
    if revision.starts_at is None:
        return "Unknown"
    ahead = revision.starts_at - revision.sent_at
    if ahead <= timedelta(0):
        return "Immediate"
    return "Expected" if ahead <= timedelta(hours=1) else "Future"


def _certainty(notice: Notice) -> str:
    """Return CAP's word: Observed for what is there, Likely above 50 %, else Possible (Unlikely near nothing)."""
    if notice.kind is IncidentKind.OUTAGE_OBSERVED:
        return "Observed"
    if notice.confidence is None:
        return "Unknown"
    if notice.confidence > 0.5:
        return "Likely"
    return "Possible" if notice.confidence > 0.05 else "Unlikely"


def _expires(revision: Revision) -> datetime | None:
    if revision.state is NoticeState.ALL_CLEAR:
        return revision.sent_at + ALL_CLEAR_LASTS
    if revision.ends_at is None or revision.ends_at <= revision.sent_at:
        return None
    return revision.ends_at


def _ring(polygon: Sequence[tuple[float, float]]) -> str:
    in_range = all(abs(latitude) <= 90 and abs(longitude) <= 180 for latitude, longitude in polygon)
    if len(polygon) < 4 or polygon[0] != polygon[-1] or not in_range:
        raise InputError("a CAP polygon is a closed ring of at least four WGS84 (latitude, longitude) pairs")
    return " ".join(f"{latitude:.6f},{longitude:.6f}" for latitude, longitude in polygon)


def _add(parent: etree._Element, name: str, text: str = "") -> etree._Element:
    element = etree.SubElement(parent, f"{{{NAMESPACE}}}{name}")
    if text:
        element.text = without_control_characters(text)
    return element


@cache
def _schema() -> etree.XMLSchema:
    with as_file(files("api.channels") / "schemas" / "CAP-v1.2.xsd") as path:
        return etree.XMLSchema(etree.parse(str(path)))
