"""What all verbs share: `--data-dir`, `--json`, and how an answer is printed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from twin.clock import format_time
from twin.errors import InputError

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Folder of everything that is kept [default: TWIN_DATA_DIR or ./h2twin-data]."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


PIPED_WIDTH = 200
"""Characters in a line of a table that goes to a file or a pipe."""


def readable(path: Path | None) -> Path | None:
    """Insist that an input file can be read, before anything heavy is loaded (for Typer's `callback`).

    Raises:
        InputError: If it is not there, no file, or not ours to read.
    """
    if path is not None and not path.is_file():
        raise InputError(f"there is no file {path}")
    if path is not None and not os.access(path, os.R_OK):
        raise InputError(f"{path} cannot be read: give this user the right to, or copy it")
    return path


def ids(text: str) -> tuple[str, ...]:
    """Return the names in `ID,ID,...`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def plain(value: Any) -> Any:
    """Return `value` made of JSON's own types: dataclasses as objects, times as RFC 3339, bytes left out."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return value


def print_json(value: Any) -> None:
    """Print `value` as one JSON document on stdout."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """Tell the person at the terminal something; stdout stays free for answers."""
    typer.echo(text, err=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print rows for a person, or the sentence that says that there are none. Nothing is cut off: ids are copied."""
    if not rows:
        typer.echo(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}Z"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
