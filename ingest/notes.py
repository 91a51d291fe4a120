"""What is noticed while readings are judged, and must be as durable as they are.

Notes are kept *before* the readings they are about: a crash in between leaves a note too many, which repeats absorb,
never one too few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from twin.events import Event
from twin.gaps import Gap
from twin.ports import EventLog, GapLedger, StaleMarks, WindowLog
from twin.readings import Reading
from twin.windows import Window


@dataclass(slots=True)
class Notes:
    """Events, gaps (new ones and changed ones), windows to look at again, and sensors that are stale since when."""

    events: list[Event] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    stale: dict[str, datetime] = field(default_factory=dict)

    def add(self, other: Notes) -> None:
        """Take over what another one has noted."""
        self.events += other.events
        self.gaps += other.gaps
        self.windows += other.windows
        self.stale.update(other.stale)


class Notebook(EventLog, GapLedger, WindowLog, StaleMarks, Protocol):
    """Where notes are kept; the registry is one."""


class Observer(Protocol):
    """Looks at every judged batch before it is stored. It remembers; the same batch is shown to it once."""

    def observe(self, readings: Sequence[Reading], gateways: Sequence[str]) -> Notes:
        """Return what there is to note of readings, each sent by the gateway at the same place."""
        ...


def keep(notes: Notes, notebook: Notebook) -> None:
    """Make notes durable.

    Raises:
        UnavailableError: If the notebook is away; keeping the same notes again does no harm, but events count twice.
    """
    if notes.gaps:
        notebook.save_gaps(notes.gaps)
    if notes.windows:
        notebook.reopen(notes.windows)
    if notes.stale:
        notebook.mark_stale(notes.stale)
    if notes.events:
        notebook.log_events(notes.events)
