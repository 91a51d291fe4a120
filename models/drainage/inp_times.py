"""Dates and times of day as SWMM writes them: `01/31/2026` or `JAN-31-2026`, `6:30`, `06:30:00` or hours as 6.5."""

from __future__ import annotations

import re
from datetime import datetime

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DATE = re.compile(r"(?P<month>\d{1,2}|[A-Za-z]{3})[/-](?P<day>\d{1,2})[/-](?P<year>\d{4})")


def is_date(token: str) -> bool:
    """Return whether the token has the form of a date."""
    return _DATE.fullmatch(token) is not None


def read_date(token: str) -> datetime:
    """Return midnight of the date as a naive datetime of the model's clock; ValueError if it is none."""
    match = _DATE.fullmatch(token)
    if match is None:
        raise ValueError(f"{token!r} is no date like 01/31/2026")
    month = match["month"].upper()
    number = int(month) if month.isdigit() else _MONTHS.index(month) + 1
    return datetime(int(match["year"]), number, int(match["day"]))  # noqa: DTZ001  the model's own clock has no zone


def read_clock_hours(token: str) -> float:
    """Return the hours that a time of day or a count of hours states; ValueError if it states none."""
    if ":" not in token:
        return float(token)
    hours, minutes, seconds = (*token.split(":"), "0")[:3]
    return int(hours) + int(minutes) / 60 + int(seconds) / 3600


def date_text(moment: datetime) -> str:
    """Write the date as SWMM reads it."""
    return f"{moment.month:02d}/{moment.day:02d}/{moment.year:04d}"


def time_text(moment: datetime) -> str:
    """Write the time of day as SWMM reads it (whole seconds)."""
    return f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
