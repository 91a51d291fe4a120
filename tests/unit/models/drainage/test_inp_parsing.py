from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.drainage.inp import InpFile, Line, Section, parse_inp
from twin.errors import InputError

_WORD = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='";[]'), min_size=1, max_size=12)
_TOKEN = st.one_of(_WORD, st.just(""), st.builds(lambda a, b: f"{a} {b}", _WORD, _WORD))


def tokens_of(text: str) -> list[tuple[str, ...]]:
    return [line.tokens for section in parse_inp(text.encode()).sections for line in section.lines]


@given(
    rows=st.lists(st.lists(_TOKEN, min_size=1, max_size=8).map(tuple), max_size=10),
    names=st.lists(st.sampled_from(["JUNCTIONS", "CONDUITS", "DWF", "CONTROLS"]), min_size=1, max_size=4),
)
def test_what_is_written_reads_back_the_same(rows: list[tuple[str, ...]], names: list[str]) -> None:
    inp = InpFile(tuple(Section(name, tuple(Line(0, row) for row in rows)) for name in names))

    again = parse_inp(inp.text().encode())

    assert [(s.name, [line.tokens for line in s.lines]) for s in again.sections] == [(name, rows) for name in names]


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_by_name(content: bytes) -> None:
    with contextlib.suppress(InputError):
        assert parse_inp(content).sections


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("[junctions]", "JUNCTIONS"),
        ("[JUNC]", "JUNCTIONS"),
        ("  [Polygons]  ", "POLYGONS"),
        ("[Inlet_Usage]", "INLET_USAGE"),
        ("[INLETS]", "INLETS"),
        ("[SUBCATCHMENTS] ;x", "SUBCATCHMENTS"),
        ("[HYDROGRAPHS]", "HYDROGRAPHS"),
    ],
)
def test_headings_are_known_in_any_case_and_short(heading: str, name: str) -> None:
    assert parse_inp(heading.encode()).sections[0].name == name


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        pytest.param("a\tb  c", ("a", "b", "c"), id="tabs"),
        pytest.param('a "b c" ""', ("a", "b c", ""), id="quotes"),
        pytest.param("a b ; c", ("a", "b"), id="comment"),
        pytest.param("a b;c", ("a", "b"), id="comment without blank"),
        pytest.param('a "b" "c"d', ("a", "b", "c", "d"), id="quote against word"),
    ],
)
def test_lines_come_apart_as_in_the_engine(line: str, tokens: tuple[str, ...]) -> None:
    assert tokens_of(f"[DWF]\n;; nothing\n\n{line}\n") == [tokens]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("J1 2 3\n[JUNCTIONS]", "line 1: 'J1' stands before", id="before the first section"),
        pytest.param("[JUNCTIONS\n", "line 1: the section heading", id="heading not closed"),
        pytest.param("[JUNCTIONS]\n[SECRETS]\n", r"line 2: \[SECRETS\] is no section", id="unknown section"),
        pytest.param('[DWF]\na "b', "line 2: a double quote", id="open quote"),
        pytest.param("[DWF]\n" + "a " * 600, "line 2: 1200 characters", id="too long"),
        pytest.param('[DWF]\n"[FILES]"\nSAVE OUTFLOWS x', "line 2: a section heading in quotes", id="quoted heading"),
        pytest.param("", "holds no", id="empty"),
        pytest.param("[DWF]\0", "zero bytes", id="binary"),
    ],
)
def test_malformed_files_are_refused_with_the_line(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_inp(text.encode())


def test_names_beyond_ascii_survive_in_either_encoding() -> None:
    assert parse_inp("[JUNCTIONS]\nPraça 1".encode()).sections[0].lines[0].tokens[0] == "Praça"
    assert parse_inp("[JUNCTIONS]\nPraça 1".encode("latin-1")).sections[0].lines[0].tokens[0] == "Praça"
