"""The words of notices, in plain Portuguese and English. Fulfils `twin.ports.NoticeWriter`.

One template per language and kind of incident (`templates/`), with a block for each part of each step. The words
name streets, else districts, else only how many places; counts of connections below 15 are withheld; ids of nodes
and customers never appear. Times are those of the installation's zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_percent
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from twin.customers import public_count
from twin.incidents import Incident, IncidentKind
from twin.notices import Notice, NoticeState, NoticeStatus, NoticeText

LISBON = ZoneInfo("Europe/Lisbon")
LOCALES: Mapping[str, str] = {"pt": "pt_PT", "en": "en_GB"}
STREETS_NAMED = 20

_TIME_PATTERNS: Mapping[str, str] = {"pt": "EEEE, d 'de' MMMM 'de' y, HH:mm", "en": "EEEE d MMMM y, HH:mm"}
_EXERCISE: Mapping[str, str] = {"pt": "EXERCÍCIO - ", "en": "EXERCISE - "}
_UPDATE: Mapping[str, str] = {"pt": "Atualização: ", "en": "Update: "}
_AND_MORE: Mapping[str, str] = {"pt": "e mais {}", "en": "and {} more"}
_NETWORK: Mapping[str, tuple[str, str]] = {
    "pt": ("rede de abastecimento", "rede de drenagem"),
    "en": ("supply network", "drainage network"),
}
_CAUSES: Mapping[str, str] = {
    "tank_empty": "tank",
    "closed": "closed",
    "pump_down": "pump",
    "low_pressure": "pressure",
}
"""What the first part of a cause key means to people; others are being looked into."""
_UNSEEN = re.compile("[^\t\n\r\u0020-\u007e\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\ufdd0-\ufdef]")


def without_control_characters(text: str) -> str:
    """Return `text` without the characters that XML 1.0 forbids or discourages (controls, lone surrogates)."""
    return _UNSEEN.sub("", text)


class TextWriter:
    """Writes notices in all of `LOCALES`; with `status` exercise every text that is shown says so first."""

    def __init__(self, timezone: ZoneInfo = LISBON, *, status: NoticeStatus = NoticeStatus.ACTUAL) -> None:
        self._timezone = timezone
        self._status = status

    def write(self, incident: Incident, *, notice: Notice, to: NoticeState) -> Mapping[str, NoticeText]:
        """Return the words for taking `notice` to the public state `to`, by language."""
        return {language: self._in_language(language, incident, notice, to) for language in LOCALES}

    def _in_language(self, language: str, incident: Incident, notice: Notice, to: NoticeState) -> NoticeText:
        template = _template(language, incident.kind)
        words = self._words(language, incident, notice, to)
        exercise = NoticeStatus.EXERCISE in (self._status, notice.status)
        mark = _EXERCISE[language] if exercise else ""
        update = _UPDATE[language] if to is NoticeState.UPDATED else ""
        step = {NoticeState.ALL_CLEAR: "all_clear_", NoticeState.REPLACED: "replaced_"}.get(to, "")
        return NoticeText(
            headline=mark + update + _block(template, f"{step}headline", words),
            description=mark + _block(template, f"{step}description", words),
            instruction=mark + _block(template, f"{step}instruction", words),
        )

    def _words(self, language: str, incident: Incident, notice: Notice, to: NoticeState) -> dict[str, object]:
        is_flood = incident.kind is IncidentKind.FLOOD_PREDICTED
        return {
            "where_short": _where_short(language, notice, is_flood=is_flood),
            "n": {
                "streets": [without_control_characters(street) for street in notice.streets[:STREETS_NAMED]],
                "streets_more": max(len(notice.streets) - STREETS_NAMED, 0),
                "districts": [without_control_characters(district) for district in notice.districts],
                "places": len(notice.node_ids),
                "connections": public_count(len(notice.connection_ids)),
                "is_flood": is_flood,
                "is_over": to is NoticeState.ALL_CLEAR,
                "starts": self._time(language, notice.starts_at),
                "ends": self._time(language, notice.ends_at),
                "chance": format_percent(incident.confidence, locale=LOCALES[language]) if is_flood else "",
                "cause": _CAUSES.get(incident.cause_key.split(":")[0], ""),
            },
        }

    def _time(self, language: str, moment: datetime | None) -> str:
        if moment is None:
            return ""
        return format_datetime(moment, _TIME_PATTERNS[language], tzinfo=self._timezone, locale=LOCALES[language])


def place_in_words(language: str, notice: Notice) -> str:
    """Return where a notice is about: all its streets, else its districts, else the network."""
    is_flood = notice.kind is IncidentKind.FLOOD_PREDICTED
    named = notice.streets or notice.districts or (_NETWORK[language][is_flood],)
    return ", ".join(without_control_characters(name) for name in named)


def _where_short(language: str, notice: Notice, *, is_flood: bool) -> str:
    named = notice.streets or notice.districts or (_NETWORK[language][is_flood],)
    first = without_control_characters(named[0])
    return first if len(named) == 1 else f"{first} {_AND_MORE[language].format(len(named) - 1)}"


@cache
def _environment() -> Environment:
    # Plain text, not markup: whoever shows it escapes it (pages and XML do).
    return Environment(
        loader=PackageLoader("api.channels"), undefined=StrictUndefined, autoescape=False, trim_blocks=True
    )


@cache
def _template(language: str, kind: IncidentKind) -> Template:
    return _environment().get_template(f"{language}/{kind}.jinja")


def _block(template: Template, name: str, words: Mapping[str, object]) -> str:
    context = template.new_context({**words, **_phrases(template)})
    return " ".join("".join(template.blocks[name](context)).split())


def _phrases(template: Template) -> dict[str, object]:
    """Return the macros of the template's language: blocks rendered alone do not see the file's imports."""
    language = (template.name or "").split("/")[0]
    module = _environment().get_template(f"{language}/phrases.jinja").module
    return {name: getattr(module, name) for name in ("places", "window", "reason", "chance")}
