"""What an INP from outside may hold, and that refusals name the line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.supply.inp import vet_inp
from twin.errors import InputError

HEAD = b"[TITLE]\nfree text; [OPTIONS] here\n[JUNCTIONS]\nJ 1 2 ; comment\n"


def test_every_kept_line_stays_on_its_line() -> None:
    text = vet_inp(HEAD + b"\n[PIPES]\nP J K 1 2 3\n")
    assert text.splitlines()[2:7] == ["[JUNCTIONS]", "J 1 2", "", "[PIPES]", "P J K 1 2 3"]
    assert "free text" not in text


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        pytest.param(b"HYDRAULICS SAVE /tmp/x", "line 6: option HYDRAULICS SAVE reads or writes a file", id="save"),
        pytest.param(b"hydraulics use x", "line 6: option hydraulics use", id="use in lower case"),
        pytest.param(b'"HYDRAULICS" SAVE x', "line 6: option HYDRAULICS", id="in quotes"),
        pytest.param(b"HYDR SAVE x", "line 6: option HYDR", id="as short as EPANET takes it"),
        pytest.param(b"PLUGIN evil.so", "line 6: option PLUGIN is not one of", id="unknown option"),
        pytest.param(b"HYDRAULICS,SAVE,x", "line 6: option HYDRAULICS", id="with commas"),
    ],
)
def test_options_that_reach_for_files_are_refused_with_their_line(line: bytes, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        vet_inp(HEAD + b"[OPTIONS]\n" + line + b"\n")


@pytest.mark.parametrize(
    "content",
    [
        b"[OPTIONS]\nMAP secret.map\n",
        b"[REPORT]\nFILE secret.rpt\n",
        b"[BACKDROP]\nFILE secret.bmp\n",
        b'"[REPORT]"\nFILE secret.rpt\n',
    ],
    ids=["map", "report file", "backdrop", "report in quotes"],
)
def test_decoration_that_names_files_is_left_out(content: bytes) -> None:
    assert "secret" not in vet_inp(HEAD + content)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"PK\x03\x04\0\0", "zero bytes", id="a zip file"),
        pytest.param(b"hello\n[PIPES]\n", "line 1: 'hello' stands before", id="text before a section"),
        pytest.param(b"[PIPES]\n[SECRETS]\n", r"line 2: section \[SECRETS\]", id="unknown section"),
        pytest.param(b"[PIPES]\n" + b"x" * 1001, "line 2: longer than", id="long line"),
        pytest.param(b"[PIPES]\n" + "é".encode() * 501, "line 2: longer than", id="long line in bytes alone"),
        pytest.param(b"[PATTERNS]\nA " + b"1 " * 40, "line 2: 41 words, of which EPANET reads 40", id="many words"),
        pytest.param(b"[PATTERNS]\nA 1 1e999", "line 2: 1e999 is not a finite", id="infinite multiplier"),
        pytest.param(b"[CONTROLS]\nLINK P OPEN AT TIME nan", "line 2: nan is not a finite", id="control at no time"),
        pytest.param(b'[PIPES]\n"P 1" A B 1 1 1', 'line 2: the name "P 1" has a blank', id="blank in a name"),
        pytest.param(b"[OPTIONS]\nUNBALANCED CONTINUE ten", "line 2: UNBALANCED CONTINUE wants", id="trials in words"),
        pytest.param(b"[OPTIONS]\nUNITS LPS\nUNITS GPM", "line 3: the flow units are LPS further up", id="two units"),
        pytest.param(b"[PIPES]\n[ENDS]\n", r"line 2: section \[ENDS\]", id="almost the end"),
        pytest.param(b"[PIPES]\nP A B\0", "line 2: there are zero bytes", id="zero bytes in the middle"),
        pytest.param(b"\xff\xfe\x00\xd8x", "UTF-16", id="broken UTF-16"),
    ],
)
def test_what_is_no_inp_is_refused(content: bytes, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        vet_inp(content)


def test_a_long_comment_cannot_smuggle_a_line_past() -> None:
    assert "HYDRAULICS" not in vet_inp(HEAD + b";" + b" " * 2000 + b"[OPTIONS]\n;HYDRAULICS SAVE x\n")


def test_what_follows_the_end_is_nobodys_business() -> None:
    assert "HYDR" not in vet_inp(HEAD + b"[END]\n[OPTIONS]\nHYDRAULICS SAVE x\n" + b"\0" * 500)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_names_are_read_in_the_encodings_that_editors_write(encoding: str) -> None:
    assert "Depósito 1 2" in vet_inp("[JUNCTIONS]\nDepósito 1 2\n".encode(encoding))


def test_patterns_and_traced_nodes_may_be_called_what_they_like() -> None:
    assert "PATTERN nan" in vet_inp(b"[OPTIONS]\nPATTERN nan\nQUALITY TRACE inf\n")


def test_form_feeds_do_not_hide_a_line() -> None:
    with pytest.raises(InputError, match="HYDRAULICS"):
        vet_inp(HEAD + b"[OPTIONS]\nUNITS LPS\x0cHYDRAULICS SAVE x\n")


@given(st.binary(max_size=300))
def test_any_bytes_are_vetted_or_refused(content: bytes) -> None:
    try:
        text = vet_inp(content)
    except InputError:
        return
    in_options = False
    for line in text.split("\n"):
        if line.startswith("["):
            in_options = line.upper().startswith("[OPTI")
        assert not (in_options and line.upper().startswith(("HYDR", "MAP")))
        assert len(line.encode()) <= 1000
