"""Where in an INP something stands, so that a complaint can name the line."""

from __future__ import annotations

import re

_SECTION = re.compile(r"\bin (\[\w+\]) section:")
_RULE = re.compile(r"\bof Rule (\S+):")
_DUPLICATE = "Error 215"
_NAMED = re.compile(r"(?P<kind>tank node|with ID:|pump|valve|curve|pattern|link|node)\s+(?P<name>\S+)$", re.IGNORECASE)
_SECTIONS_OF = {
    "tank node": ("[TANKS]",),
    "with id:": ("[JUNCTIONS]", "[TANKS]", "[RESERVOIRS]"),
    "node": ("[JUNCTIONS]", "[TANKS]", "[RESERVOIRS]"),
    "link": ("[PIPES]", "[PUMPS]", "[VALVES]"),
    "pump": ("[PUMPS]",),
    "valve": ("[VALVES]",),
    "curve": ("[CURVES]",),
    "pattern": ("[PATTERNS]",),
}


def line_of(inp: str, sections: tuple[str, ...], name: str) -> int | None:
    """Return the number (from 1) of the first line of `sections` that begins with the word `name`."""
    return next((number for number, section, words in _rows(inp) if section in sections and words[0] == name), None)


def line_of_complaint(inp: str, complaint: str, culprit: str) -> int | None:
    """Return the line that EPANET complains about: its message, and the line it repeats below (or nothing)."""
    wanted = culprit.split()
    section, rule = _SECTION.search(complaint), _RULE.search(complaint)
    if rule is not None:
        return _line_of_rule(inp, rule[1], wanted)
    if wanted:
        found = [
            number
            for number, of, words in _rows(inp)
            if words == wanted and (section is None or of.startswith(section[1]))
        ]
        return (found[-1] if _DUPLICATE in complaint else found[0]) if found else None
    named = _NAMED.search(complaint.strip())
    return line_of(inp, _SECTIONS_OF[named["kind"].lower()], named["name"]) if named else None


def _line_of_rule(inp: str, rule: str, wanted: list[str]) -> int | None:
    """Return the line of a clause in its own rule: many rules repeat a clause."""
    at_rule = False
    for number, section, words in _rows(inp):
        if not section.startswith("[RULES]"):
            continue
        if words[0].upper() == "RULE":
            at_rule = words[1:2] == [rule]
        if at_rule and words == wanted:
            return number
    return None


def _rows(inp: str) -> list[tuple[int, str, list[str]]]:
    """Return number, section and words of each line that has words."""
    rows, section = [], ""
    for number, line in enumerate(inp.splitlines(), start=1):
        words = line.split()
        if words and words[0].startswith("["):
            section = words[0]
        elif words:
            rows.append((number, section, words))
    return rows
