"""Windows of a sensor's time that must be looked at again because a reading came late into them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """`start` <= observed_at <= `end` of one sensor; `window_id` is 0 until it is kept."""

    sensor_id: str
    start: datetime
    end: datetime
    window_id: int = 0


def merged(windows: Iterable[Window]) -> list[Window]:
    """Return windows that do not overlap and cover the same times, by sensor and in order of time."""
    found: list[Window] = []
    for window in sorted(windows):
        last = found[-1] if found else None
        if last is not None and last.sensor_id == window.sensor_id and window.start <= last.end:
            found[-1] = Window(last.sensor_id, last.start, max(last.end, window.end))
        else:
            found.append(Window(window.sensor_id, window.start, window.end))
    return found
