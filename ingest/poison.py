"""Setting apart the one item that cannot be dealt with, so that all the others can.

A message may meet a defect that nobody thought of. Trying the whole batch again for ever would stop all sensors for the
sake of one; calling every item bad when it is the store that fails would bury a whole town's readings. So a batch that
fails is halved until the item stands alone, and it is poison only if others went through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from twin.errors import InputError, UnavailableError
from twin.events import Event, EventKind, event

T = TypeVar("T")
R = TypeVar("R")

_ENOUGH = 8


def apart(
    items: Sequence[T], act: Callable[[Sequence[T]], R], *, proven: bool = False
) -> tuple[list[R], dict[int, Exception]]:
    """Act on all items at once, or on ever smaller parts of them where that fails.

    Return what was returned for each part, in order, and the failure of each item (by its place) that fails alone.
    With `proven` it is known that others go through.

    Raises:
        UnavailableError: As soon as it comes up.
        Exception: What an item failed with, if it is no InputError and nothing at all goes through: that is no item's
            fault.
    """
    results: list[R] = []
    failures: dict[int, Exception] = {}

    def attempt(start: int, stop: int) -> None:
        try:
            results.append(act(items[start:stop]))
        except UnavailableError:
            raise
        except Exception as error:
            if stop - start > 1:
                middle = (start + stop) // 2
                attempt(start, middle)
                attempt(middle, stop)
                return
            failures[start] = error
            if len(failures) >= _ENOUGH:
                require_proof()

    def require_proof() -> None:
        if not (proven or results):
            for error in failures.values():
                if not isinstance(error, InputError):
                    raise error

    attempt(0, len(items))
    require_proof()
    return results, failures


def told(defect: Exception) -> str:
    """Return what a letter says of a defect."""
    return f"set apart because of a defect: {type(defect).__name__}: {defect}"


def poison_event(topic: str, at: datetime, defect: Exception) -> Event:
    """Return the event of a message that met a defect."""
    return event(EventKind.POISON_MESSAGE, topic, at, told(defect)[:1000])
