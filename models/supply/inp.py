"""An INP from outside is vetted before any engine reads it.

`[OPTIONS] HYDRAULICS SAVE path` writes a file wherever the process may, and there are more such doors (HYDRAULICS USE,
MAP, [REPORT] FILE, [BACKDROP] FILE). So sections and options are taken from a list of known ones, what names files
is refused or left out, and engines get the text as it was understood here: without comments, titles and
decoration, but with every line in its place, so that line numbers in messages stay true.
"""

from __future__ import annotations

from twin.errors import InputError

# EPANET recognises a section by the beginning of its name.
_KEPT_SECTIONS = (
    "[JUNC", "[RESE", "[TANK", "[PIPE", "[PUMP", "[VALV", "[CONT", "[RULE", "[DEMA", "[SOUR", "[EMIT", "[PATT", "[CURV",
    "[QUAL", "[STAT", "[ENER", "[REAC", "[MIXI", "[TIME", "[OPTI", "[COOR", "[LEAK", "[ROUG",
)  # fmt: skip
_DROPPED_SECTIONS = ("[TITL", "[REPO", "[BACK", "[LABE", "[TAGS", "[VERT")
_END = "[END"
_KEPT_OPTIONS = (
    "UNITS", "PRESSURE", "HEADLOSS", "QUALITY", "VISCOSITY", "DIFFUSIVITY", "SPECIFIC", "TRIALS", "ACCURACY",
    "HEADERROR", "FLOWCHANGE", "UNBALANCED", "PATTERN", "DEMAND", "MINIMUM", "REQUIRED", "EMITTER", "TOLERANCE",
    "CHECKFREQ", "MAXCHECK", "DAMPLIMIT", "BACKFLOW", "SEGMENTS",
)  # fmt: skip
_DROPPED_OPTIONS = ("MAP", "VERI")
_REFUSED_OPTIONS = ("HYDR",)
_LONGEST_LINE = 1000
_LARGEST_INP_BYTES = 64 * 1024 * 1024


def vet_inp(inp: bytes) -> str:
    """Return the INP as engines may read it, line by line where it was.

    Raises:
        InputError: If it is not text, or holds a section or option that is unknown or reaches for files; the
            message names the line.
    """
    if len(inp) > _LARGEST_INP_BYTES:
        raise InputError(f"the INP has {len(inp)} bytes; more than {_LARGEST_INP_BYTES} are not read")
    section, kept, lines = "", False, []
    for number, line in enumerate(_decode(inp).splitlines(), start=1):
        words = line.split(";", 1)[0].replace('"', " ").split()
        if words and words[0].startswith("["):
            section = words[0].upper()
            if section.startswith(_END):
                break
            kept = _is_kept(section, number)
            lines.append(section if kept else "")
            continue
        if words and not section:
            raise InputError(f"line {number}: {words[0]!r} stands before the first section; is this an INP file?")
        if words and kept and section.startswith("[OPTI"):
            words = _vetted_option(words, number)
        text = " ".join(words) if kept else ""
        if len(text) > _LONGEST_LINE:
            raise InputError(f"line {number}: longer than {_LONGEST_LINE} characters")
        lines.append(text)
    if not section:
        raise InputError("the INP is empty")
    return "\n".join([*lines, "[END]", ""])


def _decode(inp: bytes) -> str:
    if b"\0" in inp:
        raise InputError("the INP holds zero bytes; it is not a text file")
    try:
        return inp.decode("utf-8-sig")
    except UnicodeDecodeError:
        return inp.decode("cp1252", "replace")


def _is_kept(section: str, number: int) -> bool:
    if section.startswith(_KEPT_SECTIONS):
        return True
    if section.startswith(_DROPPED_SECTIONS):
        return False
    raise InputError(f"line {number}: section {section} is not one of EPANET's")


def _vetted_option(words: list[str], number: int) -> list[str]:
    name = words[0].upper().replace(",", "")
    if name.startswith(_REFUSED_OPTIONS):
        raise InputError(f"line {number}: option {' '.join(words[:2])} reads or writes a file; remove it")
    if name.startswith(_DROPPED_OPTIONS):
        return []
    if not name.startswith(_KEPT_OPTIONS):
        raise InputError(f"line {number}: option {words[0]} is not one of EPANET's hydraulic options")
    return words
