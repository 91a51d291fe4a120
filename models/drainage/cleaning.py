"""What of a foreign SWMM file may reach the engine: an allow-list, because INP files can name files to read and write.

Dropped without harm to a flood run, and named in the notes: water quality (it also corrupts SWMM's hot start),
[FILES], [EVENTS], drawing. Refused by name: what would change the water if it were missing (a series or a climate
record kept in another file).
"""

from __future__ import annotations

from collections.abc import Iterable

from models.drainage.inp import InpFile, Line, Section
from twin.errors import InputError

QUALITY = frozenset({"POLLUTANTS", "LANDUSES", "COVERAGES", "BUILDUP", "WASHOFF", "LOADINGS", "TREATMENT"})
_DROPPED = QUALITY | {"FILES", "EVENTS"}
_DRAWING = frozenset({"TITLE", "VERTICES", "POLYGONS", "SYMBOLS", "LABELS", "BACKDROP", "TAGS", "PROFILES", "MAP"})
_OURS = frozenset({"REPORT"})
_BOTH_READ_AND_ROUTED = {"IGNORE_RAINFALL", "IGNORE_ROUTING"}
_SET_BY_US = frozenset(
    {
        "START_DATE", "START_TIME", "END_DATE", "END_TIME", "REPORT_START_DATE", "REPORT_START_TIME", "THREADS",
        "TEMPDIR", "IGNORE_QUALITY", *_BOTH_READ_AND_ROUTED,
    }
)  # fmt: skip


def clean(inp: InpFile) -> tuple[InpFile, tuple[str, ...]]:
    """Return the file with only what a flood run needs, and notes on what was left out that could matter.

    Rain gages and time series stay as they are: `models.drainage.runfile` replaces them for each run.

    Raises:
        InputError: If the model rests on a file that is not here; the message names it.
    """
    notes: list[str] = []
    sections: list[Section] = []
    for section in inp.sections:
        if section.name in _DROPPED:
            if section.lines:
                notes.append(f"[{section.name}] was dropped: a flood run does not use it")
        elif section.name not in _DRAWING | _OURS:
            sections.append(Section(section.name, tuple(_clean_lines(section, notes))))
    return InpFile(tuple(sections)), tuple(dict.fromkeys(notes))


def _clean_lines(section: Section, notes: list[str]) -> Iterable[Line]:
    if section.name == "OPTIONS":
        return _clean_options(section.lines, notes)
    if section.name in ("DWF", "INFLOWS"):
        return [line for line in section.lines if len(line.tokens) < 2 or line.tokens[1].upper() == "FLOW"]
    if section.name in ("TEMPERATURE", "EVAPORATION"):
        return _without_files(section)
    if section.name == "ADJUSTMENTS":
        return _clean_adjustments(section.lines, notes)
    if section.name == "LID_CONTROLS":
        return [line for line in section.lines if len(line.tokens) < 2 or line.tokens[1].upper() != "REMOVALS"]
    if section.name == "LID_USAGE":
        return [_without_report_file(line) for line in section.lines]
    return section.lines


def _clean_options(lines: Iterable[Line], notes: list[str]) -> Iterable[Line]:
    for line in lines:
        if len(line.tokens) < 2:
            raise InputError(f"line {line.number}: option {line.tokens[0]!r} has no value")
        name, value = line.tokens[0].upper(), line.tokens[1].upper()
        if name == "FLOW_ROUTING" and value in ("NONE", "NF"):
            raise InputError(
                f"line {line.number}: FLOW_ROUTING NONE routes no water; a flood run needs KINWAVE or DYNWAVE"
            )
        if name in _BOTH_READ_AND_ROUTED and value == "YES":
            notes.append(f"{name} YES was set to NO: a flood run needs rain and routing")
        if name not in _SET_BY_US:
            yield line


def _without_files(section: Section) -> Iterable[Line]:
    for line in section.lines:
        if line.tokens[0].upper() == "FILE":
            raise InputError(
                f"line {line.number}: [{section.name}] comes from the file {' '.join(line.tokens[1:])!r}, which is not "
                "part of the model; write the values into the INP"
            )
    return section.lines


def _clean_adjustments(lines: Iterable[Line], notes: list[str]) -> Iterable[Line]:
    for line in lines:
        if line.tokens[0].upper().startswith("RAIN"):
            notes.append("monthly rain adjustments were dropped: the rain given is the rain that falls")
        else:
            yield line


def _without_report_file(line: Line) -> Line:
    # Token 8 of a LID usage line names a file that the engine would write; "*" means none.
    return Line(line.number, (*line.tokens[:8], "*", *line.tokens[9:])) if len(line.tokens) > 8 else line
