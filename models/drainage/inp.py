"""SWMM's input file as sections of lines of tokens, read from anywhere and written back with changes.

The rules are the engine's own: section names in any case and abbreviated, tokens apart by blanks or tabs, double
quotes around a token with blanks in it, everything after `;` a comment. There is no continuation sign in SWMM:
objects continue by repeating their name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twin.errors import InputError

MAX_LINE_CHARS = 1024  # the engine's own limit: beyond it, it refuses the line

# What the engine compares a heading with: it takes a section as known when the heading begins like this.
_HEADINGS = (
    ("TITLE", "TITLE"), ("OPTION", "OPTIONS"), ("FILE", "FILES"), ("EVENT", "EVENTS"), ("RAINGAGE", "RAINGAGES"),
    ("TEMPERATURE", "TEMPERATURE"), ("EVAP", "EVAPORATION"), ("SUBCATCHMENT", "SUBCATCHMENTS"),
    ("SUBAREA", "SUBAREAS"), ("INFIL", "INFILTRATION"), ("AQUIFER", "AQUIFERS"), ("GROUNDWATER", "GROUNDWATER"),
    ("GWF", "GWF"), ("SNOWPACK", "SNOWPACKS"), ("JUNC", "JUNCTIONS"), ("OUTFALL", "OUTFALLS"),
    ("STORAGE", "STORAGE"), ("DIVIDER", "DIVIDERS"), ("CONDUIT", "CONDUITS"), ("PUMP", "PUMPS"),
    ("ORIFICE", "ORIFICES"), ("WEIR", "WEIRS"), ("OUTLET", "OUTLETS"), ("XSECT", "XSECTIONS"),
    ("TRANSECT", "TRANSECTS"), ("LOSS", "LOSSES"), ("CONTROL", "CONTROLS"), ("POLLUT", "POLLUTANTS"),
    ("LANDUSE", "LANDUSES"), ("BUILDUP", "BUILDUP"), ("WASHOFF", "WASHOFF"), ("COVERAGE", "COVERAGES"),
    ("INFLOW", "INFLOWS"), ("DWF", "DWF"), ("PATTERN", "PATTERNS"), ("RDII", "RDII"),
    ("HYDROGRAPH", "HYDROGRAPHS"), ("LOADING", "LOADINGS"), ("TREATMENT", "TREATMENT"), ("CURVE", "CURVES"),
    ("TIMESERIES", "TIMESERIES"), ("REPORT", "REPORT"), ("COORDINATE", "COORDINATES"), ("VERTICES", "VERTICES"),
    ("POLYGON", "POLYGONS"), ("SYMBOL", "SYMBOLS"), ("LABEL", "LABELS"), ("BACKDROP", "BACKDROP"), ("TAG", "TAGS"),
    ("PROFILE", "PROFILES"), ("MAP", "MAP"), ("LID_CONTROL", "LID_CONTROLS"), ("LID_USAGE", "LID_USAGE"),
    ("ADJUSTMENT", "ADJUSTMENTS"), ("STREET", "STREETS"), ("INLET_USAGE", "INLET_USAGE"), ("INLET", "INLETS"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One line that says something: its number in the file (0: added by us) and its tokens without quotes."""

    number: int
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One section under its full name; a file may hold several of one name."""

    name: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class InpFile:
    """The sections of an input file in their order (the order decides the engine's numbering of objects)."""

    sections: tuple[Section, ...]

    def lines(self, *names: str) -> Iterator[Line]:
        """Yield the lines of every section of these names, in order of the file."""
        for section in self.sections:
            if section.name in names:
                yield from section.lines

    def text(self) -> str:
        """Write the file for the engine."""
        return "".join(f"[{section.name}]\n{_text_of(section)}\n" for section in self.sections)


def parse_inp(content: bytes) -> InpFile:
    """Read an input file.

    Raises:
        InputError: If it is no SWMM input file; the message names the line.
    """
    sections: list[tuple[str, list[Line]]] = []
    for number, raw in enumerate(_decoded(content).splitlines(), start=1):
        stripped = raw.strip()
        if stripped.startswith("["):
            sections.append((_heading(stripped, number), []))
        elif tokens := _tokens(raw, number):
            if not sections:
                raise InputError(f"line {number}: {tokens[0]!r} stands before the first [SECTION]")
            if tokens[0].startswith("["):  # the engine takes off the quotes first, and would open a section
                raise InputError(f"line {number}: a section heading in quotes")
            sections[-1][1].append(Line(number, tokens))
    if not sections:
        raise InputError("the file holds no [SECTION]: it is no SWMM input file")
    return InpFile(tuple(Section(name, tuple(lines)) for name, lines in sections))


def _decoded(content: bytes) -> str:
    if b"\0" in content:
        raise InputError("the file holds zero bytes: it is no SWMM input file (which is plain text)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _heading(text: str, number: int) -> str:
    word = text[1:].split(";")[0].partition("]")
    if not word[1]:
        raise InputError(f"line {number}: the section heading {text!r} has no closing bracket")
    name = word[0].strip().upper()
    for prefix, full_name in _HEADINGS:
        if name.startswith(prefix):
            return full_name
    raise InputError(f"line {number}: [{word[0]}] is no section of a SWMM input file")


def _tokens(raw: str, number: int) -> tuple[str, ...]:
    text = raw.split(";", 1)[0]
    if len(text) > MAX_LINE_CHARS:
        raise InputError(f"line {number}: {len(text)} characters; the engine reads {MAX_LINE_CHARS}")
    tokens: list[str] = []
    rest = text.strip()
    while rest:
        if rest[0] == '"':
            token, quote, rest = rest[1:].partition('"')
            if not quote:
                raise InputError(f"line {number}: a double quote is not closed")
        else:
            token = rest.split(None, 1)[0]
            rest = rest[len(token) :]
        tokens.append(token)
        rest = rest.lstrip()
    return tuple(tokens)


def _text_of(section: Section) -> str:
    return "".join(" ".join(_quoted(token) for token in line.tokens) + "\n" for line in section.lines)


def _quoted(token: str) -> str:
    return f'"{token}"' if not token or any(character.isspace() for character in token) else token
