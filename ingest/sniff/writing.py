"""Write proposals as a mappings file: what is certain as TOML, what a person must decide as comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ingest.sniff.identity import WMBUSMETERS
from ingest.sniff.proposal import Proposal, Seen, Unread
from ingest.sniff.words import is_about_device, is_known_unit, is_of_the_past, unit_in_name

_LONGEST_ID = 120
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")


def write_mappings(proposals: Sequence[Proposal], unread: Sequence[Unread]) -> str:
    """Return the text of a mappings file, which `ingest.mappings.parse_mappings` accepts if each source is sound."""
    ids: set[str] = set()
    head = (
        "# Proposed by `h2twin ingest sniff`. Check every line: sensor ids are proposals, and a unit that no message\n"
        "# states is the unit you register the sensor with. Then: `h2twin import sensors FILE` with the ids you chose\n"
        "# (docs/readings.md), TWIN_MAPPINGS=this file, and start h2twin again.\n"
    )
    parts = [head, *(_source(proposal, ids) for proposal in proposals), *(_unread(one) for one in unread)]
    return "\n".join(parts)


def write_source(proposal: Proposal) -> str:
    """Return the text of one source."""
    return _source(proposal, set())


def quoted(text: str) -> str:
    """Return text as a TOML basic string."""
    written = "".join(f"\\{sign}" if sign in '"\\' else sign if sign.isprintable() else _escaped(sign) for sign in text)
    return f'"{written}"'


def is_writable(text: str) -> bool:
    """Whether TOML can hold the text (half a surrogate pair it cannot)."""
    return not any(0xD800 <= ord(sign) <= 0xDFFF for sign in text)


def _escaped(sign: str) -> str:
    return f"\\u{ord(sign):04X}" if ord(sign) < 0x10000 else f"\\U{ord(sign):08X}"


def _source(proposal: Proposal, ids: set[str]) -> str:
    seen = [one for one in proposal.seen.values() if is_writable(one.name)]
    unwanted = {one.name: why for one in seen if (why := _why_unwanted(one.name, proposal.decoder))}
    lines = [
        f"# {proposal.topics} topics, {proposal.readable} of {proposal.messages} messages can be read",
        *(f"# Decide: {doubt}" for doubt in proposal.doubts),
        "[[source]]",
        f"topic = {quoted(proposal.topic)}",
        f"decoder = {quoted(proposal.decoder)}",
    ]
    if proposal.options:
        lines += ["", "[source.options]", *(f"{key} = {_toml(value)}" for key, value in proposal.options.items())]
    lines += ["", "[source.sensors]"]
    for one in seen:
        line = f"{quoted(one.name)} = {quoted(_sensor_id(one.name, ids))}  # {_words_on(one, proposal)}"
        lines.append(f"# {line}; {unwanted[one.name]}" if one.name in unwanted else line)
    if len(unwanted) == len(seen):  # a source without sensors would be refused
        lines = [line if line.startswith("#") or not line else f"# {line}" for line in lines]
        lines.insert(1, "# Decide: nothing in it looks like a measurement; take the comments away where it is")
    return "\n".join(lines) + "\n"


def _why_unwanted(name: str, decoder: str) -> str:
    """Return why a value is not proposed, or nothing."""
    if is_about_device(name):
        return "tells of the device, not of the water"
    if decoder == WMBUSMETERS and is_of_the_past(name.partition("/")[2]):
        return "is of an earlier date than its message"
    return ""


def _words_on(one: Seen, proposal: Proposal) -> str:
    unit = one.unit
    if unit is None:
        guess = unit_in_name(one.name)
        said = "unit not stated" if guess is None else f"unit not stated, {guess} by its name"
        return f"{one.value:g}; {said}"
    by_name = "by its name: " if _is_guessed(one, proposal) else ""
    unknown = "" if is_known_unit(unit) else "; Decide: h2twin does not know this unit"
    return f"{one.value:g} {by_name}{_plain(unit)}{unknown}"


def _is_guessed(one: Seen, proposal: Proposal) -> bool:
    fields = proposal.options.get("fields")
    return isinstance(fields, Mapping) and one.unit in fields.values()


def _sensor_id(name: str, ids: set[str]) -> str:
    base = _NOT_IN_ID.sub("-", name).strip("-")[-_LONGEST_ID:] or "sensor"
    chosen, number = base, 1
    while chosen in ids:
        number += 1
        chosen = f"{base}-{number}"
    ids.add(chosen)
    return chosen


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        pairs = (f"{quoted(str(key))} = {_toml(item)}" for key, item in value.items() if is_writable(str(key)))
        return "{ " + ", ".join(pairs) + " }"
    return quoted(str(value))


def _unread(one: Unread) -> str:
    return f"# Not read: {_plain(one.topic)} ({one.topics} topics, {one.messages} messages): {_plain(one.why)}\n"


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:300]
