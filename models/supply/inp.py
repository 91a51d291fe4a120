"""An INP from outside is vetted before any engine reads it.

`[OPTIONS] HYDRAULICS SAVE path` writes a file wherever the process may, and there are more such doors (HYDRAULICS USE,
MAP, [REPORT] FILE, [BACKDROP] FILE). So sections and options are taken from a list of known ones, what names files
is refused or left out, and engines get the text as it was understood here: without comments, titles and
decoration, but with every line in its place, so that line numbers in messages stay true.

What EPANET would read as something else than it says, without a word, is refused too: a line longer than EPANET's
buffer (it goes on as a line of its own), more words than EPANET takes (the rest is lost), two units of flow.
"""

from __future__ import annotations

import codecs
import math
from dataclasses import dataclass, field

from twin.errors import InputError

# EPANET 2.3 takes a section by its whole name, and whatever follows the bracket. [ROUGHNESS] it reads and ignores.
_KEPT_SECTIONS = (
    "[JUNCTIONS]", "[RESERVOIRS]", "[TANKS]", "[PIPES]", "[PUMPS]", "[VALVES]", "[CONTROLS]", "[RULES]", "[DEMANDS]",
    "[SOURCES]", "[EMITTERS]", "[LEAKAGE]", "[PATTERNS]", "[CURVES]", "[QUALITY]", "[STATUS]", "[ROUGHNESS]",
    "[ENERGY]", "[REACTIONS]", "[MIXING]", "[TIMES]", "[OPTIONS]", "[COORDINATES]", "[VERTICES]",
)  # fmt: skip
_DROPPED_SECTIONS = ("[TITLE]", "[REPORT]", "[BACKDROP]", "[LABELS]", "[TAGS]")
_END = "[END]"
# EPANET takes an option by the beginning of its name.
_KEPT_OPTIONS = (
    "UNIT", "PRESSURE", "HEADL", "QUAL", "VISC", "DIFF", "SPEC", "TRIAL", "ACCU", "HEADERROR", "FLOWCHANGE", "UNBA",
    "PATT", "DEMAND", "MINI", "REQ", "EMIT", "TOLER", "CHECKFREQ", "MAXCHECK", "DAMPLIMIT", "BACK", "SEGM", "HTOL",
    "QTOL", "RQTOL",
)  # fmt: skip
_DROPPED_OPTIONS = ("MAP", "VERI")
_REFUSED_OPTIONS = ("HYDR",)
_NAMING_OPTIONS = ("PATT", "QUAL")
_NUMBER_LAST = ("[OPTIONS]", "[TIMES]", "[RULES]", "[CONTROLS]")
_NUMBERS = ("[PATTERNS]", "[CURVES]")
_LONGEST_LINE_BYTES = 1000
_MOST_WORDS = 40
_MOST_LINES = 2_000_000
_LARGEST_INP_BYTES = 64 * 1024 * 1024


def vet_inp(inp: bytes) -> str:
    """Return the INP as engines may read it, line by line where it was.

    Raises:
        InputError: If it is not text, or holds a section or option that is unknown or reaches for files, or a line
            that EPANET would not read as it stands; the message names the line.
    """
    if len(inp) > _LARGEST_INP_BYTES:
        raise InputError(f"the INP has {len(inp)} bytes; more than {_LARGEST_INP_BYTES} are not read")
    vetting = _Vetting()
    for number, line in enumerate(_decode(inp).splitlines(), start=1):
        if number > _MOST_LINES:
            raise InputError(f"the INP has more than {_MOST_LINES} lines")
        try:
            vetting.take(line)
        except InputError as error:
            raise InputError(f"line {number}: {error}") from None
        if vetting.is_at_end:
            break
    if not vetting.section:
        raise InputError("the INP is empty")
    return "\n".join([*vetting.lines, _END, ""])


@dataclass(slots=True)
class _Vetting:
    """How far an INP is vetted: the section at hand, and the lines as engines may read them."""

    section: str = ""
    is_at_end: bool = False
    lines: list[str] = field(default_factory=list)
    flow_units: str = ""
    _is_kept: bool = False

    def take(self, line: str) -> None:
        """Vet one line; InputError says what is wrong with it."""
        if "\0" in line:  # behind [END] nobody looks: some disks pad a file there
            raise InputError("there are zero bytes; the file is damaged, or not a text file")
        line = line.split(";", 1)[0]
        words = line.replace('"', " ").split()
        if words and words[0].startswith("["):
            self._enter(words[0].upper())
            return
        if words and not self.section:
            raise InputError(f"{words[0]!r} stands before the first section; is this an INP file?")
        if not self._is_kept:
            self.lines.append("")
            return
        if '"' in line:
            _refuse_quoted_blanks(line)
        if words and self.section.startswith("[OPTIONS]"):
            words = self._vetted_option(words)
        if words and self.section.startswith(_NUMBERS):
            _refuse_what_is_not_finite(words[1:])
        elif words and self.section.startswith(_NUMBER_LAST) and not _names_something(words):
            _refuse_what_is_not_finite(words[-1:])
        self.lines.append(_as_epanet_reads_it(words))

    def _enter(self, section: str) -> None:
        self.section = section
        self._is_kept = section.startswith(_KEPT_SECTIONS)
        self.is_at_end = section.startswith(_END)
        if not (self._is_kept or self.is_at_end or section.startswith(_DROPPED_SECTIONS)):
            raise InputError(f"section {section} is not one of EPANET's")
        if not self.is_at_end:
            self.lines.append(section if self._is_kept else "")

    def _vetted_option(self, words: list[str]) -> list[str]:
        name = words[0].upper()
        if name.startswith(_REFUSED_OPTIONS):
            raise InputError(f"option {' '.join(words[:2])} reads or writes a file; remove it")
        if name.startswith(_DROPPED_OPTIONS):
            return []
        if not name.startswith(_KEPT_OPTIONS):
            raise InputError(f"option {words[0]} is not one of EPANET's hydraulic options")
        if name.startswith("UNBA"):
            _check_unbalanced(words)
        if name.startswith("UNIT"):
            self._check_units(words)
        return words

    def _check_units(self, words: list[str]) -> None:
        units = words[1].upper() if len(words) > 1 else ""
        if self.flow_units and units != self.flow_units:
            raise InputError(f"the flow units are {self.flow_units} further up and {units or 'none'} here; which?")
        self.flow_units = units


def _decode(inp: bytes) -> str:
    """Return the text: UTF-8, UTF-16 if it says so at its beginning, else Windows' western encoding."""
    if inp.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return inp.decode("utf-16")
        except UnicodeDecodeError as error:
            raise InputError(f"the INP begins like UTF-16 and goes on otherwise: {error.reason}") from error
    try:
        return inp.decode("utf-8-sig")
    except UnicodeDecodeError:
        return inp.decode("cp1252", "replace")


def _as_epanet_reads_it(words: list[str]) -> str:
    """Return a line of words, if EPANET would read all of it as one line.

    EPANET counts bytes: a name in an alphabet of two bytes a letter is twice as long as it looks.
    """
    text = " ".join(words)
    if len(text.encode()) > _LONGEST_LINE_BYTES:
        raise InputError(f"longer than {_LONGEST_LINE_BYTES} characters")
    if len(words) > _MOST_WORDS:
        raise InputError(f"{len(words)} words, of which EPANET reads {_MOST_WORDS}; go on in a second line")
    return text


def _refuse_quoted_blanks(line: str) -> None:
    for quoted in line.split('"')[1::2]:
        if len(quoted.split()) > 1:
            raise InputError(f'the name "{quoted}" has a blank in it; give it one without')


def _names_something(option: list[str]) -> bool:
    return option[0].upper().startswith(_NAMING_OPTIONS)


def _refuse_what_is_not_finite(words: list[str]) -> None:
    """Refuse numbers that are none: C reads `nan` and 1e999 without complaint. Other words are EPANET's business."""
    for word in words:
        try:
            is_finite = math.isfinite(float(word))
        except ValueError:
            continue
        if not is_finite:
            raise InputError(f"{word} is not a finite number")


def _check_unbalanced(words: list[str]) -> None:
    """Refuse a number of trials that EPANET would take for 0."""
    if len(words) > 2 and words[1].upper().startswith("CONT") and not words[2].isdecimal():
        raise InputError(f"UNBALANCED CONTINUE wants a whole number of trials, not {words[2]}")
