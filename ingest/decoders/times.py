"""Times as senders write them: ISO 8601 with zone, or seconds, milliseconds or nanoseconds since 1970 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction

from ingest.decoders.base import Refusal, UndecodableError
from ingest.decoders.strict_json import as_finite, brief
from twin.clock import parse_time
from twin.errors import InputError, NaiveDatetimeError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(2200, 1, 1, tzinfo=UTC)


class TimeFormat(StrEnum):
    """How a field says when."""

    ISO = "iso"
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"
    EPOCH_NS = "epoch_ns"


_PER_SECOND = {TimeFormat.EPOCH_S: 1, TimeFormat.EPOCH_MS: 1_000, TimeFormat.EPOCH_NS: 1_000_000_000}


def read_time(value: object, form: TimeFormat = TimeFormat.ISO) -> datetime:
    """Return the moment that `value` states, in UTC, to the microsecond.

    Raises:
        UndecodableError: If it states none; `naive_time` without a zone; `implausible_time` outside 1900 to 2199,
            where no reading was ever taken and stores wrap around.
    """
    if form is not TimeFormat.ISO:
        return require_plausible(_epoch(value, _PER_SECOND[form]))
    return (plain_iso(value) if type(value) is str else None) or require_plausible(_iso(value))


def plain_iso(text: str) -> datetime | None:
    """Return the plausible moment that a text states plainly in UTC, or None: then `read_time` says what it means."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is UTC and _EARLIEST <= moment < _LATEST else None


def require_plausible(moment: datetime) -> datetime:
    """Return `moment`, or raise UndecodableError (`implausible_time`) if it lies outside 1900 to 2199."""
    if not _EARLIEST <= moment < _LATEST:
        raise UndecodableError(f"{moment.isoformat()} is no time of a reading", Refusal.IMPLAUSIBLE_TIME)
    return moment


def _iso(value: object) -> datetime:
    if not isinstance(value, str):
        raise UndecodableError(f"a time must be ISO 8601 text, not {brief(value)}")
    try:
        return parse_time(value)
    except NaiveDatetimeError as error:
        raise UndecodableError(str(error), Refusal.NAIVE_TIME) from error
    except InputError as error:
        raise UndecodableError(brief(str(error))) from error


def _epoch(value: object, per_second: int) -> datetime:
    as_finite(value)  # refuses everything that is no finite number
    if not isinstance(value, int | float):
        raise UndecodableError(f"a time must be a number, not {brief(value)}")
    try:
        as_written = Fraction(repr(value))  # 1276020076.001 has no float of its own
        return _EPOCH + timedelta(microseconds=int(as_written * 1_000_000 / per_second))
    except OverflowError as error:
        raise UndecodableError(f"{brief(value)} is no time of a reading", Refusal.IMPLAUSIBLE_TIME) from error
