"""The only sources of now. Everything that needs the time is given a `Clock`.

Two rules hold everywhere: a datetime without a zone is an error, and inside the program every datetime is UTC.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Protocol

from twin.errors import InputError, NaiveDatetimeError


class Clock(Protocol):
    """Tells what time it is for the twin."""

    def now(self) -> datetime:
        """Return the present moment as an aware UTC datetime."""
        ...


class SystemClock:
    """The machine's clock: live operation."""

    def now(self) -> datetime:
        """Return the machine's present moment in UTC."""
        return datetime.now(UTC)


class ReplayClock:
    """A clock that stands still until the replay moves it, and never runs backwards.

    Replay drives the same code as live operation by setting this clock to the moment that is being relived.
    """

    def __init__(self, start: datetime) -> None:
        self._now = as_utc(start)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the moment the replay has reached."""
        with self._lock:
            return self._now

    def advance_to(self, moment: datetime) -> None:
        """Move the clock on to `moment`.

        Raises:
            InputError: If `moment` lies before the present moment of the clock.
        """
        moment = as_utc(moment)
        with self._lock:
            if moment < self._now:
                raise InputError(f"a replay clock cannot go back from {self._now} to {moment}")
            self._now = moment


def as_utc(moment: datetime) -> datetime:
    """Return `moment` in UTC.

    Raises:
        NaiveDatetimeError: If `moment` has no zone.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise NaiveDatetimeError(f"{moment.isoformat()} has no zone; write it with Z or an offset")
    return moment.astimezone(UTC)


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 / ISO 8601 time with zone and return it in UTC.

    Raises:
        InputError: If the text is no time.
        NaiveDatetimeError: If it names no zone.
    """
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise InputError(f"{text!r} is not an ISO 8601 time") from error
    try:
        return as_utc(moment)
    except OverflowError as error:
        raise InputError(f"{text!r} lies outside the range of UTC times") from error


def format_time(moment: datetime) -> str:
    """Write `moment` as RFC 3339 in UTC with `Z`, with fractions of a second only where there are some."""
    return as_utc(moment).isoformat().replace("+00:00", "Z")
