"""Progress bars of long commands: on a terminal only, and never on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Shower(Protocol):
    """Is told how many more are done, and of how many if that was not known before."""

    def __call__(self, more: int, total: int | None = None, /) -> None:
        """Move the bar on."""
        ...


@contextmanager
def rows_shown(what: str, done: int, total: int, *, shown: bool, unit: str = "rows") -> Iterator[Shower]:
    """Show a bar with the rate and the time that is left; nothing where `shown` is false or nobody looks."""
    if not (shown and sys.stderr.isatty()):
        yield lambda more, total=None: None  # noqa: ARG005
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f} {unit}/s" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done)
        yield lambda more, total=None: bar.update(task, advance=more, total=total)
