"""Tables as CSV: RFC 4180 with commas, UTF-8, a header. Every complaint names file, line and column.

A byte-order mark, Windows line ends and blank lines are tolerated. A column that is not in the contract is refused by
name: it is more often a misspelt one than a spare one.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from twin.errors import InputError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: its cells by column, without the blanks around them; absent columns read as empty."""

    file: str
    line: int
    cells: dict[str, str]

    def wrong(self, column: str, reason: str) -> InputError:
        """Return the error that says what is wrong with a cell."""
        return InputError(f"{self.file}, line {self.line}, column {column}: {reason}")

    def text(self, column: str) -> str:
        """Return a cell that may be empty."""
        return self.cells.get(column, "")

    def required(self, column: str) -> str:
        """Return a cell that must not be empty."""
        text = self.text(column)
        if not text:
            raise self.wrong(column, "is empty")
        return text

    def choice(self, column: str, choices: Collection[str]) -> str:
        """Return a cell that is one of `choices`, written exactly so."""
        text = self.text(column)
        if text not in choices:
            raise self.wrong(column, f"{text!r} is not one of {', '.join(choices)}")
        return text

    def number(self, column: str) -> float | None:
        """Return a finite number, or None for an empty cell."""
        text = self.text(column)
        try:
            return parse_number(text) if text else None
        except InputError as error:
            raise self.wrong(column, str(error)) from error

    def integer(self, column: str) -> int | None:
        """Return a whole number, or None for an empty cell."""
        text = self.text(column)
        if text and not _INTEGER.fullmatch(text):
            raise self.wrong(column, f"{text!r} is not a whole number")
        return int(text) if text else None


def parse_number(text: str) -> float:
    """Read a decimal number with a point; not `nan`, not `inf`, no thousands separators.

    Raises:
        InputError: If the text is no such number or is too large for one.
    """
    if not _NUMBER.fullmatch(text):
        hint = "; write the decimals after a point" if "," in text else ""
        raise InputError(f"{text!r} is not a number{hint}")
    number = float(text)
    if not math.isfinite(number):
        raise InputError(f"{text!r} is too large")
    return number


def read_table(path: Path, *, required: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """Yield the rows of a CSV file in order.

    A row may end early only where the columns that it lacks are optional.

    Raises:
        InputError: If the file cannot be read, is not CSV in UTF-8, or a column or cell is lacking or too much.
    """
    lines = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    columns: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise InputError(f"{path.name}, line {line}: {error}") from error
        if cells is None:
            break
        if any(cell.strip() for cell in cells):
            if columns is None:
                columns = check_header(path, cells, required=required, optional=optional)
            else:
                yield _row(path, line, columns, cells, optional)
        line = lines.line_num + 1
    if columns is None:
        raise InputError(f"{path.name} is empty: it needs a line with the columns {', '.join(required)}")


def check_header(path: Path, cells: Sequence[str], *, required: Sequence[str], optional: Sequence[str]) -> list[str]:
    """Return the names of the columns.

    Raises:
        InputError: If one is lacking, unknown or there twice; names all of them.
    """
    columns = [cell.strip() for cell in cells]
    while len(columns) > 1 and not columns[-1]:
        columns.pop()
    complaints = {
        "lacks": [name for name in required if name not in columns],
        "has unknown": [repr(name) for name in columns if name not in (*required, *optional)],
        "repeats": sorted({name for name in columns if columns.count(name) > 1}),
    }
    told = [f"{what} {', '.join(names)}" for what, names in complaints.items() if names]
    if told:
        known = ", ".join((*required, *(f"[{name}]" for name in optional)))
        raise InputError(f"{path.name}, line 1: the header {' and '.join(told)}; the columns are {known}")
    return columns


def _row(path: Path, line: int, columns: Sequence[str], cells: Sequence[str], optional: Sequence[str]) -> Row:
    stripped = [cell.strip() for cell in cells]
    if any(stripped[len(columns) :]):
        raise InputError(
            f"{path.name}, line {line}: {len(cells)} cells where the header has {len(columns)} columns; "
            "a cell with a comma needs quotes"
        )
    absent = [name for name in columns[len(stripped) :] if name not in optional]
    if absent:
        raise InputError(f"{path.name}, line {line}, column {absent[0]}: the row ends before it")
    row = Row(path.name, line, dict(zip(columns, stripped, strict=False)))
    for column, cell in row.cells.items():
        if _CONTROL.search(cell):
            raise row.wrong(column, f"{cell!r} holds line breaks or other control characters")
    return row


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path.name}: {error.strerror}") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path.name}, line {line}: is not UTF-8; save the file as CSV in UTF-8") from error
